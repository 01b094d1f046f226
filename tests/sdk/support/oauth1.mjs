//! An OAuth 1.0a provider with pages for the user and an API behind it. Every signature is computed anew with npm
//! `oauth-1.0a`, from what really arrived; nonces are good once, and clocks may be five minutes apart.

import { createHmac, createVerify, generateKeyPairSync, randomBytes } from 'node:crypto';
import OAuth from 'oauth-1.0a';
import { listen, readBody, sendJson } from './http.mjs';

const MAX_CLOCK_SKEW_S = 300;
const HASHES = { 'HMAC-SHA1': 'sha1', 'HMAC-SHA256': 'sha256' };

/** Starts the provider. Browsers reach it as `localhost`, another site than the server under test. */
export async function startOauth1() {
    const provider = new Oauth1();
    await provider.start();
    return provider;
}

class Oauth1 {
    #server;
    #nonces = new Set();
    /** request token -> {secret, callback, verifier} */
    #requests = new Map();

    constructor() {
        this.client = { id: `ck ${randomBytes(4).toString('hex')}`, secret: `cs&${randomBytes(12).toString('hex')}` };
        /** Stands in the place of the secret where the method is RSA-SHA1. */
        this.keys = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs1', format: 'pem' } });
        /** access token -> secret */
        this.tokens = new Map();
        /** What arrived at the API, with the verdict on its signature. */
        this.calls = [];
    }

    async start() {
        this.#server = await listen((request, response) => this.#answer(request, response));
        this.url = `http://127.0.0.1:${this.#server.port}`;
        this.publicUrl = `http://localhost:${this.#server.port}`;
    }

    get last() {
        return this.calls.at(-1);
    }

    /** A token that was never asked for, as people create them on a settings page. */
    issue() {
        const token = `at ${randomBytes(6).toString('hex')}`;
        this.tokens.set(token, `ts+${randomBytes(6).toString('hex')}`);
        return { token, secret: this.tokens.get(token) };
    }

