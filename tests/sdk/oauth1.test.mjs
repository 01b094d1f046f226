//! OAuth 1.0a from the popup to the API: the published frontend SDK in a real Chromium, and a provider that verifies every
//! signature with code of its own.

import assert from 'node:assert/strict';
import { openHostPage, startChromium } from './support/browser.mjs';
import { startHostPage } from './support/host-page.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, beforeEach, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';
import { sessionFor, startWorld } from './support/world.mjs';

const FORM = 'application/x-www-form-urlencoded';

let world;
let sdk;
let browser;
let hostPage;
let host;

before(async () => {
    world = await startWorld({ oauth1: true });
    sdk = world.sdk;
    for (const key of ['test-oauth1', 'test-oauth1-plain']) await integration(key);
    await integration('test-oauth1-rsa', 'test-oauth1-rsa', { client_secret: world.oauth1.keys.privateKey });
    await integration('test-tba', 'test-tba', { type: 'TBA' });
});
after(() => world?.close());

async function integration(provider, key = provider, overrides = {}) {
    const { id, secret } = world.oauth1.client;
    const credentials = { type: 'OAUTH1', client_id: id, client_secret: secret, scopes: 'read,write', ...overrides };
    await sdk.createIntegration({ provider, unique_key: key, credentials });
    return key;
}

/** Calls through the proxy as fetch sends them, and asserts that the provider accepted the signature. */
async function callVerified(key, connectionId, path, init = {}) {
    const headers = { authorization: `Bearer ${world.server.secretKey}`, 'provider-config-key': key, 'connection-id': connectionId, ...init.headers };
    const answer = await fetch(`${world.server.url}/proxy${path}`, { ...init, headers });
    assert.equal(answer.status, 200, `${path}: ${await answer.text()}`);
    assert.equal(world.oauth1.last.problem, undefined);
    return world.oauth1.last;
}

const paths = [
    '/api/things',
    '/api/things?q=a+b&q=%2B&q=a%20b&sign=%26%3D%25&tilde=~-._&stars=*!()%27',
    '/api/things?name=%E2%9C%93%20%C3%BC&%C3%BC=1&empty=&flag',
    '/api/a%20b/%E2%9C%93?x=1'
];

async function callEverything(key, connectionId) {
    for (const path of paths) await callVerified(key, connectionId, path);
    for (const body of ['a=1&b=x+y&c=%2B&d=%C3%BC', 'q=2&q=1&q=10', 'name=\u00fc \u2713']) {
        const seen = await callVerified(key, connectionId, '/api/things?q=0&z=1', { method: 'POST', body, headers: { 'content-type': FORM } });
        assert.equal(seen.body.toString(), body);
    }
    await callVerified(key, connectionId, '/api/things?a=b', { method: 'PUT', body: '{"a":"b c"}', headers: { 'content-type': 'application/json' } });
    await callVerified(key, connectionId, '/api/things', { method: 'DELETE' });
    // The SDK's own calls: parameters as an object, JSON sent as a form, and the empty body that becomes `{}`.
    const connection = { providerConfigKey: key, connectionId };
    await sdk.get({ ...connection, endpoint: '/api/things', params: { q: 'a b+c', u: '\u2713', list: ['1', '2'] } });
    assert.equal(world.oauth1.last.problem, undefined);
    await sdk.post({ ...connection, endpoint: '/api/things', data: { a: 'b c', list: [1, 2] }, headers: { 'content-type': FORM } });
    assert.equal(world.oauth1.last.headers['content-type'], FORM);
    assert.equal(world.oauth1.last.problem, undefined);
    await sdk.post({ ...connection, endpoint: '/api/things' });
    assert.equal(world.oauth1.last.problem, undefined);
    // A redirect is signed anew for the URL it leads to.
    const moved = await callVerified(key, connectionId, '/api/moved');
    assert.equal(moved.url.search, '?moved=a%20b');
}

