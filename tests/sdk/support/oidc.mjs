//! A real OAuth server: npm `oidc-provider` with plain login and consent pages, rotating refresh tokens, request
//! counters, and a gate in front of its token endpoint.

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import Provider, { errors } from 'oidc-provider';
import { listen, readBody } from './http.mjs';

/**
 * Starts the provider. With `dashboard` it is one at which people log in: it knows groups and verified addresses. `protects` is the address of an MCP server: clients may then register themselves, and tokens are
 * made out to that server. Browsers reach it as `localhost`, so that it is another site than the server under test
 * (127.0.0.1); the server reaches its token endpoint as 127.0.0.1.
 */
export async function startOidc({ redirectUris, accessTokenSeconds = 3600, protects, dashboard = false }) {
    const world = new Oidc(redirectUris, accessTokenSeconds, protects, dashboard);
    await world.start();
    return world;
}

class Oidc {
    #provider;
    #server;
    #accessTokenSeconds;
    #redirectUris;
    #protects;
    #dashboard;

    constructor(redirectUris, accessTokenSeconds, protects, dashboard) {
        this.client = { id: 'hitchpost-tests', secret: randomBytes(24).toString('hex') };
        /** How long the token endpoint thinks before it answers. */
        this.tokenDelayMs = 0;
        this.#redirectUris = redirectUris;
        this.#protects = protects;
        this.#dashboard = dashboard;
        this.#accessTokenSeconds = accessTokenSeconds;
        this.resetCounters();
    }

    resetCounters() {
        this.counters = { tokenCalls: 0, granted: {}, refused: {} };
    }

    async start() {
        let handler;
        this.#server = await listen((request, response) => handler(request, response));
        this.port = this.#server.port;
        this.issuer = `http://localhost:${this.port}`;
        this.authorizationUrl = `${this.issuer}/auth`;
        this.tokenUrl = `http://127.0.0.1:${this.port}/token`;
        this.registrationUrl = `http://127.0.0.1:${this.port}/reg`;
        this.#provider = new Provider(this.issuer, this.#configuration());
        this.#countGrants();
        const answer = this.#provider.callback();
        handler = (request, response) => this.#route(request, response, answer);
    }

    #configuration() {
        const client = {
            client_id: this.client.id,
            client_secret: this.client.secret,
            redirect_uris: this.#redirectUris,
            grant_types: ['authorization_code', 'refresh_token'],
            response_types: ['code']
        };
        return {
            clients: [
                { ...client, token_endpoint_auth_method: 'client_secret_post' },
                { ...client, client_id: `${this.client.id}-basic`, token_endpoint_auth_method: 'client_secret_basic' }
            ],
            cookies: { keys: [randomBytes(16).toString('hex')] },
            features: { devInteractions: { enabled: false }, ...(this.#protects && this.#mcpFeatures()) },
            interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
            issueRefreshToken: () => true,
            rotateRefreshToken: true,
            pkce: { required: () => true },
            scopes: ['openid', 'offline_access', 'email'],
            ttl: { AccessToken: this.#accessTokenSeconds, RefreshToken: 86_400, Grant: 86_400, Session: 3600, Interaction: 600, AuthorizationCode: 60, IdToken: 600 },
            findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.test` }) }),
            ...(this.#dashboard && this.#people())
        };
    }

    /** `support-…` is in the group `support`; the address of `unverified` is not verified. */
    #people() {
        const person = (id) => ({ sub: id, name: id, email: `${id}@example.test`, email_verified: id !== 'unverified', groups: id.startsWith('support') ? ['support'] : [] });
        return {
            scopes: ['openid', 'email', 'profile', 'groups'],
            claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
            findAccount: (_ctx, id) => ({ accountId: id, claims: () => person(id) })
        };
    }

    #mcpFeatures() {
        const server = { scope: 'tools', audience: this.#protects, accessTokenFormat: 'opaque', accessTokenTTL: this.#accessTokenSeconds };
        const getResourceServerInfo = (_ctx, resource) => {
            if (resource !== this.#protects) throw new errors.InvalidTarget(`no such resource: ${resource}`);
            return server;
        };
        return { registration: { enabled: true }, resourceIndicators: { enabled: true, getResourceServerInfo } };
    }

    #countGrants() {
        const count = (bucket) => (ctx) => {
            const grant = ctx.oidc?.params?.grant_type ?? 'unknown';
            this.counters[bucket][grant] = (this.counters[bucket][grant] ?? 0) + 1;
        };
        this.#provider.on('grant.success', count('granted'));
        this.#provider.on('grant.error', count('refused'));
    }

    async #route(request, response, answer) {
        const path = new URL(request.url, this.issuer).pathname;
        if (path.startsWith('/interaction/')) return this.#interaction(request, response);
        if (path === '/token') {
            this.counters.tokenCalls += 1;
            if (this.tokenDelayMs > 0) await pause(this.tokenDelayMs);
        }
        return answer(request, response);
    }

    async #interaction(request, response) {
        const { prompt, params, session } = await this.#provider.interactionDetails(request, response);
        if (request.method === 'GET') return sendPage(response, interactionPage(prompt.name));
        const form = new URLSearchParams((await readBody(request)).toString());
        const result = form.get('answer') === 'refuse' ? refusal : await this.#accept(prompt.name, params, session, form);
        await this.#provider.interactionFinished(request, response, result, { mergeWithLastSubmission: form.get('answer') !== 'refuse' });
    }

    async #accept(prompt, params, session, form) {
        if (prompt === 'login') return { login: { accountId: form.get('login') || 'ada' } };
        const grant = new this.#provider.Grant({ accountId: session.accountId, clientId: params.client_id });
        grant.addOIDCScope(params.scope);
        if (params.resource) grant.addResourceScope(params.resource, params.scope);
        return { consent: { grantId: await grant.save() } };
    }

    /** Whether this server issued `token` and still accepts it. */
    async accepts(token) {
        const found = await this.#provider.AccessToken.find(token);
        return Boolean(found && !found.isExpired);
    }

    /** The resource that a token was made out to, and the client that it was given to. */
    async describe(token) {
        const found = await this.#provider.AccessToken.find(token);
        return { resource: found?.aud, client: found?.clientId };
    }

    /** How a client said that it proves itself. */
    async authMethodOf(clientId) {
        return (await this.#provider.Client.find(clientId))?.tokenEndpointAuthMethod;
    }

    close() {
        return this.#server.close();
    }
}

const refusal = { error: 'access_denied', error_description: 'The user said no to these tests' };

function interactionPage(prompt) {
    const fields = prompt === 'login' ? '<input name="login" value="ada"> <input name="password" type="password" value="secret">' : 'Let the tests in?';
    return `<!doctype html><title>${prompt}</title><form method="post">${fields}
<button name="answer" value="allow" id="allow">${prompt === 'login' ? 'Log in' : 'Allow'}</button>
<button name="answer" value="refuse" id="refuse">Refuse</button></form>`;
}

function sendPage(response, html) {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
    response.end(html);
}
