//! SIGKILL at bad moments. What was acknowledged before is there afterwards.

import assert from 'node:assert/strict';
import { needs, noSharedDatabase } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';
import { openSocket } from './support/socket.mjs';
import { signInByHand } from './support/walker.mjs';
import { importTokens, sessionFor, startWorld, tokensIntegration } from './support/world.mjs';

let world;
let release = () => {};
/** Lets `work` fail once the server is gone, and only then. */
function untilKilled(killed, work) {
    return work().catch((error) => {
        if (!killed()) throw error;
    });
}

function assertAllWell(outcomes) {
    for (const { status, reason } of outcomes) assert.equal(status, 'fulfilled', reason?.stack);
}

/** Opens the gate once the token server has noticed that its callers are dead, so that they change nothing there. */
async function forgetHeldCalls() {
    await until('the dead callers to be noticed', () => world.tokens.calls.every((call) => call.status !== null || call.abandoned));
    release();
}

/** The suite, on one kind of database: a kill must lose nothing in either. */
function killingSuite(embedded) {
    before(async () => {
        world = await startWorld({ tokens: true, embedded });
        await tokensIntegration(world, 'tokens');
    });
    after(() => world?.close());
    afterEach(() => release());

    test('during callbacks loses no connection that was announced', async () => {
        const announced = [];
        let isKilled = false;
        const keepSigningIn = async () => {
            while (!isKilled) {
                const socket = await openSocket(world.server.url);
                const token = await sessionFor(world, 'tokens');
                const page = signInByHand(world.server, { key: 'tokens', token, wsClientId: socket.wsClientId });
                const [frame] = await Promise.all([socket.outcome(), page.catch(() => {})]);
                socket.close();
                assert.equal(frame.message_type, 'success');
                announced.push(frame.connection_id);
            }
        };
        const visitors = Promise.allSettled(Array.from({ length: 6 }, () => untilKilled(() => isKilled, keepSigningIn)));
        await until('a dozen sign-ins', () => announced.length >= 12, { deadlineMs: 60_000 });
        isKilled = true;
        await world.server.kill();
        assertAllWell(await visitors);

        await world.server.restart();
        for (const id of announced) {
            assert.ok(world.tokens.accepts(await world.sdk.getToken('tokens', id)), `connection ${id} is still there`);
        }
        const page = await signInByHand(world.server, { key: 'tokens', token: await sessionFor(world, 'tokens') });
        assert.equal(page.status, 200, 'signing in works again');
    });

    test('while a callback waits for the provider leaves no half-made connection', async () => {
        release = world.tokens.hold();
        world.tokens.calls.length = 0;
        const token = await sessionFor(world, 'tokens', { end_user: { id: 'half-made' } });
        const page = signInByHand(world.server, { key: 'tokens', token }).catch(() => 'cut off');
        await until('the code exchange to arrive', () => world.tokens.callsOf('authorization_code').length > 0);
        await world.server.kill();
        assert.equal(await page, 'cut off');
        await forgetHeldCalls();
        await world.server.restart();
        assert.deepEqual((await world.sdk.listConnections({ userId: 'half-made' })).connections, []);
        assert.equal((await signInByHand(world.server, { key: 'tokens', token })).status, 200, 'the session still works');
    });

    test('during refreshes keeps the last refresh token that a reader was given, or a newer one', async () => {
        const connections = await Promise.all(
            Array.from({ length: 4 }, async () => {
                const pair = world.tokens.issue();
                const { connection_id } = await importTokens(world, 'tokens', pair, Date.now() + 3_600_000);
                return { id: connection_id, acknowledged: pair.serial, reads: 0 };
            })
        );
        let isKilled = false;
        const keepRefreshing = async (connection) => {
            while (!isKilled) {
                const { credentials } = await world.sdk.getConnection('tokens', connection.id, true, true);
                connection.acknowledged = world.tokens.find(credentials.refresh_token).serial;
                connection.reads += 1;
            }
        };
        const readers = Promise.allSettled(connections.map((connection) => untilKilled(() => isKilled, () => keepRefreshing(connection))));
        await until('a few refreshes of each', () => connections.every(({ reads }) => reads >= 5), { deadlineMs: 60_000 });
        isKilled = true;
        await world.server.kill();
        assertAllWell(await readers);

        await world.server.restart();
        for (const { id, acknowledged } of connections) {
            const { credentials } = await world.sdk.getConnection('tokens', id, false, true);
            const stored = world.tokens.find(credentials.refresh_token);
            assert.ok(stored.serial >= acknowledged, `stored ${stored.serial}, acknowledged ${acknowledged}`);
            assert.equal(stored.accessToken, credentials.access_token);
        }
    });

    test('while a refresh waits for the provider does not block the connection for ever', async () => {
        const pair = world.tokens.issue();
        const { connection_id } = await importTokens(world, 'tokens', pair, Date.now() - 1000);
        world.tokens.calls.length = 0;
        release = world.tokens.hold();
        const read = world.sdk.getConnection('tokens', connection_id).catch(() => 'cut off');
        await until('the refresh to arrive', () => world.tokens.callsOf('refresh_token').length > 0);
        await world.server.kill();
        assert.equal(await read, 'cut off');
        await forgetHeldCalls();
        await world.server.restart();

        // The dead process still holds the lease; the next reader takes over when it has run out.
        const { credentials } = await until('the refresh to be taken over', () => world.sdk.getConnection('tokens', connection_id, true, true), { deadlineMs: 150_000, everyMs: 500 });
        assert.equal(world.tokens.find(credentials.refresh_token).family, pair.family);
    });
}

describe('SIGKILL, embedded database', () => killingSuite(true));
describe('SIGKILL, PostgreSQL', needs(noSharedDatabase), () => killingSuite(false));
