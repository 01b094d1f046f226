//! The editor of providers shows what it makes of a definition while it is typed. Without scripts there is a button.

import { loadPage } from './load.js';

/** How long typing has to rest before the server is asked. */
const REST_MS = 400;

const form = document.querySelector('[data-editor]');
const shown = document.querySelector('[data-outcome]');
const told = document.querySelector('[data-outcome-told]');
let timer;
let asked = 0;

form?.elements.definition.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(check, REST_MS);
});

async function check() {
    const number = ++asked;
    const fresh = await loadPage(form.action, form);
    const outcome = fresh?.querySelector('[data-outcome]');
    if (number !== asked || !outcome) return;
    shown.replaceChildren(...document.importNode(outcome, true).childNodes);
    told.textContent = shown.querySelector('h2')?.textContent ?? '';
}
