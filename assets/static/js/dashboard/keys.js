//! Keyboard: `/` searches on the page, or everywhere when the page has no search; `?` helps, `g` and the letter of a page go there.

/** How long `g` waits for its letter. */
const PATIENCE_MS = 1500;

export function listenForKeys(document) {
    // Time stamps count from the page's start, so 0 would be just now.
    let leader = -Infinity;
    document.addEventListener('keydown', (event) => {
        if (isTyping(event)) return;
        const follows = event.timeStamp - leader < PATIENCE_MS;
        leader = -Infinity;
        if (follows && go(document, event.key)) return event.preventDefault();
        if (event.key === 'g') leader = event.timeStamp;
        if (event.key === '/' && focusSearch(document)) event.preventDefault();
        if (event.key === '?') document.getElementById('help')?.showModal();
    });
}

function isTyping(event) {
    const field = event.target.closest?.('input, textarea, select, [contenteditable]');
    return event.ctrlKey || event.metaKey || event.altKey || event.isComposing || Boolean(field) || Boolean(document.querySelector('dialog[open]'));
}

function go(document, key) {
    const link = [...document.querySelectorAll('a[data-key]')].find((candidate) => candidate.dataset.key === key);
    link?.click();
    return Boolean(link);
}

function focusSearch(document) {
    const search = document.querySelector('main :is([data-search], input[type="search"])');
    const palette = document.querySelector('[data-palette-open]');
    if (search) search.focus();
    else palette?.click();
    return Boolean(search ?? palette);
}
