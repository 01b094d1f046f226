//! Tokens that expire: renewed in time, exactly once, with rotation, and with honest answers when renewal is refused.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from './support/test.mjs';
import { until, untilPast } from './support/until.mjs';
import { signInByHand } from './support/walker.mjs';
import { importTokens, oidcIntegration, plainIntegration, refusal, sessionFor, startWorld, tokensIntegration } from './support/world.mjs';

let world;
let sdk;
before(async () => {
    world = await startWorld({ oidc: { accessTokenSeconds: 3 }, tokens: true });
    sdk = world.sdk;
    await oidcIntegration(world, 'oidc');
    await tokensIntegration(world, 'tokens');
});
after(() => world?.close());
beforeEach(() => {
    world.tokens.refuseWith = null;
    world.tokens.tokenSeconds = 3600;
    world.tokens.calls.length = 0;
});

const anHourAgo = () => Date.now() - 3_600_000;
const inAnHour = () => Date.now() + 3_600_000;

/** An expired connection of the scripted server; returns its id and its token pair. */
async function expiredConnection() {
    const pair = world.tokens.issue();
    const { connection_id } = await importTokens(world, 'tokens', pair, anHourAgo());
    return { id: connection_id, pair };
}

describe('against the real OAuth server, with tokens of three seconds', () => {
    test('reads over four expiries give a new, accepted token each time, and rotation survives', async () => {
        world.oidc.resetCounters();
        const token = await sessionFor(world, 'oidc', { end_user: { id: 'rotating' } });
        assert.equal((await signInByHand(world.server, { key: 'oidc', token })).status, 200);
        const [{ connection_id }] = (await sdk.listConnections({ userId: 'rotating' })).connections;

        const seen = { access: new Set(), refresh: new Set() };
        for (let round = 0; round < 5; round += 1) {
            const { credentials } = await sdk.getConnection('oidc', connection_id, false, true);
            assert.ok(await world.oidc.accepts(credentials.access_token), `round ${round}: the provider accepts the token`);
            seen.access.add(credentials.access_token);
            seen.refresh.add(credentials.refresh_token);
            await untilPast(credentials.expires_at);
        }
        assert.deepEqual([seen.access.size, seen.refresh.size], [5, 5]);
        assert.deepEqual(world.oidc.counters.granted, { authorization_code: 1, refresh_token: 4 });
        assert.deepEqual(world.oidc.counters.refused, {});
    });

    test('twenty reads at the same time of an expired connection make exactly one token call', async () => {
        const token = await sessionFor(world, 'oidc', { end_user: { id: 'crowd' } });
        await signInByHand(world.server, { key: 'oidc', token });
        const [{ connection_id }] = (await sdk.listConnections({ userId: 'crowd' })).connections;
        const { credentials } = await sdk.getConnection('oidc', connection_id);
        await untilPast(credentials.expires_at);
        world.oidc.resetCounters();
        const tokens = await Promise.all(Array.from({ length: 20 }, () => sdk.getToken('oidc', connection_id)));
        assert.equal(new Set(tokens).size, 1);
        assert.notEqual(tokens[0], credentials.access_token);
        assert.deepEqual([world.oidc.counters.tokenCalls, world.oidc.counters.granted], [1, { refresh_token: 1 }]);
    });

    test('a proxied call on an expired connection carries a new token', async () => {
        const token = await sessionFor(world, 'oidc', { end_user: { id: 'proxied' } });
        await signInByHand(world.server, { key: 'oidc', token });
        const [{ connection_id }] = (await sdk.listConnections({ userId: 'proxied' })).connections;
        const { credentials } = await sdk.getConnection('oidc', connection_id);
        await untilPast(credentials.expires_at);
        const answer = await sdk.get({ providerConfigKey: 'oidc', connectionId: connection_id, endpoint: '/me' });
        assert.equal(answer.status, 200);
    });
});

