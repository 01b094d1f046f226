//! The panel: its bar, one screen at a time, the dialog behaviour of the keyboard, and the question before leaving.

import { freshId, h, icon, outside } from './dom.js';
import { t } from './i18n.js';

const PROJECT = 'https://github.com/hitchpost/hitchpost';
const FOCUSABLE = 'a[href], button:not([disabled]), input:not([disabled]), select, textarea, summary';

export class Shell {
    #options;
    #panel = document.querySelector('#panel');
    #onclose;
    #isDirty = () => false;
    #brand = {};
    #question = null;

    /** `onclose` is called with how people left: `click:close` or `click:outside`. */
    constructor(options, onclose) {
        this.#options = options;
        this.#onclose = onclose;
        const root = document.documentElement.classList;
        root.add(options.isFramed ? 'framed' : 'direct');
        root.toggle('embedded', options.isEmbedded);
        document.querySelector('#backdrop').addEventListener('click', () => this.leave('click:outside'));
        document.addEventListener('keydown', (event) => this.#onkey(event));
    }

    /** Logo and watermark of the environment. */
    setBrand({ logo, showWatermark }) {
        this.#brand = { logo, showWatermark };
    }

    /**
     * Shows a screen: `title` (also of the document), `body` and `foot` (nodes), `onback` (then there is a way back), `focus`
     * (an element; else the title), `hero` (above the title), `isDirty` (whether leaving would lose something).
     */
    show({ name, title, text, body = [], foot = [], hero = null, onback = null, focus = null, isDirty = () => false, isCentred = false }) {
        this.#isDirty = isDirty;
        this.#question?.remove();
        document.title = title;
        document.documentElement.classList.remove('loading');
        const id = freshId();
        const heading = h('h1', { id, tabindex: '-1' }, title);
        const head = h('div', { class: 'head' }, hero, heading, text && h('p', { class: 'lead' }, text));
        const view = h('div', { class: `view ${isCentred ? 'centred' : ''} screen-${name}` }, head, body);
        this.#panel.replaceChildren(this.#bar(onback), view, this.#foot(foot));
        this.#panel.dataset.screen = name;
        this.#panel.removeAttribute('aria-busy');
        if (this.#options.isFramed) {
            this.#panel.setAttribute('role', 'dialog');
            this.#panel.setAttribute('aria-modal', 'true');
            this.#panel.setAttribute('aria-labelledby', id);
        }
        (focus ?? heading).focus({ preventScroll: true });
    }

    /** Says that something is being waited for. */
    setBusy(isBusy) {
        if (isBusy) this.#panel.setAttribute('aria-busy', 'true');
        else this.#panel.removeAttribute('aria-busy');
    }

    /** Closes, after a question when something would be lost. */
    leave(how) {
        if (!this.#canClose || this.#question?.isConnected) return;
        if (this.#isDirty()) this.#ask(() => this.#onclose(how));
        else this.#onclose(how);
    }

    get #canClose() {
        return this.#options.isFramed;
    }

    #bar(onback) {
        const back = onback && h('button', { type: 'button', class: 'bar-button', 'aria-label': t('nav.back'), onclick: () => (this.#isDirty() ? this.#ask(onback) : onback()) }, icon('back', 'turns'));
        const close = this.#canClose && h('button', { type: 'button', class: 'bar-button', 'aria-label': t('nav.close'), onclick: () => this.leave('click:close') }, icon('close'));
        const preview = this.#options.isPreview && h('span', { class: 'badge' }, t('nav.preview'));
        return h('div', { class: 'bar' }, h('span', { class: 'bar-side' }, back), this.#logo() ?? preview, h('span', { class: 'bar-side end' }, close));
    }

    #logo() {
        if (!this.#brand.logo) return null;
        const image = h('img', { class: 'logo', src: this.#brand.logo, alt: '', referrerpolicy: 'no-referrer', height: 28 });
        image.addEventListener('error', () => image.remove());
        return image;
    }

    #foot(foot) {
        const watermark = this.#brand.showWatermark && h('p', { class: 'watermark' }, outside(PROJECT, {}, t('nav.watermark', { product: 'Hitchpost' })));
        const content = [foot, watermark].flat().filter(Boolean);
        return content.length > 0 ? h('div', { class: 'foot' }, content) : '';
    }

    #onkey(event) {
        if (event.key === 'Escape' && !event.defaultPrevented) {
            if (this.#question?.isConnected) this.#question.querySelector('button').click();
            else this.leave('click:close');
        }
        if (event.key === 'Tab' && this.#options.isFramed) this.#keepInside(event);
    }

    /** Tab goes round in the panel: what is behind it cannot be used. */
    #keepInside(event) {
        const scope = this.#question?.isConnected ? this.#question : this.#panel;
        const stops = [...scope.querySelectorAll(FOCUSABLE)].filter((element) => element.offsetParent !== null);
        if (stops.length === 0) return;
        const edge = event.shiftKey ? stops[0] : stops.at(-1);
        const isOutside = !scope.contains(document.activeElement);
        if (document.activeElement !== edge && !isOutside) return;
        event.preventDefault();
        (event.shiftKey ? stops.at(-1) : stops[0]).focus();
    }

    #ask(proceed) {
        const before = document.activeElement;
        const [titleId, textId] = [freshId(), freshId()];
        const stay = h('button', { type: 'button', class: 'button quiet' }, t('confirm.stay'));
        const go = h('button', { type: 'button', class: 'button danger' }, t('confirm.leave'));
        const box = h(
            'div',
            { class: 'question', role: 'alertdialog', 'aria-modal': 'true', 'aria-labelledby': titleId, 'aria-describedby': textId },
            h('div', { class: 'question-box' }, h('h2', { id: titleId }, t('confirm.title')), h('p', { id: textId }, t('confirm.text')), h('div', { class: 'pair' }, stay, go))
        );
        this.#question = box;
        const others = [...this.#panel.children];
        others.forEach((element) => (element.inert = true));
        const end = () => {
            box.remove();
            others.forEach((element) => (element.inert = false));
        };
        stay.addEventListener('click', () => {
            end();
            before?.focus();
        });
        go.addEventListener('click', () => {
            end();
            proceed();
        });
        this.#panel.append(box);
        stay.focus();
    }
}
