//! The form of one integration.

import { freshId, h, icon, outside } from './dom.js';
import { wayOf } from './authorize.js';
import { FieldView } from './field.js';
import { t } from './i18n.js';
import { monogram } from './monogram.js';
import { docsAddress } from './schema.js';
import { isShown, problem } from './validation.js';

const hasKeyboard = window.matchMedia('(pointer: fine)');

/** What is being filled in: survives failures, and ends with `wipe`. */
export class Form {
    constructor(provider, integration, part, fields) {
        this.provider = provider;
        this.integration = integration;
        this.part = part;
        this.fields = fields;
        this.values = new Map(fields.map((field) => [field, field.value]));
        this.isDirty = false;
    }

    get name() {
        return this.integration.display_name;
    }

    get shown() {
        return this.fields.filter((field) => isShown(field, this.fields, this.values));
    }

    /** Values of the session that the template does not accept: nobody here can correct them. */
    get hasBadPreset() {
        return this.fields.some((field) => field.isHidden && (field.isPreset || field.value !== '') && problem(field, field.value) !== null);
    }

    /** Pairs of field and value: those shown, and the hidden ones that come with a value. */
    get entries() {
        const { shown } = this;
        const sent = this.fields.filter((field) => (field.isHidden ? field.isPreset || field.hasDefault : shown.includes(field)));
        return sent.map((field) => [field, this.values.get(field)]);
    }

    wipe() {
        this.values.clear();
        this.isDirty = false;
    }
}

/** Shows the form. `notice` is what went wrong before; `onsubmit` is called from the click. */
export function showForm(shell, form, { notice = null, onback, onsubmit, onguide, isPreview }) {
    const views = new Map();
    const formId = freshId();
    const holder = h('div', { class: 'fields' });
    const button = h('button', { type: 'submit', class: 'button primary', form: formId, disabled: form.hasBadPreset }, t(form.part.isReconnecting ? 'form.submit_again' : 'form.submit'));

    function onchange() {
        form.isDirty = true;
        for (const [field, view] of views) form.values.set(field, view.value);
        place();
    }
    function place() {
        const elements = form.shown.map((field) => {
            if (!views.has(field)) views.set(field, new FieldView(field, form.values.get(field), { onchange, onhelp: () => onguide('click:doc_section') }));
            return views.get(field).element;
        });
        // Moving an element would take the focus from it.
        const isSame = elements.length === holder.children.length && elements.every((element, index) => element === holder.children[index]);
        if (!isSame) holder.replaceChildren(...elements);
    }
    function submit(event) {
        event.preventDefault();
        if (isPreview || form.hasBadPreset || button.getAttribute('aria-disabled') === 'true') return;
        const bad = form.shown.filter((field) => !views.get(field).check());
        form.shown.forEach((field) => form.values.set(field, views.get(field).value));
        if (bad.length > 0) return void views.get(bad[0]).input.focus();
        onsubmit({ setBusy, wipe });
    }
    function setBusy(isBusy) {
        shell.setBusy(isBusy);
        button.setAttribute('aria-disabled', String(isBusy));
        button.classList.toggle('busy', isBusy);
        button.replaceChildren(isBusy ? h('span', { class: 'spinner', 'aria-hidden': 'true' }) : '', isBusy ? t('form.busy') : t(form.part.isReconnecting ? 'form.submit_again' : 'form.submit'));
        for (const view of views.values()) view.input.readOnly = isBusy || view.field.isCopied;
    }
    function wipe() {
        views.forEach((view) => view.clear());
        form.wipe();
    }

    place();
    const element = h('form', { id: formId, novalidate: true, class: 'form', onsubmit: submit }, notice && buildNotice(notice), form.hasBadPreset && badPreset(form), holder, guide(form, onguide));
    const first = form.shown.find((field) => !field.isCopied);
    const focus = notice || !hasKeyboard.matches ? null : first ? views.get(first).input : button;
    shell.show({
        name: 'form',
        title: t(form.part.isReconnecting ? 'form.title_again' : 'form.title', { name: form.name }),
        text: lead(form),
        hero: h('div', { class: 'hero' }, monogram(form.provider.name, form.name, 'large')),
        body: [element],
        foot: [button, assurance(form)],
        onback,
        focus,
        isCentred: form.shown.length === 0 && !notice,
        isDirty: () => form.isDirty && form.shown.length > 0
    });
    // The notice is read first; then the keyboard is where it helps.
    if (notice) (element.querySelector('.notice') ?? button).focus();
}

function lead(form) {
    const hasFields = form.shown.length > 0;
    const texts = {
        popup: hasFields ? 'form.text_fields_popup' : 'form.text_popup',
        form: hasFields ? 'form.text_fields' : 'form.text_none',
        none: hasFields ? 'form.text_fields' : 'form.text_none',
        outbound: 'form.text_outbound'
    };
    return t(texts[wayOf(form.provider)], { name: form.name });
}

function assurance(form) {
    const isPopup = wayOf(form.provider) === 'popup';
    // Nothing is filled in, so nothing is kept.
    if (!isPopup && form.shown.length === 0) return null;
    return h('p', { class: 'assurance' }, icon(isPopup ? 'window' : 'lock'), h('span', {}, t(isPopup ? 'form.note_popup' : 'form.note_stored')));
}

function guide(form, onguide) {
    const docs = docsAddress(form.provider, form.part);
    if (!docs) return null;
    return h('p', { class: 'guide' }, outside(docs, { class: 'text-link', onclick: () => onguide('click:doc') }, icon('help'), h('span', {}, t('form.guide', { name: form.name }))));
}

function badPreset(form) {
    return h('div', { class: 'notice bad', role: 'alert' }, icon('warning'), h('p', {}, t('form.preset_invalid', { name: form.name })));
}

/** What went wrong, above the fields. `details` are the words of the provider. */
function buildNotice({ title, text, details, kind = 'bad' }) {
    return h(
        'div',
        { class: `notice ${kind}`, role: 'alert', tabindex: '-1' },
        icon(kind === 'bad' ? 'warning' : 'window'),
        h('div', {}, h('p', { class: 'strong' }, title), h('p', {}, text), details && h('p', { class: 'said' }, details))
    );
}
