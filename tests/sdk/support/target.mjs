//! The API behind the proxy: records what arrives and answers in every way a real API does.

import { gzipSync } from 'node:zlib';
import { basicAuth, listen, readBody, sendJson } from './http.mjs';

/** One megabyte that is not text and not periodic in any power of two. */
export const megabyte = Buffer.from(Uint8Array.from({ length: 1_048_576 }, (_, index) => (index * 31 + (index >> 8) * 7) & 0xff));

export async function startTarget() {
    const target = new Target();
    await target.start();
    return target;
}

class Target {
    #server;
    #counts = new Map();
    #routes = {
        '/echo': (seen, response) => sendJson(response, 200, seen.summary),
        '/created': (_seen, response) => sendJson(response, 201, { id: 7 }, { location: '/things/7', link: '</things?page=2>; rel="next"' }),
        '/empty': (_seen, response) => response.writeHead(204).end(),
        '/events': sendEvents,
        '/chunked': sendChunks,
        '/binary': (_seen, response) => response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(megabyte),
        '/gzip': (_seen, response) =>
            response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(gzipSync(JSON.stringify({ squeezed: true }))),
        '/moved': (_seen, response) => response.writeHead(302, { location: '/echo?moved=1' }).end(),
        '/teapot': (_seen, response) => sendJson(response, 418, { error: 'short and stout' }),
        '/flaky': (seen, response) => this.#flaky(seen, response),
        '/me': (seen, response) => this.#me(seen, response),
        '/mcp': (seen, response) => this.#me(seen, response),
        // The base URL with an empty endpoint behind it.
        '/mcp/': (seen, response) => this.#me(seen, response),
        '/.well-known/oauth-protected-resource/mcp': (_seen, response) => this.#resourceMetadata(response),
        '/key-check': (seen, response) => sendJson(response, this.apiKeys.has(seen.headers['x-api-key']) ? 200 : 401, { checked: 'key' }),
        '/basic-check': (seen, response) => this.#basicCheck(seen, response)
    };

    constructor() {
        this.requests = [];
        this.apiKeys = new Set();
        /** user name -> password */
        this.logins = new Map();
        /** The authorization server of `/mcp`, which has none before this is set. */
        this.issuer = null;
        /** Decides which bearer tokens `/me` accepts. */
        this.acceptsToken = async () => false;
    }

    async start() {
        this.#server = await listen((request, response) => this.#answer(request, response));
        this.url = `http://127.0.0.1:${this.#server.port}`;
    }

    get last() {
        return this.requests.at(-1);
    }

    async #answer(request, response) {
        const seen = new SeenRequest(request, await readBody(request));
        this.requests.push(seen);
        const route = this.#routes[seen.path];
        if (!route) return sendJson(response, 404, { error: 'no such thing here', path: seen.path });
        await route(seen, response);
    }

    /** `?fail=<times>&status=<code>&name=<counter>`: fails that often, then answers 200. */
    #flaky(seen, response) {
        const name = seen.query.get('name');
        const failures = this.#counts.get(name) ?? 0;
        if (failures >= Number(seen.query.get('fail'))) return sendJson(response, 200, { failuresBefore: failures });
        this.#counts.set(name, failures + 1);
        sendJson(response, Number(seen.query.get('status') ?? 503), { error: 'try again' }, { 'x-retry-in': '0.05' });
    }

    async #me(seen, response) {
        const token = seen.headers.authorization?.replace(/^Bearer /, '');
        const known = token && (await this.acceptsToken(token));
        sendJson(response, known ? 200 : 401, known ? { welcome: true } : { error: 'who are you?' });
    }

    /** RFC 9728 */
    #resourceMetadata(response) {
        if (!this.issuer) return sendJson(response, 404, { error: 'not protected' });
        sendJson(response, 200, {
            resource: `${this.url}/mcp`,
            authorization_servers: [this.issuer],
            scopes_supported: ['openid', 'offline_access', 'tools']
        });
    }

    #basicCheck(seen, response) {
        const login = basicAuth(seen);
        const known = login && this.logins.get(login.username) === login.password;
        sendJson(response, known ? 200 : 401, { checked: 'login' });
    }

    close() {
        return this.#server.close();
    }
}

class SeenRequest {
    constructor(request, body) {
        this.method = request.method;
        this.url = request.url;
        const url = new URL(request.url, 'http://target');
        this.path = url.pathname;
        this.query = url.searchParams;
        this.search = url.search;
        this.headers = request.headers;
        this.body = body;
    }

    get text() {
        return this.body.toString();
    }

    get summary() {
        return { method: this.method, url: this.url, headers: this.headers, body: this.text };
    }
}

function sendEvents(_seen, response) {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    response.write('data: first\n\n');
    setTimeout(() => response.end('data: second\n\n'), 300);
}

function sendChunks(_seen, response) {
    response.writeHead(200, { 'content-type': 'text/plain' });
    for (const part of ['one ', 'two ', 'three']) response.write(part);
    response.end();
}
