//! One field of a form in the document: label, help, input, and what is wrong with the value.

import { freshId, h, icon, outside } from './dom.js';
import { t } from './i18n.js';
import { problem, tidy } from './validation.js';

export class FieldView {
    /** `onchange` is called whenever the value may have changed, `onhelp` when the guide is opened. */
    constructor(field, value, { onchange, onhelp }) {
        this.field = field;
        this.id = freshId();
        this.input = this.#buildInput(value);
        this.error = h('p', { class: 'error', id: `${this.id}-error`, hidden: true });
        this.warning = h('p', { class: 'warning', hidden: true });
        this.element = h(
            'div',
            { class: 'field', 'data-field': field.name },
            h('div', { class: 'label-line' }, this.#label(), field.help && this.#help(onhelp)),
            field.description && h('p', { class: 'hint', id: `${this.id}-hint` }, h('bdi', {}, field.description)),
            this.#frame(),
            this.error,
            this.warning
        );
        this.input.addEventListener('input', () => {
            // What is being corrected is judged at once; what is typed for the first time, when it is left.
            if (!this.error.hidden) this.#judge();
            this.#warn();
            onchange();
        });
        this.input.addEventListener('change', () => {
            this.#tidy();
            this.#judge();
            onchange();
        });
        this.#warn();
    }

    /** The value as it will be sent. */
    get value() {
        return this.field.isCopied ? this.field.value : tidy(this.field, this.input.value);
    }

    /** Shows what is wrong; whether nothing is. */
    check() {
        this.#tidy();
        return this.#judge();
    }

    /** Empties the input: nothing secret stays in the document. */
    clear() {
        this.input.value = '';
    }

    #tidy() {
        if (!this.field.isCopied && this.input.value !== this.value) this.input.value = this.value;
    }

    #judge() {
        const sentence = this.field.isCopied ? null : problem(this.field, this.value);
        this.error.hidden = sentence === null;
        this.error.replaceChildren(...(sentence === null ? [] : [icon('warning'), h('span', {}, sentence)]));
        if (sentence === null) this.input.removeAttribute('aria-invalid');
        else this.input.setAttribute('aria-invalid', 'true');
        return sentence === null;
    }

    #warn() {
        const text = this.field.warnings[this.input.value];
        this.warning.hidden = !text;
        this.warning.textContent = text ?? '';
    }

    #label() {
        const { field } = this;
        return h('label', { for: this.id }, field.title, field.isOptional && h('span', { class: 'optional' }, t('form.optional')));
    }

    #help(onhelp) {
        const { title, help, name } = this.field;
        return outside(help, { class: 'help', onclick: () => onhelp(name) }, t('form.help'), h('span', { class: 'unseen' }, ` ${title}`), icon('out'));
    }

    #buildInput(value) {
        const { field } = this;
        const described = [field.description && `${this.id}-hint`, `${this.id}-error`].filter(Boolean).join(' ');
        const props = {
            id: this.id,
            class: 'input',
            'aria-describedby': described,
            'aria-required': field.isRequired && !field.isCopied ? 'true' : null,
            autocomplete: field.isSecret ? 'off' : field.name === 'username' ? 'username' : 'off',
            autocapitalize: 'none',
            autocorrect: 'off',
            spellcheck: 'false',
            // Password managers would offer the password of this site, which nobody wants here.
            'data-1p-ignore': true,
            'data-lpignore': 'true'
        };
        let input;
        if (field.choices.length > 0) input = this.#buildSelect(props);
        else if (field.hasLines) input = h('textarea', { ...props, dir: 'ltr', rows: 4, class: `input lines ${field.isSecret ? 'veiled' : ''}`.trim(), placeholder: field.example });
        else input = h('input', { ...props, dir: 'ltr', type: this.#type(), placeholder: field.example, readonly: field.isCopied });
        input.value = value;
        return input;
    }

    #type() {
        if (this.field.isSecret) return 'password';
        // The right keyboard on a phone.
        return { uri: 'url', email: 'email' }[this.field.format] ?? 'text';
    }

    #buildSelect(props) {
        const choices = this.field.choices.map((choice) => h('option', { value: choice }, choice));
        const none = this.field.isOptional && h('option', { value: '' }, t('form.choose'));
        return h('select', { ...props, class: 'input select' }, none, choices);
    }

    /** The input with what is shown around it. */
    #frame() {
        const { field } = this;
        return h(
            'div',
            { class: `frame ${field.isCopied ? 'fixed' : ''}`.trim() },
            field.prefix && h('span', { class: 'affix', dir: 'ltr' }, field.prefix),
            this.input,
            field.suffix && h('span', { class: 'affix end', dir: 'ltr' }, field.suffix),
            field.isSecret && field.choices.length === 0 && this.#reveal(),
            field.isCopied && this.#copy()
        );
    }

    #reveal() {
        const button = h('button', { type: 'button', class: 'in-field', 'aria-pressed': 'false', 'aria-label': t('form.show', { label: this.field.title }), 'aria-controls': this.id }, icon('show'));
        button.addEventListener('click', () => {
            const shows = button.getAttribute('aria-pressed') === 'true';
            button.setAttribute('aria-pressed', String(!shows));
            button.replaceChildren(icon(shows ? 'show' : 'hide'));
            if (this.field.hasLines) this.input.classList.toggle('veiled', shows);
            else this.input.type = shows ? 'password' : 'text';
            this.input.focus();
        });
        return button;
    }

    #copy() {
        const said = h('span', { class: 'unseen', role: 'status' });
        const button = h('button', { type: 'button', class: 'in-field', 'aria-label': t('form.copy', { label: this.field.title }) }, icon('copy'));
        button.addEventListener('click', async () => {
            await copy(this.input);
            button.replaceChildren(icon('check'));
            said.textContent = t('form.copied');
            setTimeout(() => button.replaceChildren(icon('copy')), 2000);
        });
        return h('span', { class: 'in-field-group' }, button, said);
    }
}

/** The clipboard may be closed to frames; the selection then is ready for the keyboard. */
async function copy(input) {
    input.select();
    try {
        await navigator.clipboard.writeText(input.value);
    } catch {
        document.execCommand('copy');
    }
}