describe('the OAuth 1 popup in Chromium', needs(noChromium), () => {
    before(async () => {
        hostPage = world.keep(await startHostPage());
        browser = world.keep(await startChromium());
    });
    beforeEach(async () => {
        host = await openHostPage(browser, hostPage);
    });
    afterEach(() => host?.close());

    for (const [key, method] of [['test-oauth1', 'HMAC-SHA1'], ['test-oauth1-rsa', 'RSA-SHA1'], ['test-oauth1-plain', 'PLAINTEXT']]) {
        test(`a sign-in with ${method} ends in calls that the provider accepts`, async () => {
            const popup = await host.openPopup(world.server, await sessionFor(world, key), key);
            await popup.waitForURL(/\/authorize\?/);
            assert.equal(await popup.textContent('#scope'), 'read,write');
            await popup.click('#allow');
            const { success, error } = await host.outcome();
            assert.equal(error, undefined);
            await until('the popup to close', () => popup.isClosed());

            const { credentials } = await sdk.getConnection(key, success.connectionId);
            const { oauth_token: token, oauth_token_secret: secret } = credentials;
            assert.equal(world.oauth1.tokens.get(token), secret);
            assert.deepEqual(Object.values(await sdk.getToken(key, success.connectionId)), [token, secret]);
            assert.deepEqual(credentials, {
                type: 'OAUTH1',
                oauth_token: token,
                oauth_token_secret: secret,
                raw: { oauth_token: token, oauth_token_secret: secret, screen_name: 'ada lovelace' }
            });
            await callEverything(key, success.connectionId);
            assert.equal(world.oauth1.last.oauth.oauth_signature_method, method);
        });
    }

    test('refusing rejects with callback_err and stores nothing', async () => {
        const popup = await host.openPopup(world.server, await sessionFor(world, 'test-oauth1', { end_user: { id: 'refuser' } }), 'test-oauth1');
        await popup.waitForURL(/\/authorize\?/);
        await popup.click('#refuse');
        const { error } = await host.outcome();
        assert.equal(error.type, 'callback_err');
        assert.match(error.message, /user_refused/);
        assert.deepEqual((await sdk.listConnections({ userId: 'refuser' })).connections, []);
    });

    test("a wrong consumer secret rejects with token_err and the provider's words", async () => {
        const key = await integration('test-oauth1', 'oauth1-wrong', { client_secret: 'certainly-not-the-secret' });
        await host.openPopup(world.server, await sessionFor(world, key), key);
        const { error } = await host.outcome();
        assert.equal(error.type, 'token_err');
        assert.match(error.message, /wrong signature/);
        assert.doesNotMatch(error.message, /certainly-not-the-secret/);
    });

    test('token-based authentication signs with a realm', async () => {
        const { token, secret } = world.oauth1.issue();
        const options = { credentials: { token_id: token, token_secret: secret }, params: { accountId: '123-sb1' } };
        const { success, error } = await host.call(world.server, await sessionFor(world, 'test-tba'), 'auth', 'test-tba', options);
        assert.equal(error, undefined);
        await callEverything('test-tba', success.connectionId);
        const { oauth } = world.oauth1.last;
        assert.deepEqual([oauth.realm, oauth.oauth_signature_method], ['123_SB1', 'HMAC-SHA256']);
        const { connection_config: config, credentials } = await sdk.getConnection('test-tba', success.connectionId);
        assert.deepEqual(config, { accountId: '123-sb1' });
        assert.deepEqual(credentials, { type: 'TBA', token_id: token, token_secret: secret, config_override: {} });
    });

    test('a wrong token secret rejects with connection_test_failed', async () => {
        const { token } = world.oauth1.issue();
        const options = { credentials: { token_id: token, token_secret: 'wrong-secret' }, params: { accountId: '1' } };
        const { error } = await host.call(world.server, await sessionFor(world, 'test-tba'), 'auth', 'test-tba', options);
        assert.equal(error.type, 'connection_test_failed');
        assert.match(error.message, /wrong signature/);
    });
});
