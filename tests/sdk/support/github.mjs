//! GitHub as far as apps need it: the installation page, tokens of installations for the app's proof (checked with npm
//! `jose`), and tokens of users.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { listen, readBody, sendJson } from './http.mjs';

/** Browsers reach it as `localhost`, another site than the server under test at `serverUrl`. */
export async function startGitHub({ serverUrl }) {
    const github = new GitHub(serverUrl);
    await github.start();
    return github;
}

class GitHub {
    #server;
    #serverUrl;
    #codes = new Set();
    #refreshTokens = new Set();
    #userTokens = new Set();

    constructor(serverUrl) {
        this.#serverUrl = serverUrl;
        this.appId = '424242';
        this.client = { id: 'Iv1.sdk-tests', secret: randomUUID() };
        const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
        this.#publicKey = publicKey;
        this.privateKey = privateKey;
        /** Installation id to whether it is still there. */
        this.installations = new Map();
        /** Token of an installation to when it ends. */
        this.installationTokens = new Map();
        this.installationTokenSeconds = 3600;
        /** The claims of every proof that was right. */
        this.proofs = [];
        this.installationCalls = 0;
    }

    #publicKey;

    async start() {
        this.#server = await listen((request, response) => this.#route(request, response));
        this.url = `http://127.0.0.1:${this.#server.port}`;
        this.pages = `http://localhost:${this.#server.port}`;
    }

    close() {
        return this.#server.close();
    }

    /** PKCS#1 (as GitHub gives keys out) or PKCS#8. */
    pem(type = 'pkcs1') {
        return this.privateKey.export({ type, format: 'pem' }).trim();
    }

    appLink(slug) {
        return `${this.pages}/apps/${slug}`;
    }

    acceptsInstallationToken(token) {
        return (this.installationTokens.get(token) ?? 0) > Date.now();
    }

    acceptsUserToken(token) {
        return this.#userTokens.has(token);
    }

    async #route(request, response) {
        const url = new URL(request.url, this.url);
        const page = /^\/apps\/(plain|user)\/installations\/new$/.exec(url.pathname);
        const tokens = /^\/app\/installations\/(\d+)\/access_tokens$/.exec(url.pathname);
        if (page) return this.#installPage(page[1], url, response);
        if (tokens && request.method === 'POST') return this.#installationToken(tokens[1], request, response);
        if (url.pathname === '/login/oauth/access_token') return this.#userToken(request, response);
        if (url.pathname === '/user') return this.#user(request, response);
        if (url.pathname === '/installation/repositories') return this.#repositories(request, response);
        sendJson(response, 404, { message: 'Not Found' });
    }

    #installPage(slug, url, response) {
        const id = String(1000 + this.installations.size);
        const state = url.searchParams.get('state');
        const code = randomUUID();
        this.#codes.add(code);
        this.installations.set(id, true);
        const back = (answer) => {
            const target = new URL(slug === 'plain' ? '/app-auth/connect' : '/oauth/callback', this.#serverUrl);
            for (const [name, value] of Object.entries({ ...answer, state })) target.searchParams.set(name, value);
            if (slug === 'user' && answer.setup_action) target.searchParams.set('code', code);
            return target.toString().replaceAll('&', '&amp;');
        };
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end(`<!doctype html><title>install</title>
<a id="install" href="${back({ installation_id: id, setup_action: 'install' })}">Install</a>
<a id="request" href="${back({ setup_action: 'request' })}">Request</a>
<a id="cancel" href="${back({ error: 'access_denied', error_description: 'The user said no to the app' })}">Cancel</a>`);
    }

    async #installationToken(id, request, response) {
        this.installationCalls += 1;
        const jwt = bearer(request);
        let claims;
        try {
            const rules = { issuer: this.appId, algorithms: ['RS256'], requiredClaims: ['iat', 'exp'], maxTokenAge: '10m' };
            claims = (await jwtVerify(jwt ?? '', this.#publicKey, rules)).payload;
        } catch (error) {
            return sendJson(response, 401, { message: `A JSON web token could not be decoded (${error.code})` });
        }
        if (decodeProtectedHeader(jwt).typ !== 'JWT') return sendJson(response, 401, { message: 'Unexpected type' });
        if (claims.exp > Date.now() / 1000 + 600) return sendJson(response, 401, { message: "'exp' is too far in the future" });
        if (!request.headers['user-agent']) return sendJson(response, 403, { message: 'User-Agent is required' });
        this.proofs.push(claims);
        if (!this.installations.get(id)) return sendJson(response, 404, { message: 'Not Found' });
        const token = `ghs_${randomUUID()}`;
        const ends = Date.now() + this.installationTokenSeconds * 1000;
        this.installationTokens.set(token, ends);
        sendJson(response, 201, { token, expires_at: new Date(ends).toISOString(), permissions: { contents: 'read' } });
    }

    async #userToken(request, response) {
        const form = new URLSearchParams((await readBody(request)).toString());
        if (form.get('client_id') !== this.client.id || form.get('client_secret') !== this.client.secret) {
            return sendJson(response, 200, { error: 'incorrect_client_credentials', error_description: 'Wrong client.' });
        }
        const isRefresh = form.get('grant_type') === 'refresh_token';
        const known = isRefresh ? this.#refreshTokens.delete(form.get('refresh_token')) : this.#codes.delete(form.get('code'));
        // A verifier that belongs to no challenge must be refused.
        if (!known || form.has('code_verifier')) return sendJson(response, 200, { error: 'bad_verification_code' });
        const tokens = { access_token: `ghu_${randomUUID()}`, refresh_token: `ghr_${randomUUID()}` };
        this.#userTokens.add(tokens.access_token);
        this.#refreshTokens.add(tokens.refresh_token);
        sendJson(response, 200, { ...tokens, expires_in: 28800, token_type: 'bearer', scope: '' });
    }

    #user(request, response) {
        if (!this.acceptsUserToken(bearer(request))) return sendJson(response, 401, { message: 'Bad credentials' });
        sendJson(response, 200, { login: 'octocat' });
    }

    #repositories(request, response) {
        if (!this.acceptsInstallationToken(bearer(request))) return sendJson(response, 401, { message: 'Bad credentials' });
        sendJson(response, 200, { total_count: 0, repositories: [] });
    }
}

function bearer(request) {
    return /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
}
