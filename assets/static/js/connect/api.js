//! Calls to the public API, all with the token of the connect session.

const TIMEOUT_MS = 30_000;

/** An answer that was no success, or no answer at all (`status` 0). */
export class ApiFailure extends Error {
    constructor(status, error = {}) {
        super(error.message || firstIssue(error) || '');
        this.status = status;
        this.code = error.code ?? (status === 0 ? 'no_answer' : `http_${status}`);
        this.reason = error.reason;
    }

    /** No answer, or one of something that stands before the server: its own have codes. */
    get isUnreachable() {
        return this.status === 0 || (this.status >= 502 && this.code === `http_${this.status}`);
    }
}

function firstIssue(error) {
    const issue = error.errors?.[0];
    return issue && [issue.path?.join('.'), issue.message].filter(Boolean).join(': ');
}

export class Api {
    constructor(base, token, lang) {
        this.base = base;
        this.token = token;
        this.lang = lang;
        this.providers = new Map();
    }

    get origin() {
        return new URL(this.base).origin;
    }

    session() {
        return this.#read('connect/session');
    }

    integrations() {
        return this.#read('integrations');
    }

    /** The template of a provider, asked for once. */
    provider(name) {
        if (!this.providers.has(name)) {
            const asked = this.#read(`providers/${encodeURIComponent(name)}`);
            asked.catch(() => this.providers.delete(name));
            this.providers.set(name, asked);
        }
        return this.providers.get(name);
    }

    /** Creates a connection through one of the JSON routes. `fields` is null for routes without a body. */
    async connect(path, key, params, fields) {
        const headers = { 'content-type': 'application/json' };
        const body = fields === null ? undefined : JSON.stringify(fields);
        return this.#send(this.address(path, key, { params }), { method: 'POST', headers, body });
    }

    /** The address of a route that creates a connection. */
    address(path, key, { params = {}, credentials = {} } = {}) {
        const url = new URL(`${path}/${encodeURIComponent(key)}`, this.base);
        url.searchParams.set('connect_session_token', this.token);
        for (const [name, value] of Object.entries(params)) url.searchParams.set(`params[${name}]`, value);
        for (const [name, value] of Object.entries(credentials)) url.searchParams.set(`credentials[${name}]`, value);
        return url;
    }

    /** Where the outcome of a popup is announced. */
    socket(path) {
        const url = new URL(this.base);
        url.protocol = url.protocol.replace('http', 'ws');
        url.pathname = url.pathname.replace(/\/$/, '') + path;
        return url;
    }

    async #read(path) {
        const headers = { authorization: `Bearer ${this.token}`, 'accept-language': this.lang };
        const body = await this.#send(new URL(path, this.base), { headers });
        return body.data;
    }

    async #send(url, init) {
        const response = await fetch(url, {
            credentials: 'omit',
            cache: 'no-store',
            signal: AbortSignal.timeout(TIMEOUT_MS),
            ...init
        }).catch(() => {
            throw new ApiFailure(0);
        });
        const body = await response.json().catch(() => ({}));
        if (response.status !== 200) throw new ApiFailure(response.status, body.error);
        return body;
    }
}