describe('against the scripted server', () => {
    test('an expired connection is renewed on the first read, and the rotated refresh token is stored', async () => {
        const { id, pair } = await expiredConnection();
        const { credentials } = await sdk.getConnection('tokens', id, false, true);
        const issued = world.tokens.find(credentials.refresh_token);
        assert.ok(issued.serial > pair.serial);
        assert.equal(issued.family, pair.family);
        assert.equal(credentials.access_token, issued.accessToken);
        await sdk.getConnection('tokens', id);
        assert.equal(world.tokens.callsOf('refresh_token').length, 1, 'the second read needs no call');
    });

    test('a token that has not expired is left alone, unless the refresh is forced', async () => {
        const pair = world.tokens.issue();
        const { connection_id } = await importTokens(world, 'tokens', pair, inAnHour());
        assert.equal(await sdk.getToken('tokens', connection_id), pair.accessToken);
        assert.equal(world.tokens.calls.length, 0);
        const forced = await sdk.getToken('tokens', connection_id, true);
        assert.notEqual(forced, pair.accessToken);
        assert.equal(world.tokens.callsOf('refresh_token').length, 1);
        assert.equal(await sdk.getToken('tokens', connection_id), forced);
    });

    test('twenty proxied calls and twenty reads together make one token call, slow as it is', async () => {
        const { id } = await expiredConnection();
        const release = world.tokens.hold();
        const calls = Array.from({ length: 20 }, () => [
            sdk.get({ providerConfigKey: 'tokens', connectionId: id, endpoint: '/me' }),
            sdk.getToken('tokens', id)
        ]).flat();
        const answers = Promise.allSettled(calls);
        await until('the token call to arrive', () => world.tokens.calls.length > 0);
        release();
        for (const { status, reason } of await answers) assert.equal(status, 'fulfilled', reason);
        assert.equal(world.tokens.callsOf('refresh_token').length, 1);
    });

    test('an expired token without a refresh token is answered as it is', async () => {
        const pair = world.tokens.issue();
        const { connection_id } = await importTokens(world, 'tokens', { accessToken: pair.accessToken }, anHourAgo());
        assert.equal(await sdk.getToken('tokens', connection_id), pair.accessToken);
        assert.equal(world.tokens.calls.length, 0);
    });

    test('expired client credentials are exchanged again', async () => {
        const key = await plainIntegration(world, 'test-client-credentials');
        const { id, secret } = world.tokens.client;
        world.tokens.tokenSeconds = 2;
        const response = await fetch(`${world.server.url}/oauth2/auth/${key}?connect_session_token=${await sessionFor(world, key)}`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({ client_id: id, client_secret: secret })
        });
        const { connectionId } = await response.json();
        const first = (await sdk.getConnection(key, connectionId)).credentials;
        await untilPast(first.expires_at);
        const second = (await sdk.getConnection(key, connectionId)).credentials;
        assert.notEqual(second.token, first.token);
        assert.ok(world.tokens.accepts(second.token));
    });
});

describe('a provider that refuses the refresh', () => {
    const revoked = () => ({ status: 400, body: { error: 'invalid_grant', error_description: 'The grant was revoked by the user' } });

    test('is answered 400 invalid_credentials, then 424 without a call, and shows as an auth error', async () => {
        const { id } = await expiredConnection();
        world.tokens.refuseWith = revoked;
        const first = await refusal(sdk.getConnection('tokens', id));
        assert.deepEqual([first.status, first.code], [400, 'invalid_credentials']);
        const { connection } = first.body.error.payload;
        assert.equal(connection.connection_id, id);
        assert.deepEqual(connection.credentials, {});

        const second = await refusal(sdk.getConnection('tokens', id));
        assert.deepEqual([second.status, second.code], [424, 'invalid_credentials']);
        assert.equal(second.body.error.payload.type, 'connection_refresh_backoff');
        const proxied = await refusal(sdk.get({ providerConfigKey: 'tokens', connectionId: id, endpoint: '/me' }));
        assert.deepEqual([proxied.status, proxied.code], [424, 'connection_refresh_backoff']);
        assert.equal(world.tokens.callsOf('refresh_token').length, 1, 'the provider was asked once');

        const [{ errors }] = (await sdk.listConnections({ connectionId: id })).connections;
        assert.equal(errors.length, 1);
        assert.equal(errors[0].type, 'auth');
        assert.ok(errors[0].log_id);
    });

    test('is forgotten after a forced refresh that works', async () => {
        const { id } = await expiredConnection();
        world.tokens.refuseWith = revoked;
        await refusal(sdk.getConnection('tokens', id));
        world.tokens.refuseWith = null;
        const connection = await sdk.getConnection('tokens', id, true);
        assert.deepEqual(connection.errors, []);
        assert.ok(world.tokens.accepts(connection.credentials.access_token));
    });

    test('gives the same refusal to all who wait, and is asked once', async () => {
        const { id } = await expiredConnection();
        world.tokens.refuseWith = revoked;
        const answers = await Promise.all(Array.from({ length: 20 }, () => refusal(sdk.getConnection('tokens', id))));
        assert.ok(answers.every(({ status, code }) => code === 'invalid_credentials' && [400, 424].includes(status)));
        assert.equal(world.tokens.callsOf('refresh_token').length, 1);
    });

    test('keeps the old refresh token, so that a later refresh can work', async () => {
        const { id, pair } = await expiredConnection();
        world.tokens.refuseWith = () => ({ status: 503, body: { error: 'temporarily_unavailable' } });
        await refusal(sdk.getConnection('tokens', id));
        world.tokens.refuseWith = null;
        const { credentials } = await sdk.getConnection('tokens', id, true, true);
        assert.equal(world.tokens.find(credentials.refresh_token).family, pair.family);
    });
});
