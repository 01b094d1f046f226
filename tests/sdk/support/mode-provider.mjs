//! A provider with a way in for each mode that has no other counterpart here: logins, assertions, signed tokens, a plugin to
//! install, and a bank that lets nobody in without a certificate. Proofs are checked by other libraries or by hand, and what
//! is behind `/<way>/me` opens only for what the login gave.

import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { fileURLToPath } from 'node:url';
import { jwtVerify } from 'jose';
import { basicAuth, listen, readBody, sendJson } from './http.mjs';

const certificates = new URL('../../it/testdata/', import.meta.url);

/** A file of the test certificates. */
export function certificate(name) {
    return readFileSync(new URL(name, certificates), 'utf8').trim();
}

/** Starts the provider. Browsers reach its pages as `localhost`, another site than the server under test at `serverUrl`. */
export async function startModeProvider({ serverUrl }) {
    const provider = new ModeProvider(serverUrl);
    await provider.start();
    return provider;
}

class ModeProvider {
    #server;
    #bank;
    #serverUrl;
    #tokens = new Set();
    #routes = {
        'assertion/token': (seen) => this.#assertionToken(seen),
        'assertion/me': (seen) => this.#holdsToken(seen),
        'steps/token': (seen) => this.#stepsToken(seen),
        'steps/me': (seen) => this.#holdsToken(seen),
        'jwt/me': (seen) => this.#isSigned(seen),
        'wsse/me': (seen) => isWsse(seen, this.login),
        'bill/token': (seen) => this.#billToken(seen),
        'bill/me': ({ headers }) => this.#tokens.has(headers.sessionid) && headers.devkey === 'dev-1',
        'plugin/w-9': (seen) => isLogin(basicAuth(seen), this.login)
    };

    constructor(serverUrl) {
        this.#serverUrl = serverUrl;
        this.login = { username: 'ada', password: 'lovelace' };
        this.issuer = randomUUID();
        const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
        this.publicKey = publicKey;
        this.privateKey = privateKey;
    }

    async start() {
        this.#server = await listen((request, response) => this.#answer(request, response));
        this.url = `http://127.0.0.1:${this.#server.port}`;
        this.pages = `http://localhost:${this.#server.port}`;
        const tls = { key: certificate('server.key'), cert: certificate('server.pem'), ca: certificate('ca.pem'), requestCert: true, rejectUnauthorized: true };
        this.#bank = createServer(tls, (request, response) => this.#bankAnswer(request, response));
        await new Promise((resolve) => this.#bank.listen(0, '127.0.0.1', resolve));
        this.bankUrl = `https://127.0.0.1:${this.#bank.address().port}`;
    }

    /** What the server under test must be told, to trust the bank. */
    get env() {
        return { NODE_EXTRA_CA_CERTS: fileURLToPath(new URL('ca.pem', certificates)) };
    }

    get pem() {
        return this.privateKey.export({ type: 'pkcs8', format: 'pem' }).trim();
    }

    get jwk() {
        return JSON.stringify({ ...this.privateKey.export({ format: 'jwk' }), kid: 'key-1' });
    }

    async #answer(request, response) {
        const url = new URL(request.url, this.url);
        if (url.pathname === '/plugin/install') return this.#installPage(url, response);
        const route = this.#routes[url.pathname.slice(1)];
        if (!route) return sendJson(response, 404, { error: 'not_found' });
        const outcome = await route({ headers: request.headers, body: (await readBody(request)).toString() });
        if (!outcome) return sendJson(response, 401, { error: 'invalid_login', error_description: 'Who are you?' });
        sendJson(response, 200, outcome === true ? { welcome: true } : outcome);
    }

    #token() {
        const token = randomUUID();
        this.#tokens.add(token);
        return token;
    }

    #holdsToken({ headers }) {
        return this.#tokens.has(headers.authorization?.replace(/^Bearer /, ''));
    }

    /** RFC 7523, section 2.2 */
    async #assertionToken({ body }) {
        const form = new URLSearchParams(body);
        const rules = { issuer: 'machine', subject: 'machine', audience: `${this.url}/assertion/token`, algorithms: ['RS256'] };
        const isRight = await jwtVerify(form.get('client_assertion') ?? '', this.publicKey, rules).catch(() => null);
        return isRight?.protectedHeader.kid === 'key-1' && { access_token: this.#token(), expires_in: 3600 };
    }

    /** A login whose parts come from every section of a form; the subject travels in a SAML assertion. */
    #stepsToken({ body }) {
        const form = new URLSearchParams(body);
        const assertion = Buffer.from(form.get('assertion') ?? '', 'base64').toString();
        const isRight = form.get('login') === 'ada@example.test' && form.get('kind') === 'some those' && />me<\/saml:NameID>/.test(assertion);
        return isRight && { token: this.#token() };
    }

    async #isSigned({ headers }) {
        const rules = { issuer: this.issuer, audience: 'acme', algorithms: ['RS256'] };
        return jwtVerify(headers.authorization?.replace(/^Bearer /, '') ?? '', this.publicKey, rules).then(
            () => true,
            () => false
        );
    }

    #billToken({ body }) {
        const { devKey, organizationId, ...login } = JSON.parse(body);
        return isLogin(login, this.login) && devKey === 'dev-1' && { sessionId: this.#token(), organizationId, userId: 'u-1' };
    }

    #installPage(url, response) {
        const back = new URL('/oauth/callback', this.#serverUrl);
        back.searchParams.set('payload', url.searchParams.get('payload'));
        back.searchParams.set('website_id', 'w-9');
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end(`<!doctype html><title>install</title><a id="install" href="${back.href.replaceAll('&', '&amp;')}">Install</a>`);
    }

    /** Who gets here has shown a certificate of the bank's own authority. */
    async #bankAnswer(request, response) {
        if (request.url === '/me') return sendJson(response, this.#holdsToken(request) ? 200 : 401, { welcome: true });
        const form = new URLSearchParams((await readBody(request)).toString());
        const isRight = isLogin({ username: form.get('client_id'), password: form.get('client_secret') }, this.login);
        sendJson(response, isRight ? 200 : 401, isRight ? { access_token: this.#token(), expires_in: 3600 } : { error: 'invalid_client' });
    }

    async close() {
        this.#bank.closeAllConnections();
        await new Promise((resolve) => this.#bank.close(resolve));
        await this.#server.close();
    }
}

function isLogin(given, expected) {
    return given?.username === expected.username && given.password === expected.password;
}

/** WS-Security's user name token, as header. */
function isWsse({ headers }, { username, password }) {
    const parts = /^UsernameToken Username="(.*)", PasswordDigest="(.*)", Nonce="(.*)", Created="(.*)"$/.exec(headers['x-wsse'] ?? '');
    if (!parts) return false;
    const [, name, digest, nonce, created] = parts;
    const hash = createHash('sha1').update(`${nonce}${created}${password}`).digest('hex');
    return name === username && digest === Buffer.from(hash).toString('base64');
}
