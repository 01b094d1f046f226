//! The Connect UI: from a session to a connection. This file is the way through the screens; `spec` auth-flows, section 13.

import { Api, ApiFailure } from './api.js';
import { collect, send, wayOf } from './authorize.js';
import { Form, showForm } from './form.js';
import { Host } from './host.js';
import { chooseLanguage, loadLanguage, t } from './i18n.js';
import { showEmpty, showList } from './list.js';
import { isToken, readOptions } from './options.js';
import { canBeCorrected, showFailure, showProblem, showSuccess, showWaiting } from './outcome.js';
import { SignIn, openWindow } from './popup.js';
import { buildFields, sessionPart } from './schema.js';
import { Shell } from './shell.js';
import { Telemetry } from './telemetry.js';
import { applyTheme } from './theme.js';
import { recall, remember } from './used.js';

/** How long the page around this one may take to send its session. */
const SESSION_WAIT_MS = 10_000;

class Connect {
    #options = readOptions();
    #language = chooseLanguage(this.#options.lang);
    #texts = loadLanguage(this.#language);
    #shell = new Shell(this.#options, (how) => this.#leave(how));
    #host = new Host(this.#options, { onToken: (token) => this.#begin(token), onSettings: (settings) => this.#applySettings(settings) });
    #telemetry = new Telemetry();
    #token = null;
    #api = null;
    #session = null;
    #integrations = [];
    #query = '';
    #signIn = null;
    #form = null;
    /** Counts sessions, so that answers for an earlier one are dropped. */
    #round = 0;