    async #answer(request, response) {
        const url = new URL(request.url, this.url);
        const seen = { method: request.method, url, headers: request.headers, body: await readBody(request) };
        if (url.pathname === '/request_token') return this.#requestToken(seen, response);
        if (url.pathname === '/authorize') return this.#authorize(seen, response);
        if (url.pathname === '/access_token') return this.#accessToken(seen, response);
        if (url.pathname === '/api/moved') return response.writeHead(302, { location: '/api/things?moved=a%20b' }).end();
        return this.#api(seen, response);
    }

    #requestToken(seen, response) {
        const { oauth, problem } = this.#check(seen, '');
        if (problem) return refuse(response, problem);
        if (!oauth.oauth_callback) return refuse(response, 'no callback');
        const token = `rt/${randomBytes(6).toString('hex')}`;
        this.#requests.set(token, { secret: `rs=${randomBytes(6).toString('hex')}`, callback: oauth.oauth_callback });
        sendForm(response, { oauth_token: token, oauth_token_secret: this.#requests.get(token).secret, oauth_callback_confirmed: 'true' });
    }

    #authorize({ method, url, body }, response) {
        const token = url.searchParams.get('oauth_token');
        const pending = this.#requests.get(token);
        if (!pending) return response.writeHead(404).end('unknown request token');
        if (method === 'GET') {
            response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
            return response.end(`<!doctype html><title>authorize</title><p id="scope">${url.searchParams.get('scope')}</p>
<form method="post"><button name="answer" value="allow" id="allow">Allow</button><button name="answer" value="refuse" id="refuse">Refuse</button></form>`);
        }
        const back = new URL(pending.callback);
        back.searchParams.set('oauth_token', token);
        if (new URLSearchParams(body.toString()).get('answer') === 'allow') {
            pending.verifier = randomBytes(6).toString('base64');
            back.searchParams.set('oauth_verifier', pending.verifier);
        } else {
            back.searchParams.set('oauth_problem', 'user_refused');
        }
        response.writeHead(303, { location: back.href }).end();
    }

    #accessToken(seen, response) {
        const pending = this.#requests.get(parseHeader(seen).oauth_token);
        const { oauth, problem } = this.#check(seen, pending?.secret ?? '');
        if (!pending || problem) return refuse(response, problem ?? 'unknown request token');
        if (oauth.oauth_verifier !== pending.verifier) return refuse(response, 'wrong verifier');
        this.#requests.delete(oauth.oauth_token);
        const { token, secret } = this.issue();
        sendForm(response, { oauth_token: token, oauth_token_secret: secret, screen_name: 'ada lovelace' });
    }

    #api(seen, response) {
        const secret = this.tokens.get(parseHeader(seen).oauth_token);
        const { oauth, problem } = secret === undefined ? { problem: 'unknown token', oauth: {} } : this.#check(seen, secret);
        this.calls.push({ ...seen, oauth, problem });
        if (problem) return sendJson(response, 401, { error: problem });
        sendJson(response, 200, { welcome: true });
    }

    /** The protocol parameters, and what is wrong with them. */
    #check(seen, tokenSecret) {
        const { realm, oauth_signature: signature, ...oauth } = parseHeader(seen);
        const problem = this.#problem(seen, oauth, signature, tokenSecret);
        return { oauth: { ...oauth, realm }, problem };
    }

    #problem(seen, oauth, signature, tokenSecret) {
        if (oauth.oauth_consumer_key !== this.client.id) return 'unknown consumer';
        if (Math.abs(Number(oauth.oauth_timestamp) - Date.now() / 1000) > MAX_CLOCK_SKEW_S) return 'bad timestamp';
        if (oauth.oauth_nonce?.length !== 32 || this.#nonces.has(oauth.oauth_nonce)) return 'bad nonce';
        this.#nonces.add(oauth.oauth_nonce);
        const method = oauth.oauth_signature_method;
        const signer = new OAuth({
            consumer: { key: this.client.id, secret: this.client.secret },
            signature_method: method,
            hash_function: (text, key) => (method === 'PLAINTEXT' ? key : createHmac(HASHES[method], key).update(text).digest('base64'))
        });
        const request = { method: seen.method, url: `${this.url}${seen.url.pathname}`, data: parameters(seen) };
        if (method === 'RSA-SHA1') {
            const isRight = createVerify('RSA-SHA1').update(signer.getBaseString(request, oauth)).verify(this.keys.publicKey, signature, 'base64');
            return isRight ? undefined : 'wrong signature';
        }
        return signer.getSignature(request, tokenSecret, oauth) === signature ? undefined : 'wrong signature';
    }

    close() {
        return this.#server.close();
    }
}

/** The parameters of the Authorization header, decoded. */
function parseHeader({ headers }) {
    const [scheme, rest = ''] = (headers.authorization ?? '').split(/ (.*)/s);
    if (scheme !== 'OAuth') return {};
    return Object.fromEntries(rest.split(/,\s*/).map((pair) => pair.match(/^([^=]+)="(.*)"$/).slice(1).map(decodeURIComponent)));
}

/** Query and form, decoded; repeated names have lists. */
function parameters({ url, headers, body }) {
    const isForm = headers['content-type']?.startsWith('application/x-www-form-urlencoded');
    const data = Object.create(null);
    for (const [name, value] of [...url.searchParams, ...new URLSearchParams(isForm ? body.toString() : '')]) {
        data[name] = name in data ? [].concat(data[name], value) : value;
    }
    return data;
}

function sendForm(response, members) {
    // As Twitter does: a form that calls itself a page.
    response.writeHead(200, { 'content-type': 'text/html;charset=utf-8' }).end(String(new URLSearchParams(members)));
}

function refuse(response, problem) {
    response.writeHead(401, { 'content-type': 'text/plain' }).end(`Request refused: ${problem}`);
}
