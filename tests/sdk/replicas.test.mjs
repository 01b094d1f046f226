//! Two server processes on one PostgreSQL database.

import assert from 'node:assert/strict';
import { createServer, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { answerProvider, openHostPage, startChromium } from './support/browser.mjs';
import { testCatalog } from './support/catalog.mjs';
import { startHitchpost } from './support/hitchpost.mjs';
import { startHostPage } from './support/host-page.mjs';
import { needs, noChromium, noSharedDatabase } from './support/require.mjs';
import { openSocket } from './support/socket.mjs';
import { after, before, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';
import { signInByHand } from './support/walker.mjs';
import { importTokens, oidcIntegration, refusal, sessionFor, startWorld, tokensIntegration } from './support/world.mjs';

describe('two replicas on one database', needs(noSharedDatabase), () => {
    let world;
    let other;
    before(async () => {
        world = await startWorld({ oidc: {}, tokens: true });
        // Both replicas stand for the same public address, the first one's.
        const env = { NANGO_SERVER_URL: world.server.url };
        other = world.keep(await startHitchpost({ catalog: testCatalog(world), env, state: world.server.state }));
        await tokensIntegration(world, 'tokens');
        await oidcIntegration(world, 'oidc');
    });
    after(() => world?.close());

    for (const answer of ['allow', 'refuse']) {
        test(`a socket on one replica hears of a sign-in finished on the other (${answer})`, async () => {
            const socket = await openSocket(other.url);
            const session = { key: 'oidc', token: await sessionFor(world, 'oidc'), wsClientId: socket.wsClientId, answer };
            const page = await signInByHand(world.server, session);
            const frame = await socket.outcome();
            socket.close();
            assert.equal(page.status, answer === 'allow' ? 200 : 400);
            assert.equal(frame.message_type, answer === 'allow' ? 'success' : 'error');
            if (answer === 'allow') assert.ok(await other.sdk.getToken('oidc', frame.connection_id));
        });
    }

    test('forty reads of an expired connection, half on each replica, make one token call', async () => {
        const { connection_id } = await importTokens(world, 'tokens', world.tokens.issue(), Date.now() - 1000);
        world.tokens.calls.length = 0;
        const sdks = Array.from({ length: 40 }, (_, index) => (index % 2 ? world.sdk : other.sdk));
        const tokens = await Promise.all(sdks.map((sdk) => sdk.getToken('tokens', connection_id)));
        assert.equal(new Set(tokens).size, 1);
        assert.equal(world.tokens.callsOf('refresh_token').length, 1);
    });

    test('a deleted connection stops being proxied by the other replica within five seconds', async () => {
        const { connection_id } = await importTokens(world, 'tokens', world.tokens.issue(), Date.now() + 3_600_000);
        const call = () => other.sdk.get({ providerConfigKey: 'tokens', connectionId: connection_id, endpoint: '/me' });
        await call();
        await world.sdk.deleteConnection('tokens', connection_id);
        const deleted = Date.now();
        const stopped = await until('the other replica to refuse', () => refusal(call()), { deadlineMs: 8_000, everyMs: 200 });
        assert.equal(stopped.status, 400);
        assert.ok(Date.now() - deleted < 7_000);
    });

    test('the published frontend SDK gets its result through a balancer that splits socket and popup', needs(noChromium), async () => {
        const balancer = world.keep(await startBalancer({ http: world.server, socket: other }));
        const hostPage = world.keep(await startHostPage());
        const browser = world.keep(await startChromium());
        const host = await openHostPage(browser, hostPage);
        const popup = await host.openPopup(balancer, await sessionFor(world, 'oidc'), 'oidc');
        await answerProvider(popup);
        const { success, error } = await host.outcome();
        assert.equal(error, undefined);
        assert.ok(await world.sdk.getToken('oidc', success.connectionId));
        await host.close();
    });
});

/** Sends websocket upgrades to one replica and everything else to the other. */
async function startBalancer({ http, socket }) {
    const server = createServer((request, response) => {
        const onward = httpRequest(`${http.url}${request.url}`, { method: request.method, headers: { ...request.headers, host: new URL(http.url).host } }, (answer) => {
            response.writeHead(answer.statusCode, answer.rawHeaders);
            answer.pipe(response);
        });
        onward.on('error', () => response.destroy());
        request.pipe(onward);
    });
    server.on('upgrade', (request, client, head) => {
        const upstream = connect(socket.port, '127.0.0.1', () => {
            const headers = Object.entries({ ...request.headers, host: `127.0.0.1:${socket.port}` }).map(([name, value]) => `${name}: ${value}\r\n`);
            upstream.write(`GET ${request.url} HTTP/1.1\r\n${headers.join('')}\r\n`);
            upstream.write(head);
            upstream.pipe(client).pipe(upstream);
        });
        for (const end of [upstream, client]) end.on('error', () => [upstream, client].forEach((stream) => stream.destroy()));
    });
    const sockets = new Set();
    server.on('connection', (connection) => {
        sockets.add(connection);
        connection.once('close', () => sockets.delete(connection));
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
        url: `http://127.0.0.1:${server.address().port}`,
        // Upgraded connections are no longer the HTTP server's, so it would wait for them for ever.
        close: () =>
            new Promise((resolve) => {
                server.close(resolve);
                sockets.forEach((connection) => connection.destroy());
            })
    };
}
