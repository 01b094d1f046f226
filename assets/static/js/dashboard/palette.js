//! The palette: finds things and does things from every page, by keyboard. What it shows is the search page's own list, made a
//! list box here: the focus stays in the field, arrows choose, Enter goes.

import { loadPage } from './load.js';

/** How long typing has to rest before the server is asked. */
const REST_MS = 90;

export function offerPalette(document) {
    const dialog = document.getElementById('palette');
    if (!dialog) return;
    const palette = new Palette(document, dialog);
    for (const form of document.querySelectorAll('[data-palette-instead]')) form.hidden = true;
    for (const button of document.querySelectorAll('[data-palette-open]')) {
        button.hidden = false;
        button.addEventListener('click', () => palette.open());
    }
    if (/Mac|iP(hone|ad)/.test(navigator.platform)) {
        for (const key of document.querySelectorAll('[data-palette-key]')) key.textContent = '⌘ K';
    }
    document.addEventListener('keydown', (event) => {
        if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
        event.preventDefault();
        palette.toggle();
    });
}

class Palette {
    constructor(document, dialog) {
        this.document = document;
        this.dialog = dialog;
        this.field = dialog.querySelector('input');
        this.list = dialog.querySelector('[data-palette-list]');
        this.told = dialog.querySelector('[data-palette-told]');
        this.options = [];
        this.chosen = -1;
        /** The number of the last question; older answers come too late. */
        this.asked = 0;
        this.isWaiting = false;
        this.isHasty = false;
        this.field.addEventListener('input', () => this.askSoon());
        this.field.addEventListener('keydown', (event) => this.follow(event));
        this.list.addEventListener('click', (event) => event.target.closest('.hit') && this.dialog.close());
        dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
        dialog.addEventListener('close', () => clearTimeout(this.timer));
    }

    toggle() {
        if (this.dialog.open) this.dialog.close();
        else if (!this.document.querySelector('dialog[open]')) this.open();
    }

    open() {
        this.field.value = '';
        this.dialog.showModal();
        this.field.focus();
        this.ask();
    }

    askSoon() {
        // An answer that is still on its way is one to another question.
        this.asked += 1;
        this.isWaiting = true;
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.ask(), REST_MS);
    }

    async ask() {
        const number = ++this.asked;
        this.isWaiting = true;
        const query = new URLSearchParams({ q: this.field.value, part: 'results' });
        const fresh = await loadPage(`${this.field.form.action}?${query}`);
        if (number !== this.asked) return;
        this.isWaiting = false;
        this.show(fresh?.querySelector('[data-search-results]'));
        if (this.isHasty) this.go();
    }

    show(results) {
        const fresh = results ? [...this.document.importNode(results, true).childNodes] : [];
        this.list.replaceChildren(...fresh);
        this.options = [...this.list.querySelectorAll('.hit')];
        this.list.querySelectorAll('section').forEach((section) => section.setAttribute('role', 'group'));
        this.list.querySelectorAll('ul, li, h2').forEach((element) => element.setAttribute('role', 'presentation'));
        this.options.forEach((option, index) => {
            option.id = `palette-option-${index}`;
            option.tabIndex = -1;
            option.setAttribute('role', 'option');
            option.addEventListener('mousemove', () => this.choose(index));
        });
        const has = this.options.length > 0;
        this.list.hidden = !has;
        this.field.setAttribute('aria-expanded', String(has));
        this.told.textContent = results ? this.count() : 'The server does not answer. Enter opens the search page.';
        this.told.classList.toggle('hidden', has);
        this.choose(0);
        this.list.scrollTop = 0;
    }

    count() {
        const count = this.options.length;
        if (count === 0) return 'Nothing found.';
        return count === 1 ? '1 choice' : `${count} choices`;
    }

    choose(index) {
        this.chosen = index;
        this.options.forEach((option, at) => option.setAttribute('aria-selected', String(at === index)));
        const option = this.options[index];
        if (option) this.field.setAttribute('aria-activedescendant', option.id);
        else this.field.removeAttribute('aria-activedescendant');
        return option;
    }

    follow(event) {
        if (event.isComposing) return;
        const steps = { ArrowDown: 1, ArrowUp: -1 };
        if (event.key in steps && this.options.length) {
            event.preventDefault();
            const count = this.options.length;
            this.choose((this.chosen + steps[event.key] + count) % count)?.scrollIntoView({ block: 'nearest' });
        }
        if (event.key === 'Enter') {
            event.preventDefault();
            // Whoever types fast means what they typed, not what was found before.
            this.isHasty = this.isWaiting;
            if (!this.isHasty) this.go();
        }
    }

    go() {
        this.isHasty = false;
        const option = this.options[this.chosen];
        if (option) option.click();
        else this.field.form.submit();
    }
}
