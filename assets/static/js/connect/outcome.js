//! The screens around the end of a connection: waiting for the window, success, failure.

import { h, icon } from './dom.js';
import { inWords, t } from './i18n.js';
import { monogram } from './monogram.js';

const CLOSES_AFTER_MS = 6_000;

/** Which text explains an error type of the protocol. */
const EXPLANATIONS = {
    provider_config_err: 'setup',
    unknown_config_key: 'setup',
    unknown_provider_config: 'setup',
    unknown_provider_template: 'setup',
    auth_mode_err: 'setup',
    invalid_auth_mode: 'setup',
    grant_type_err: 'setup',
    token_err: 'setup',
    not_implemented: 'setup',
    unsupported: 'setup',
    integration_not_allowed: 'setup',
    url_param_err: 'value',
    invalid_connection_config: 'value',
    invalid_body: 'value',
    state_err: 'state',
    state_cookie_err: 'state',
    account_or_environment_retrieval_err: 'setup',
    invalid_connection: 'gone',
    connection_validation_failed: 'validation',
    connection_test_failed: 'validation',
    resource_capped: 'capped',
    timeout: 'timeout',
    no_answer: 'offline',
    too_many_request: 'busy'
};

/** Verdicts about what was typed, whatever their status. AWS says with the first one that it does not know the role. */
const VERDICTS = new Set(['aws_sigv4_sts_request_failed', 'failed_to_sign']);

/** Whether other values might be accepted. Then the form says what is wrong; else nothing that can be typed there helps. */
export function canBeCorrected({ status, code }) {
    const kind = EXPLANATIONS[code] ?? 'value';
    const isVerdict = (status >= 400 && status < 500) || VERDICTS.has(code);
    return isVerdict && (kind === 'value' || kind === 'validation');
}

/** While people sign in elsewhere. Gives a function that says that the window seems to be closed. */
export function showWaiting(shell, form, { onshow, oncancel, onagain }) {
    const hint = h('p', { class: 'wait-hint', role: 'status' });
    const button = h('button', { type: 'button', class: 'button quiet', onclick: onshow }, icon('window'), t('wait.show'));
    const cancel = h('button', { type: 'button', class: 'button bare', onclick: oncancel }, t('wait.cancel'));
    const hero = h('div', { class: 'hero waiting' }, h('span', { class: 'orbit', 'aria-hidden': 'true' }), monogram(form.provider.name, form.name, 'large'));
    shell.show({ name: 'waiting', title: t('wait.title'), text: t('wait.text', { name: form.name }), hero, body: [hint], foot: [button, cancel], isCentred: true, isDirty: () => form.isDirty && form.shown.length > 0 });
    return () => {
        hint.textContent = t('wait.closed');
        const again = h('button', { type: 'button', class: 'button', onclick: onagain }, t('wait.again'));
        button.replaceWith(again);
    };
}

/** Connected. In a frame it closes by itself, unless a key is pressed: then somebody is reading. */
export function showSuccess(shell, name, { kind, onfinish, isPreview }) {
    const texts = {
        connected: ['success.title', 'success.text'],
        reconnected: ['success.title_again', 'success.text'],
        pending: ['success.pending_title', 'success.pending_text'],
        outbound: ['success.outbound_title', 'success.outbound_text']
    };
    const [title, text] = texts[kind];
    const finish = onfinish && h('button', { type: 'button', class: 'button primary' }, t('success.finish'));
    const note = h('p', { class: 'assurance' }, onfinish ? t('success.closing') : t('success.tab'));
    const isWaiting = kind === 'pending' || kind === 'outbound';
    const hero = h('div', { class: `sign ${isWaiting ? 'calm' : 'good'}` }, icon(isWaiting ? 'clock' : 'check', 'drawn'));
    shell.show({ name: 'success', title: t(title, { name }), text: t(text, { name }), hero, foot: [finish, note], isCentred: true, focus: finish });
    if (!onfinish) return;
    const timer = setTimeout(() => !isPreview && onfinish(), CLOSES_AFTER_MS);
    finish.classList.add('running');
    finish.addEventListener('click', () => {
        clearTimeout(timer);
        onfinish();
    });
    const stay = (event) => {
        if (event.key === 'Enter' || event.key === ' ') return;
        clearTimeout(timer);
        finish.classList.remove('running');
        note.textContent = '';
    };
    document.addEventListener('keydown', stay, { once: true });
}

/** Not connected. `message` are the words of the server or the provider. */
export function showFailure(shell, form, { type, message, onagain, onclose }) {
    const denied = /access_denied|user_denied|denied access/i.test(message);
    const kind = denied ? 'denied' : (EXPLANATIONS[type] ?? 'unknown');
    const again = h('button', { type: 'button', class: 'button primary', onclick: onagain }, t('failure.again'));
    const close = onclose && h('button', { type: 'button', class: 'button bare', onclick: onclose }, t('nav.close'));
    const hero = h('div', { class: `sign ${denied ? 'calm' : 'bad'}` }, icon(denied ? 'close' : 'alert'));
    shell.show({
        name: 'failure',
        title: t('failure.title', { name: form.name }),
        text: t(`failure.${kind}`, { name: form.name }),
        hero,
        body: [details(type, message)],
        foot: [again, close],
        isCentred: true,
        isDirty: () => form.isDirty && form.shown.length > 0
    });
}

/** Code and words of a failure, for people who can do something with them. */
export function details(code, message, more = []) {
    const rows = [[t('failure.message'), compact(message)], ...more, [t('failure.code'), code]].filter(([, value]) => value);
    const list = rows.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', { dir: 'auto' }, value)));
    return h('details', { class: 'details' }, h('summary', {}, t('failure.details')), h('dl', {}, list));
}

/** JSON on one line; other text as it is. */
function compact(text) {
    if (!text) return '';
    try {
        return JSON.stringify(JSON.parse(text));
    } catch {
        return text;
    }
}

/**
 * The session cannot be used: what happened, and what to do about it. `kind` names the texts; `connected` are the names of
 * what a used one has connected.
 */
export function showProblem(shell, kind, { onretry, onclose, code, message, connected = [], more }) {
    const signs = { expired: 'clock', used: 'check', offline: 'offline', busy: 'clock', server: 'alert' };
    const isUsed = kind === 'used';
    const hero = h('div', { class: `sign ${isUsed ? 'good' : 'calm'}` }, icon(signs[kind] ?? 'broken'));
    const retry = onretry && h('button', { type: 'button', class: `button ${isUsed ? '' : 'primary'}`, onclick: onretry }, t(isUsed ? 'session.again' : 'failure.again'));
    const close = onclose && h('button', { type: 'button', class: `button ${onretry ? 'bare' : 'primary'}`, onclick: onclose }, t('nav.close'));
    const title = t(`session.${kind}_title${connected.length > 1 ? '_many' : ''}`, { name: inWords(connected) });
    const body = code && !isUsed ? [details(code, message, more)] : [];
    shell.show({ name: kind, title, text: t(`session.${kind}_text`), hero, body, foot: [retry, close], isCentred: true });
}
