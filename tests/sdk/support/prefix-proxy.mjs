//! A reverse proxy that serves the server under test below a path, as many installations do.

import { request } from 'node:http';
import { connect } from 'node:net';
import { listen } from './http.mjs';

/** Everything below `prefix` goes to `target()`, without the prefix; websockets too. */
export async function startPrefixProxy(prefix, target) {
    const inner = (url) => (url.startsWith(prefix) ? url.slice(prefix.length) || '/' : null);
    const server = await listen(
        (incoming, response) => {
            const path = inner(incoming.url);
            if (path === null) return void response.writeHead(404).end('not below the prefix');
            const { hostname, port } = new URL(target());
            const outgoing = request({ hostname, port, path, method: incoming.method, headers: incoming.headers }, (answer) => {
                response.writeHead(answer.statusCode, answer.headers);
                answer.pipe(response);
            });
            outgoing.on('error', () => response.destroy());
            incoming.pipe(outgoing);
        },
        {
            onUpgrade: (incoming, socket, head) => {
                const path = inner(incoming.url);
                const { hostname, port } = new URL(target());
                if (path === null) return socket.destroy();
                const outgoing = connect(port, hostname, () => {
                    const lines = incoming.rawHeaders.reduce((text, part, index) => text + (index % 2 ? `${part}\r\n` : `${part}: `), '');
                    outgoing.write(`GET ${path} HTTP/1.1\r\n${lines}\r\n`);
                    outgoing.write(head);
                    socket.pipe(outgoing).pipe(socket);
                });
                for (const end of [outgoing, socket]) end.on('error', () => [outgoing, socket].forEach((other) => other.destroy()));
            }
        }
    );
    return { url: `http://127.0.0.1:${server.port}${prefix}`, port: server.port, close: server.close };
}