    async start() {
        applyTheme({}, this.#options.theme);
        this.#host.ready();
        if (this.#options.token !== null) return this.#begin(this.#options.token);
        await this.#texts;
        if (!this.#options.isFramed) return this.#showMissing();
        setTimeout(() => this.#token === null && this.#showMissing(), SESSION_WAIT_MS);
    }

    /** A session has come, or a new one in place of the last. */
    async #begin(token) {
        if (token === this.#token && this.#session) return;
        this.#round += 1;
        this.#dropSignIn();
        this.#token = token;
        this.#session = null;
        await this.#load(this.#round);
    }

    async #load(round) {
        if (!isToken(this.#token)) {
            await this.#texts;
            return this.#showProblem('malformed', { code: 'invalid_connect_session_token_format' });
        }
        this.#api = new Api(this.#options.api, this.#token, this.#language);
        this.#telemetry.start(this.#options, this.#token);
        this.#shell.setBusy(true);
        try {
            const answers = await Promise.allSettled([this.#api.session(), this.#api.integrations(), this.#texts]);
            // What became of the session explains more than what became of the list.
            const failed = answers.find((answer) => answer.status === 'rejected');
            if (failed) throw failed.reason;
            if (round !== this.#round) return;
            [this.#session, this.#integrations] = answers.map((answer) => answer.value);
        } catch (failure) {
            if (round === this.#round) this.#explain(failure);
            return;
        }
        this.#telemetry.report('open');
        this.#applySettings(this.#session.connectUISettings ?? {});
        const connected = this.#options.isFramed ? [] : this.#connectedBefore();
        if (connected.length > 0) return this.#showProblem('used', { connected, onretry: () => this.#showStart() });
        this.#showStart();
    }

    /** What a link that is opened again has connected: the server knows, or for a session without an end user this browser. */
    #connectedBefore() {
        const keys = this.#session.connected_integrations ?? [];
        const names = this.#integrations.filter((integration) => keys.includes(integration.unique_key)).map((integration) => integration.display_name);
        return names.length > 0 ? names : recall(this.#token);
    }

    #applySettings(settings) {
        applyTheme(settings, this.#options.theme);
        this.#shell.setBrand(settings);
        if (this.#options.isPreview && this.#session) this.#showStart();
    }

    get #isSingle() {
        return this.#integrations.length === 1 && this.#session.allowed_integrations?.length === 1;
    }

    #showStart() {
        if (this.#integrations.length === 0) return showEmpty(this.#shell, this.#closer());
        if (this.#isSingle) return this.#open(this.#integrations[0]);
        this.#showList();
    }

    #showList() {
        this.#telemetry.report('view:list');
        const onchoose = (integration, row) => {
            this.#telemetry.report('click:integration', integration.unique_key);
            row.classList.add('busy');
            this.#open(integration).finally(() => row.classList.remove('busy'));
        };
        showList(this.#shell, this.#integrations, { query: this.#query, onchoose, onquery: (query) => (this.#query = query) });
    }

    /** Loads the template of an integration and shows its form. */
    async #open(integration) {
        const round = this.#round;
        let provider;
        try {
            provider = await this.#api.provider(integration.provider);
        } catch (failure) {
            if (round === this.#round) this.#explainProvider(failure, integration);
            return;
        }
        if (round !== this.#round) return;
        const part = sessionPart(this.#session, integration.unique_key);
        this.#form = new Form(provider, integration, part, buildFields(provider, integration, part));
        this.#telemetry.report('view:integration', integration.unique_key);
        if (wayOf(provider) === null) return this.#fail('unsupported', provider.auth_mode);
        this.#showForm();
    }

    #showForm(notice = null) {
        const form = this.#form;
        showForm(this.#shell, form, {
            notice,
            isPreview: this.#options.isPreview,
            onback: this.#isSingle ? null : () => this.#backToList(),
            onguide: (event) => this.#telemetry.report(event, form.integration.unique_key),
            onsubmit: (view) => this.#submit(view)
        });
    }

    #backToList() {
        this.#dropSignIn();
        this.#form.wipe();
        this.#showList();
    }

    /** Must open the window before anything is waited for: browsers allow it inside the click only. */
    #submit(view) {
        const key = this.#form.integration.unique_key;
        this.#telemetry.report('click:connect', key);
        if (wayOf(this.#form.provider) === 'popup') this.#signInByPopup();
        else this.#sendForm(view);
    }

    async #sendForm(view) {
        const form = this.#form;
        const key = form.integration.unique_key;
        const round = this.#round;
        view.setBusy(true);
        try {
            const answer = await send(this.#api, form.provider, key, collect(form.entries));
            if (round !== this.#round) return;
            view.wipe();
            const isPending = wayOf(form.provider) === 'outbound';
            this.#succeed({ providerConfigKey: answer.providerConfigKey ?? key, connectionId: answer.connectionId, isPending });
        } catch (failure) {
            if (round !== this.#round) return;
            view.setBusy(false);
            this.#refuse(failure);
        }
    }

    /** A JSON route refused, or could not be reached. */
    #refuse(failure) {
        const { name } = this.#form;
        if (!(failure instanceof ApiFailure)) throw failure;
        this.#host.failed(failure.code, failure.message);
        if (failure.isUnreachable) return this.#showForm({ title: t('notice.offline_title'), text: t('notice.offline_text') });
        if (failure.status === 401) return this.#explain(failure);
        if (!canBeCorrected(failure)) return this.#showFailure(failure.code, failure.message);
        this.#telemetry.report('view:credentials_error', this.#form.integration.unique_key);
        this.#showForm({ title: t('notice.refused_title', { name }), text: t('notice.refused_text'), details: failure.message });
    }

    #signInByPopup() {
        this.#dropSignIn();
        const form = this.#form;
        const key = form.integration.unique_key;
        const popup = openWindow(t('wait.opening', { name: form.name }));
        if (!popup) {
            this.#telemetry.report('popup:blocked_by_browser', key);
            this.#host.failed('blocked_by_browser', t('notice.blocked_title'));
            return this.#showForm({ title: t('notice.blocked_title'), text: t('notice.blocked_text') });
        }
        const { params, credentials } = collect(form.entries);
        const signIn = new SignIn(popup, {
            socketUrl: this.#api.socket(this.#session.websocketsPath ?? '/'),
            address: this.#api.address('oauth/connect', key, { params, credentials }),
            apiOrigin: this.#api.origin,
            detectsClosed: this.#options.detectsClosed,
            onclosed: () => saysClosed()
        });
        this.#signIn = signIn;
        const saysClosed = showWaiting(this.#shell, form, {
            onshow: () => signIn.focus(),
            oncancel: () => this.#cancel(),
            onagain: () => this.#signInByPopup()
        });
        signIn.outcome.then(
            (result) => {
                form.wipe();
                this.#succeed({ providerConfigKey: key, ...result });
            },
            (failure) => this.#endSignIn(failure)
        );
    }

    #cancel() {
        this.#dropSignIn();
        this.#telemetry.report('popup:closed_early', this.#form.integration.unique_key);
        this.#host.failed('window_closed', t('notice.closed_title'));
        this.#showForm();
    }

    #endSignIn({ type, message }) {
        this.#signIn = null;
        if (type === 'window_closed') {
            this.#telemetry.report('popup:closed_early', this.#form.integration.unique_key);
            this.#host.failed(type, t('notice.closed_title'));
            return this.#showForm({ title: t('notice.closed_title'), text: t('notice.closed_text'), kind: 'calm' });
        }
        if (type === 'missing_auth_token') {
            // The session ended while its form was open. Asked for again, it says why.
            this.#host.failed(type, message);
            return this.#load(this.#round);
        }
        this.#fail(type, message);
    }

    #fail(type, message) {
        this.#host.failed(type, message || t('failure.unknown', { name: this.#form.name }));
        this.#showFailure(type, message);
    }

    #showFailure(type, message) {
        this.#telemetry.report('view:unknown_error', this.#form.integration.unique_key);
        const onagain = wayOf(this.#form.provider) === null ? () => this.#showStart() : () => this.#showForm();
        showFailure(this.#shell, this.#form, { type, message, onagain, onclose: this.#closer() });
    }

    #succeed(result) {
        this.#signIn = null;
        const { name, integration, part, provider } = this.#form;
        remember(this.#token, name);
        this.#telemetry.report('view:success', integration.unique_key);
        this.#host.connected(result);
        const isOutbound = wayOf(provider) === 'outbound';
        const kind = isOutbound ? 'outbound' : result.isPending ? 'pending' : part.isReconnecting ? 'reconnected' : 'connected';
        showSuccess(this.#shell, name, { kind, onfinish: this.#closer('click:finish'), isPreview: this.#options.isPreview });
    }

    /** The session, or the list of integrations, could not be read. */
    #explain(failure) {
        if (!(failure instanceof ApiFailure)) throw failure;
        const onretry = () => this.#load(this.#round);
        const about = { code: failure.code, message: failure.message };
        if (failure.status === 429) return this.#showProblem('busy', { ...about, onretry });
        if (failure.status === 401) return this.#showProblem(this.#kindOfRefusal(failure), { ...about, connected: recall(this.#token) });
        this.#telemetry.report('view:unknown_error');
        this.#showProblem(failure.isUnreachable ? 'offline' : 'server', { ...about, onretry });
    }

    #kindOfRefusal({ reason, code }) {
        if (code === 'invalid_connect_session_token_format') return 'malformed';
        // A backend may delete a session that has done its work; then only this browser remembers.
        if (recall(this.#token).length > 0) return 'used';
        return reason === 'expired' ? 'expired' : 'unknown';
    }

    #explainProvider(failure, integration) {
        if (!(failure instanceof ApiFailure)) throw failure;
        if (failure.status !== 404) return this.#explain(failure);
        const provider = { name: integration.provider, auth_mode: '' };
        this.#form = new Form(provider, integration, sessionPart(this.#session, integration.unique_key), []);
        this.#fail('unknown_provider_template', failure.message);
    }

    async #showMissing() {
        await this.#texts;
        this.#showProblem('missing', { code: 'missing_connect_session_token' });
    }

    #showProblem(kind, about) {
        const { api, ignoredApi } = this.#options;
        const more = [[t('failure.server'), api], ignoredApi && [t('failure.ignored'), ignoredApi]].filter(Boolean);
        showProblem(this.#shell, kind, { more, onclose: this.#closer(), ...about });
    }

    /** What closes the page, where it can be closed. */
    #closer(event = 'click:close') {
        return this.#options.isFramed ? () => this.#leave(event) : null;
    }

    #leave(how) {
        if (this.#options.isPreview) return;
        this.#dropSignIn();
        this.#form?.wipe();
        this.#telemetry.report(how);
        this.#host.close();
    }

    #dropSignIn() {
        this.#signIn?.abandon();
        this.#signIn = null;
    }
}

new Connect().start();
