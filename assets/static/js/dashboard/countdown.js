//! Times that are watched: `in 12 min 3 s` instead of `in 12 minutes`.

export function countDown(document) {
    const watched = [...document.querySelectorAll('[data-countdown]')];
    if (watched.length === 0) return;
    const tick = () => watched.forEach(show);
    tick();
    setInterval(tick, 1000);
}

function show(element) {
    const seconds = Math.round((Date.parse(element.dataset.countdown) - Date.now()) / 1000);
    const time = element.querySelector('time');
    // Further away nobody watches seconds.
    if (!time || Number.isNaN(seconds) || Math.abs(seconds) > 86_400) return;
    time.textContent = seconds >= 0 ? `in ${words(seconds)}` : `${words(-seconds)} ago`;
}

function words(seconds) {
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
    if (hours > 0) return `${hours} h ${minutes} min`;
    return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}
