//! Small HTTP servers on free ports of 127.0.0.1, for the fake world around the server under test.

import { createServer } from 'node:http';

/** Starts an HTTP server; `listener` may be async, its errors become a plain 500. */
export async function listen(listener, { onUpgrade } = {}) {
    const server = createServer((request, response) => {
        Promise.resolve(listener(request, response)).catch((error) => {
            if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
            response.end(`the fake server broke: ${error.stack}`);
        });
    });
    if (onUpgrade) server.on('upgrade', onUpgrade);
    await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
    return {
        port: server.address().port,
        close: () =>
            new Promise((resolve) => {
                server.close(resolve);
                server.closeAllConnections();
            })
    };
}

/** A port that was free a moment ago. */
export async function freePort() {
    const server = await listen(() => {});
    await server.close();
    return server.port;
}

/** The whole body of a request or response as bytes. */
export async function readBody(stream) {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return Buffer.concat(chunks);
}

export function sendJson(response, status, body, headers = {}) {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
}

/** The user name and password of an `Authorization: Basic` header, or undefined. */
export function basicAuth(request) {
    const match = /^Basic (.+)$/.exec(request.headers.authorization ?? '');
    if (!match) return undefined;
    const [username, ...password] = Buffer.from(match[1], 'base64').toString().split(':');
    return { username, password: password.join(':') };
}
