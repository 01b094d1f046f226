//! A hand-written OAuth server that can do what a polite one cannot: hold a token call open, refuse with chosen words,
//! repeat secrets in its errors. Its authorize page says yes at once. Refresh tokens rotate and, as at strict
//! providers, a second use of a spent one is refused.

import { createHash, randomBytes } from 'node:crypto';
import { basicAuth, listen, readBody, sendJson } from './http.mjs';

export async function startTokenServer() {
    const world = new TokenServer();
    await world.start();
    return world;
}

class TokenServer {
    #server;
    #codes = new Map();
    #gate = null;
    #serial = 0;

    constructor() {
        this.client = { id: 'token-tests', secret: `client-secret-${randomBytes(16).toString('hex')}` };
        this.tokenSeconds = 3600;
        /** Every token call: `{grant, params, basic, status, abandoned}`; status is null until it is answered. */
        this.calls = [];
        /** Issued token pairs in order: `{accessToken, refreshToken, serial, family}`. */
        this.issued = [];
        this.spentRefreshTokens = new Set();
        /** When set: `(call) => ({status, body})`, sent instead of tokens. */
        this.refuseWith = null;
    }

    async start() {
        this.#server = await listen((request, response) => this.#route(request, response));
        this.port = this.#server.port;
        this.authorizationUrl = `http://localhost:${this.port}/authorize`;
        this.tokenUrl = `http://127.0.0.1:${this.port}/token`;
    }

    /** From now on token calls wait, unanswered and without effect, until the returned function is called. */
    hold() {
        let release;
        const gate = new Promise((resolve) => (release = resolve));
        this.#gate = gate;
        return () => {
            if (this.#gate === gate) this.#gate = null;
            release();
        };
    }

    /** A first token pair, for connections that are imported instead of signed in. */
    issue(family = `family-${this.#serial}`) {
        this.#serial += 1;
        const pair = {
            accessToken: `access-${this.#serial}-${randomBytes(12).toString('hex')}`,
            refreshToken: `refresh-${this.#serial}-${randomBytes(12).toString('hex')}`,
            serial: this.#serial,
            family
        };
        this.issued.push(pair);
        return pair;
    }

    find(refreshToken) {
        return this.issued.find((pair) => pair.refreshToken === refreshToken);
    }

    callsOf(grant) {
        return this.calls.filter((call) => call.grant === grant);
    }

    async #route(request, response) {
        const url = new URL(request.url, this.authorizationUrl);
        if (url.pathname === '/authorize') return this.#authorize(url, response);
        if (url.pathname === '/token' && request.method === 'POST') return this.#token(request, response);
        sendJson(response, 404, { error: 'not_found' });
    }

    #authorize(url, response) {
        const code = `code-${randomBytes(12).toString('hex')}`;
        this.#codes.set(code, { redirectUri: url.searchParams.get('redirect_uri'), challenge: url.searchParams.get('code_challenge') });
        const back = new URL(url.searchParams.get('redirect_uri'));
        back.searchParams.set('code', code);
        back.searchParams.set('state', url.searchParams.get('state'));
        response.writeHead(302, { location: back.href }).end();
    }

    async #token(request, response) {
        const params = Object.fromEntries(new URLSearchParams((await readBody(request)).toString()));
        const call = { grant: params.grant_type, params, basic: basicAuth(request), status: null, abandoned: false };
        this.calls.push(call);
        response.once('close', () => (call.abandoned = !response.writableFinished));
        await this.#gate;
        // A caller that went away while it was held changed nothing here.
        if (call.abandoned) return;
        const { status, body } = this.refuseWith?.(call) ?? this.#answer(call);
        call.status = status;
        sendJson(response, status, body);
    }

    #answer({ grant, params, basic }) {
        const id = basic?.username ?? params.client_id;
        const secret = basic?.password ?? params.client_secret;
        if (id !== this.client.id || secret !== this.client.secret) return refuse('invalid_client', 'Unknown client or wrong secret');
        if (grant === 'authorization_code') return this.#exchange(params);
        if (grant === 'refresh_token') return this.#refresh(params);
        if (grant === 'client_credentials') return this.#tokens(this.issue(), false);
        return refuse('unsupported_grant_type', `Never heard of ${grant}`);
    }

    #exchange(params) {
        const code = this.#codes.get(params.code);
        this.#codes.delete(params.code);
        if (!code || code.redirectUri !== params.redirect_uri) return refuse('invalid_grant', 'Unknown code');
        const challenge = createHash('sha256').update(params.code_verifier ?? '').digest('base64url');
        if (challenge !== code.challenge) return refuse('invalid_grant', 'The code verifier does not match');
        return this.#tokens(this.issue(), true);
    }

    #refresh(params) {
        const known = this.find(params.refresh_token);
        if (!known || this.spentRefreshTokens.has(params.refresh_token)) return refuse('invalid_grant', 'This refresh token was spent');
        this.spentRefreshTokens.add(params.refresh_token);
        return this.#tokens(this.issue(known.family), true);
    }

    #tokens(pair, withRefreshToken) {
        const body = { access_token: pair.accessToken, token_type: 'Bearer', expires_in: this.tokenSeconds };
        if (withRefreshToken) body.refresh_token = pair.refreshToken;
        return { status: 200, body };
    }

    accepts(token) {
        return this.issued.some((pair) => pair.accessToken === token);
    }

    close() {
        return this.#server.close();
    }
}

function refuse(error, description) {
    return { status: error === 'invalid_client' ? 401 : 400, body: { error, error_description: description } };
}
