//! Buttons that copy what is beside them. They are hidden until here, because nothing else could make them work.

export function offerCopying(document) {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll('[data-copy]')) {
        button.hidden = false;
        button.addEventListener('click', () => copy(button));
    }
}

async function copy(button) {
    const label = button.textContent;
    try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = 'Copied';
    } catch {
        button.textContent = 'Not allowed';
    }
    setTimeout(() => (button.textContent = label), 1500);
}
