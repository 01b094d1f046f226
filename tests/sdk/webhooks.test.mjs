//! Outgoing webhooks as a customer's backend takes them: verified by the published SDK, and none lost when either side is killed.

import assert from 'node:assert/strict';
import { Nango } from '@nangohq/node';
import { startReceiver } from './support/receiver.mjs';
import { needs, noSharedDatabase } from './support/require.mjs';
import { after, before, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';
import { importConnection, plainIntegration, startWorld } from './support/world.mjs';

const operator = { NANGO_DASHBOARD_USERNAME: 'ops', NANGO_DASHBOARD_PASSWORD: 'operators-password' };
// Short, so that failures are over while a test waits.
const impatient = { NANGO_WEBHOOK_TIMEOUT_MS: '2000', NANGO_WEBHOOK_CIRCUIT_BREAKER_COOLDOWN_DURATION_SECS: '1' };

let world;
let receiver;

async function asOperator(method, path, body) {
    const credentials = Buffer.from(`${operator.NANGO_DASHBOARD_USERNAME}:${operator.NANGO_DASHBOARD_PASSWORD}`).toString('base64');
    const response = await fetch(`${world.server.url}/api/v1/${path}`, {
        method,
        headers: { authorization: `Basic ${credentials}`, 'content-type': 'application/json' },
        body: body && JSON.stringify(body)
    });
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()).data;
}

async function start(options) {
    world = await startWorld({ env: { ...operator, ...impatient }, ...options });
    receiver = await startReceiver();
    await plainIntegration(world, 'test-key', 'key');
    await asOperator('PATCH', 'environments/webhook?env=dev', { primary_url: receiver.url });
    receiver.checkWith((await asOperator('GET', 'environments/current?env=dev')).webhook_signing_key);
}

async function stop() {
    await receiver?.close();
    await world?.close();
}

/** Imports a connection, which is an event. Resolves when the server has acknowledged it. */
function connect(connectionId, round = 0) {
    return importConnection(world, {
        provider_config_key: 'key',
        connection_id: connectionId,
        tags: { round: String(round), note: 'ü 😀 \u2028 "quoted" \\ </script>' },
        credentials: { type: 'API_KEY', apiKey: 'a-key' }
    });
}

const idsTaken = () => new Set(receiver.taken.map(({ body }) => body.connectionId));

function assertAllSigned() {
    for (const { text, isSigned, isSignedTheOldWay } of receiver.taken) {
        assert.ok(isSigned, `the HMAC of ${text}`);
        assert.ok(isSignedTheOldWay, `the old signature of ${text}`);
    }
}

/** Rounds of an event may come twice, but none before an earlier one. */
function assertOrdered(connectionId) {
    const rounds = receiver.taken.filter(({ body }) => body.connectionId === connectionId).map(({ body }) => Number(body.tags.round));
    const firsts = rounds.filter((round, index) => rounds.indexOf(round) === index);
    assert.deepEqual(firsts, firsts.toSorted((left, right) => left - right), `${connectionId}: ${rounds}`);
}

describe('webhooks and the published SDK', () => {
    before(() => start({}));
    after(stop);

    test('both verifiers accept what is sent, and nothing that was changed', async () => {
        await connect('verified');
        const { headers, text, body } = await until('the webhook', () => receiver.taken.find((one) => one.body.connectionId === 'verified'), { everyMs: 10 });
        assertAllSigned();
        assert.deepEqual([body.from, body.type, body.operation, body.success, body.environment], ['nango', 'auth', 'creation', true, 'dev']);
        const signingKey = (await asOperator('GET', 'environments/current?env=dev')).webhook_signing_key;
        const sdk = new Nango({ host: world.server.url, secretKey: world.server.secretKey, webhookSigningKey: signingKey });
        assert.ok(sdk.verifyIncomingWebhookRequest(text, headers));
        assert.ok(!sdk.verifyIncomingWebhookRequest(text.replace('verified', 'forged'), headers));
        assert.ok(!world.sdk.verifyIncomingWebhookRequest(text, headers), 'the API key is another key');
    });

    test('a new signing key signs at once, and the old one beside it', async () => {
        const { webhook_signing_key: signingKey } = await asOperator('POST', 'environment/webhook-signing-key/rotate?env=dev');
        receiver.checkWith(signingKey);
        receiver.taken.length = 0;
        await connect('rotated');
        const { headers } = await until('the webhook', () => receiver.taken[0], { everyMs: 10 });
        assertAllSigned();
        assert.match(headers['x-nango-hmac-sha256-previous'], /^[0-9a-f]{64}$/);
    });

    test('a receiver that is killed and restarted under load gets every event, in the order of each connection', async () => {
        receiver.taken.length = 0;
        const rounds = 6;
        const load = Array.from({ length: 20 }, async (_, connection) => {
            for (let round = 0; round < rounds; round += 1) await connect(`load-${connection}`, round);
        });
        await until('the load to arrive', () => receiver.taken.length >= 10, { everyMs: 5 });
        await receiver.close();
        await Promise.all(load);
        await receiver.open();
        const expected = 20 * rounds;
        const distinct = () => new Set(receiver.taken.map(({ body }) => `${body.connectionId} ${body.tags.round}`)).size;
        await until('every event', () => distinct() === expected, { deadlineMs: 90_000 });
        assertAllSigned();
        for (let connection = 0; connection < 20; connection += 1) assertOrdered(`load-${connection}`);
    });
});

/** The suite, on one kind of database: a kill must lose nothing in either. */
function killingSuite(embedded) {
    before(() => start({ embedded }));
    after(stop);

    test('SIGKILL while webhooks are being sent loses none that was acknowledged', async () => {
        receiver.hangs = true;
        const acknowledged = [];
        let isKilled = false;
        const load = Array.from({ length: 8 }, async (_, worker) => {
            for (let number = 0; !isKilled; number += 1) {
                const id = `kill-${worker}-${number}`;
                try {
                    await connect(id);
                } catch (error) {
                    if (!isKilled) throw error;
                    return;
                }
                acknowledged.push(id);
            }
        });
        await until('some to be on their way', () => receiver.arrivals >= 10 && acknowledged.length >= 60, { everyMs: 5, deadlineMs: 60_000 });
        isKilled = true;
        await world.server.kill();
        await Promise.all(load);
        receiver.hangs = false;
        await world.server.restart();
        const missing = () => acknowledged.filter((id) => !idsTaken().has(id));
        await until('every event', () => missing().length === 0, { deadlineMs: 90_000 });
        assertAllSigned();
        // Those that were stored, but not acknowledged, are sent too.
        await until('nothing to wait', async () => (await asOperator('GET', 'webhook-deliveries?env=dev&state=waiting')).length === 0, { deadlineMs: 60_000 });
    });
}

describe('SIGKILL and webhooks, embedded database', () => killingSuite(true));
describe('SIGKILL and webhooks, PostgreSQL', needs(noSharedDatabase), () => killingSuite(false));
