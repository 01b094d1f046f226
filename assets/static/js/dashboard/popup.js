//! Things that open over the page close on Escape, on a click elsewhere, and when another one opens.

const OPEN = 'details[data-popup][open]';

export function closeWhatIsOpen(document) {
    document.addEventListener('click', (event) => closeAround(document, event.target));
    document.addEventListener('keydown', (event) => {
        if (event.key !== 'Escape') return;
        const open = document.querySelector(OPEN);
        if (!open) return;
        open.open = false;
        open.querySelector('summary').focus();
    });
    // On a wide screen the menu is beside the page, and always open.
    const wide = matchMedia('(min-width: 761px)');
    const settle = () => document.querySelectorAll('[data-menu]').forEach((menu) => (menu.open = wide.matches));
    wide.addEventListener('change', settle);
    settle();
}

function closeAround(document, target) {
    for (const open of document.querySelectorAll(OPEN)) {
        if (!open.contains(target)) open.open = false;
    }
}
