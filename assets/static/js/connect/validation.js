//! What is wrong with a value, and what people probably meant. Nothing here touches the document.

import { t } from './i18n.js';

const FORMATS = {
    hostname: (value) => /^[a-zA-Z0-9.-]+$/.test(value),
    uri: (value) => URL.canParse?.(value) ?? /^[a-z][a-z0-9+.-]*:\/\/\S+$/i.test(value),
    uuid: (value) => /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(value),
    email: (value) => /^[^\s@]+@[^\s@.]+(\.[^\s@.]+)+$/.test(value)
};

/** A sentence for the person who typed, or null when the value is fine. */
export function problem(field, value) {
    if (value === '') return field.isRequired ? t('invalid.required', { label: field.title }) : null;
    if (field.choices.length > 0) return field.choices.includes(value) ? null : t('invalid.enum');
    if (field.format in FORMATS && !FORMATS[field.format](value)) return t(`invalid.${field.format}`);
    if (field.pattern && !field.pattern.test(value)) return patternProblem(field);
    return null;
}

function patternProblem(field) {
    const sentence = t('invalid.pattern', { label: field.title });
    // An example that breaks the rule itself would not help.
    const helps = field.example && field.pattern.test(field.example);
    return helps ? `${sentence} ${t('invalid.example', { example: field.example })}` : sentence;
}

/**
 * The value without what surrounds it: spaces around it, and the prefix and suffix that the form shows anyway, which come
 * along when somebody pastes a whole address.
 */
export function tidy(field, typed) {
    let value = field.hasLines ? typed.trim() : typed.trim().replace(/[\u200b\ufeff]/g, '');
    if (field.prefix && value.toLowerCase().startsWith(field.prefix.toLowerCase())) value = value.slice(field.prefix.length);
    if (/^https?:\/\/$/.test(field.prefix)) value = value.replace(/^https?:\/\//i, '');
    if (field.suffix) {
        const at = value.toLowerCase().indexOf(field.suffix.toLowerCase());
        // What follows the suffix of a pasted address is its path.
        if (at > 0) value = value.slice(0, at);
    }
    if (field.format === 'hostname') value = value.replace(/^https?:\/\//i, '').replace(/\/.*$/, '');
    return value;
}

/** The fields to be shown: a field may depend on another one of its section, which may depend on a third. */
export function isShown(field, fields, values, seen = []) {
    if (field.isHidden) return false;
    const rule = field.visibleWhen;
    if (!rule || seen.includes(field)) return true;
    const controller = fields.find((other) => other.section === field.section && other.name === rule.field);
    if (!controller) return true;
    return values.get(controller) === rule.equals && (controller.isHidden || isShown(controller, fields, values, [...seen, field]));
}
