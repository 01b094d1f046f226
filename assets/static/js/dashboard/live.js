//! Live tail: while the button is pressed, the page asks for itself again and shows what is new. Without scripts there is a
//! link that reloads.

import { loadPage } from './load.js';

const EVERY_MS = 2000;

const button = document.querySelector('[data-live]');
if (button) {
    button.hidden = false;
    document.querySelector('[data-reload]')?.remove();
    button.addEventListener('click', () => toggle(button));
}

function toggle(button) {
    const isOn = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(isOn));
    if (isOn) follow(button);
}

async function follow(button) {
    while (button.isConnected && button.getAttribute('aria-pressed') === 'true') {
        if (!document.hidden) {
            const fresh = await loadPage(location.href);
            if (fresh) show(fresh);
        }
        await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
}

function show(fresh) {
    const now = document.querySelector('[data-live-content]');
    const then = fresh.querySelector('[data-live-content]');
    // What the reader opened or holds stays as it is until something is new.
    if (!then || now.textContent === then.textContent) return;
    if (now.contains(document.activeElement)) return;
    const open = [...now.querySelectorAll('details[open][id]')].map((details) => details.id);
    now.replaceChildren(...document.importNode(then, true).childNodes);
    for (const id of open) {
        const details = document.getElementById(id);
        if (details) details.open = true;
    }
}
