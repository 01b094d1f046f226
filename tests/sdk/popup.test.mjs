//! The published frontend SDK in a real Chromium, on a page of another origin, against a real OAuth server.

import assert from 'node:assert/strict';
import { answerProvider, openHostPage, startChromium } from './support/browser.mjs';
import { startHostPage } from './support/host-page.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, beforeEach, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';
import { oidcIntegration, plainIntegration, refusal, sessionFor, startWorld } from './support/world.mjs';

let world;
let sdk;
let browser;
let hostPage;
let host;

describe('the popup in Chromium', needs(noChromium), () => {
    before(async () => {
        world = await startWorld({ oidc: {}, tokens: true });
        sdk = world.sdk;
        hostPage = world.keep(await startHostPage());
        browser = world.keep(await startChromium());
        await oidcIntegration(world, 'oidc');
    });
    after(() => world?.close());
    beforeEach(async () => {
        host = await openHostPage(browser, hostPage);
    });
    afterEach(() => host?.close());

    /** Signs in by popup and returns the SDK's success. */
    async function connect(key, token, { options, call } = {}) {
        const popup = await host.openPopup(world.server, token, key, options, call);
        await answerProvider(popup);
        const { success, error } = await host.outcome();
        assert.equal(error, undefined);
        await until('the popup to close', () => popup.isClosed());
        return success;
    }

    test('login and consent end in a connection whose token the target accepts', async () => {
        const success = await connect('oidc', await sessionFor(world, 'oidc'));
        assert.equal(success.providerConfigKey, 'oidc');
        assert.equal(success.isPending, false);
        assert.match(success.connectionId, /^[0-9a-f-]{36}$/);

        const token = await sdk.getToken('oidc', success.connectionId);
        assert.ok(await world.oidc.accepts(token));
        const connection = await sdk.getConnection('oidc', success.connectionId, false, true);
        assert.equal(connection.end_user.id, 'user-1');
        assert.equal(connection.tags.end_user_email, 'user-1@example.test');
        assert.ok(connection.credentials.refresh_token);
        assert.ok(Date.parse(connection.credentials.expires_at) > Date.now());
        assert.equal(connection.credentials.raw.token_type, 'Bearer');

        const answer = await sdk.get({ providerConfigKey: 'oidc', connectionId: success.connectionId, endpoint: '/me' });
        assert.deepEqual([answer.status, answer.data], [200, { welcome: true }]);
    });

    test('a provider that wants the client secret in a header gets it there', async () => {
        await oidcIntegration(world, 'oidc-header', { provider: 'test-oidc-header', client_id: `${world.oidc.client.id}-basic` });
        const success = await connect('oidc-header', await sessionFor(world, 'oidc-header'));
        assert.ok(await world.oidc.accepts(await sdk.getToken('oidc-header', success.connectionId)));
    });

    for (const [name, button] of [['login', 'refuse'], ['consent', 'refuse-consent']]) {
        test(`refusing the ${name} rejects with callback_err and the provider's words`, async () => {
            const popup = await host.openPopup(world.server, await sessionFor(world, 'oidc'), 'oidc');
            await answerProvider(popup, button);
            const { error } = await host.outcome();
            assert.equal(error.type, 'callback_err');
            assert.match(error.message, /access_denied/);
            assert.match(error.message, /The user said no to these tests/);
        });
    }

    test('a refused sign-in leaves no connection behind', async () => {
        const popup = await host.openPopup(world.server, await sessionFor(world, 'oidc', { end_user: { id: 'refuser' } }), 'oidc');
        await answerProvider(popup, 'refuse');
        await host.outcome();
        assert.deepEqual((await sdk.listConnections({ userId: 'refuser' })).connections, []);
    });

    test('closing the popup early rejects with window_closed when asked to detect it', async () => {
        const popup = await host.openPopup(world.server, await sessionFor(world, 'oidc'), 'oidc', { detectClosedAuthWindow: true });
        await popup.waitForURL(/\/interaction\//);
        await popup.close();
        const { error } = await host.outcome();
        assert.equal(error.type, 'window_closed');
    });

    test("a wrong client secret rejects with the provider's own words", async () => {
        await oidcIntegration(world, 'oidc-wrong-secret', { client_secret: 'certainly-not-the-secret' });
        const popup = await host.openPopup(world.server, await sessionFor(world, 'oidc-wrong-secret'), 'oidc-wrong-secret');
        await answerProvider(popup);
        const { error } = await host.outcome();
        assert.equal(error.type, 'unknown_err');
        assert.match(error.message, /invalid_client/);
        assert.match(error.message, /client authentication failed/);
        assert.doesNotMatch(error.message, /certainly-not-the-secret/);
    });

    test('an integration that does not exist rejects with provider_config_err', async () => {
        await host.openPopup(world.server, await sessionFor(world, 'oidc', { allowed_integrations: [] }), 'nowhere');
        const { error } = await host.outcome();
        assert.equal(error.type, 'provider_config_err');
    });

    test('a token endpoint that takes three seconds is waited for', async () => {
        world.oidc.tokenDelayMs = 3_000;
        try {
            const success = await connect('oidc', await sessionFor(world, 'oidc'));
            assert.ok(await world.oidc.accepts(await sdk.getToken('oidc', success.connectionId)));
        } finally {
            world.oidc.tokenDelayMs = 0;
        }
    });

    test('a reconnect session keeps the connection id and replaces the token', async () => {
        const first = await connect('oidc', await sessionFor(world, 'oidc'));
        const before = await sdk.getToken('oidc', first.connectionId);
        await sdk.setMetadata('oidc', first.connectionId, { kept: true });
        const { data } = await sdk.createReconnectSession({ connection_id: first.connectionId, integration_id: 'oidc' });
        const again = await connect('oidc', data.token, { call: 'reconnect' });
        assert.equal(again.connectionId, first.connectionId);
        assert.notEqual(await sdk.getToken('oidc', first.connectionId), before);
        assert.deepEqual(await sdk.getMetadata('oidc', first.connectionId), { kept: true });
    });

    describe('without a popup', () => {
        before(() => {
            world.target.apiKeys.add('the-right-key');
            world.target.logins.set('ada', 'the-right-password');
        });

        test('a right API key is verified, stored and used', async () => {
            const key = await plainIntegration(world, 'test-key-verified');
            const { success } = await host.call(world.server, await sessionFor(world, key), 'auth', key, { credentials: { apiKey: 'the-right-key' } });
            assert.equal(success.providerConfigKey, key);
            assert.equal((await sdk.getToken(key, success.connectionId)).apiKey, 'the-right-key');
            const answer = await sdk.get({ providerConfigKey: key, connectionId: success.connectionId, endpoint: '/key-check' });
            assert.equal(answer.status, 200);
        });

        test('a wrong API key rejects with connection_test_failed and stores nothing', async () => {
            const key = await plainIntegration(world, 'test-key-verified', 'verified-again');
            const { error } = await host.call(world.server, await sessionFor(world, key), 'auth', key, { credentials: { apiKey: 'the-wrong-key' } });
            assert.equal(error.type, 'connection_test_failed');
            assert.ok(error.message);
            assert.deepEqual((await sdk.listConnections({ integrationId: key, limit: 10 })).connections, []);
        });

        test('a user name and password are verified, stored and used', async () => {
            const key = await plainIntegration(world, 'test-basic');
            const { success } = await host.call(world.server, await sessionFor(world, key), 'auth', key, {
                credentials: { username: 'ada', password: 'the-right-password' }
            });
            const answer = await sdk.get({ providerConfigKey: key, connectionId: success.connectionId, endpoint: '/basic-check' });
            assert.equal(answer.status, 200);
        });

        test('a wrong password rejects with connection_test_failed', async () => {
            const key = await plainIntegration(world, 'test-basic', 'basic-again');
            const { error } = await host.call(world.server, await sessionFor(world, key), 'auth', key, { credentials: { username: 'ada', password: 'wrong' } });
            assert.equal(error.type, 'connection_test_failed');
        });

        test('client credentials are exchanged for a token the target accepts', async () => {
            const key = await plainIntegration(world, 'test-client-credentials');
            const { id, secret } = world.tokens.client;
            const { success } = await host.call(world.server, await sessionFor(world, key), 'auth', key, { credentials: { client_id: id, client_secret: secret } });
            const answer = await sdk.get({ providerConfigKey: key, connectionId: success.connectionId, endpoint: '/me' });
            assert.equal(answer.status, 200);
            const { credentials } = await sdk.getConnection(key, success.connectionId);
            assert.equal(credentials.type, 'OAUTH2_CC');
            assert.ok(world.tokens.accepts(credentials.token));
        });

        test("wrong client credentials reject with the provider's words", async () => {
            const key = await plainIntegration(world, 'test-client-credentials', 'cc-again');
            const { error } = await host.call(world.server, await sessionFor(world, key), 'auth', key, {
                credentials: { client_id: world.tokens.client.id, client_secret: 'nope-nope-nope' }
            });
            assert.equal(error.type, 'client_credentials_fetch_error');
            assert.match(error.message, /invalid_client/);
            assert.doesNotMatch(error.message, /nope-nope-nope/);
        });

        test('nango.create makes a connection without credentials', async () => {
            const key = await plainIntegration(world, 'test-open');
            const { success } = await host.call(world.server, await sessionFor(world, key), 'create', key);
            assert.deepEqual((await sdk.getConnection(key, success.connectionId)).credentials, {});
            const answer = await sdk.get({ providerConfigKey: key, connectionId: success.connectionId, endpoint: '/echo' });
            assert.equal(answer.data.headers.authorization, undefined);
        });

        test('an integration the session does not allow rejects with integration_not_allowed', async () => {
            const key = await plainIntegration(world, 'test-key', 'not-allowed');
            const { error } = await host.call(world.server, await sessionFor(world, 'oidc'), 'auth', key, { credentials: { apiKey: 'k' } });
            assert.equal(error.type, 'integration_not_allowed');
        });

        test('a connection id of the client is refused in a session', async () => {
            const key = await plainIntegration(world, 'test-key', 'own-id');
            const { error } = await host.call(world.server, await sessionFor(world, key), 'auth', key, 'my-own-id', { credentials: { apiKey: 'k' } });
            assert.equal(error.type, 'invalid_query_params');
        });

        test('a deleted session is refused', async () => {
            const key = await plainIntegration(world, 'test-key', 'deleted-session');
            const token = await sessionFor(world, key);
            const gone = await fetch(`${world.server.url}/connect/session`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } });
            assert.equal(gone.status, 204);
            const { error } = await host.call(world.server, token, 'auth', key, { credentials: { apiKey: 'k' } });
            assert.equal(error.type, 'unknown_connect_session_token');
            assert.equal((await refusal(sdk.getConnection(key, 'none'))).status, 404);
        });
    });
});
