//! GitHub Apps through the published frontend SDK in a real Chromium: the plain app, and the app with user login.

import assert from 'node:assert/strict';
import { openHostPage, startChromium } from './support/browser.mjs';
import { startHostPage } from './support/host-page.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, beforeEach, describe, test } from './support/test.mjs';
import { until, untilPast } from './support/until.mjs';
import { importConnection, refusal, sessionFor, startWorld } from './support/world.mjs';

let world;
let sdk;
let github;
let browser;
let hostPage;
let host;

describe('apps that are installed', needs(noChromium), () => {
    before(async () => {
        world = await startWorld({ github: true });
        ({ sdk, github } = world);
        hostPage = world.keep(await startHostPage());
        browser = world.keep(await startChromium());
        const app = { app_id: github.appId, app_link: github.appLink('plain'), private_key: github.pem() };
        await sdk.createIntegration({ provider: 'test-app', unique_key: 'app', credentials: { type: 'APP', ...app } });
        const client = { client_id: github.client.id, client_secret: github.client.secret };
        await sdk.createIntegration({
            provider: 'test-user-app',
            unique_key: 'user-app',
            credentials: { type: 'CUSTOM', ...client, ...app, app_link: github.appLink('user'), private_key: github.pem('pkcs8') }
        });
    });
    after(() => world?.close());
    beforeEach(async () => {
        github.installationTokenSeconds = 3600;
        host = await openHostPage(browser, hostPage);
    });
    afterEach(() => host?.close());

    /** Answers the installation page and returns what the SDK's promise came to. */
    async function answer(key, button) {
        const popup = await host.openPopup(world.server, await sessionFor(world, key), key);
        await popup.click(`#${button}`);
        return { popup, ...(await host.outcome()) };
    }

    async function install(key) {
        const { popup, success, error } = await answer(key, 'install');
        assert.equal(error, undefined);
        await until('the popup to close', () => popup.isClosed());
        return success;
    }

    /** The SDK's `getToken` hands out whole credentials of apps. */
    async function tokenOf(key, connectionId) {
        return (await sdk.getToken(key, connectionId)).access_token;
    }

    test('an installed app becomes a connection whose token the API accepts', async () => {
        const success = await install('app');
        assert.equal(success.isPending, false);
        const connection = await sdk.getConnection('app', success.connectionId);
        assert.equal(connection.credentials.type, 'APP');
        assert.ok(github.acceptsInstallationToken(connection.credentials.access_token));
        assert.match(connection.connection_config.installation_id, /^\d+$/);
        assert.equal(connection.end_user.id, 'user-1');
        const proof = github.proofs.at(-1);
        assert.ok(proof.iat <= Date.now() / 1000 - 55, 'the proof is back-dated');
        const reply = await sdk.get({ providerConfigKey: 'app', connectionId: success.connectionId, endpoint: '/installation/repositories' });
        assert.deepEqual(reply.data, { total_count: 0, repositories: [] });
    });

    test('ended tokens are replaced, twice, until the app is uninstalled', async () => {
        github.installationTokenSeconds = 2;
        const { connectionId } = await install('app');
        const seen = new Set([await tokenOf('app', connectionId)]);
        for (let round = 0; round < 2; round += 1) {
            const [last] = [...seen].slice(-1);
            await untilPast(github.installationTokens.get(last));
            const token = await tokenOf('app', connectionId);
            assert.ok(github.acceptsInstallationToken(token));
            seen.add(token);
        }
        assert.equal(seen.size, 3);
        const { connection_config: config } = await sdk.getConnection('app', connectionId);
        github.installations.set(config.installation_id, false);
        const refused = await refusal(sdk.getConnection('app', connectionId, true));
        assert.deepEqual([refused.status, refused.code], [400, 'invalid_credentials']);
        assert.equal(refused.body.error.payload.type, 'github_app_token_fetch_error');
        assert.doesNotMatch(JSON.stringify(refused.body), /ghs_|eyJ/);
    });

    test('the SDK can ask for a proof of the app that lasts', async () => {
        const { connectionId } = await install('app');
        const calls = github.installationCalls;
        const connection = await sdk.getConnection('app', connectionId, false, false, true);
        assert.equal(connection.connection_config.jwtToken.split('.').length, 3);
        assert.equal(github.installationCalls, calls, 'the proof is a minute old at most');
    });

    test('a user who cancels is told, in the words of the provider', async () => {
        for (const key of ['app', 'user-app']) {
            const { error, popup } = await answer(key, 'cancel');
            assert.equal(error.type, 'callback_err');
            assert.match(error.message, /access_denied; error_description: The user said no to the app/);
            if (!popup.isClosed()) await popup.close();
        }
    });

    test('an app without user login cannot wait for an owner', async () => {
        const { error } = await answer('app', 'request');
        assert.equal(error.type, 'wrong_auth_mode');
    });

    test('a wrong key is refused with the words of the provider', async () => {
        const { privateKey } = (await import('node:crypto')).generateKeyPairSync('rsa', { modulusLength: 2048 });
        const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).trim();
        const credentials = { type: 'APP', app_id: github.appId, app_link: github.appLink('plain'), private_key: key };
        await sdk.createIntegration({ provider: 'test-app', unique_key: 'wrong-key', credentials });
        const { error } = await answer('wrong-key', 'install');
        assert.equal(error.type, 'github_app_token_fetch_error');
        assert.match(error.message, /401.*JSON web token could not be decoded/);
    });

    test('an app with user login brings the tokens of both', async () => {
        const success = await install('user-app');
        assert.equal(success.isPending, false);
        const connection = await sdk.getConnection('user-app', success.connectionId, false, true);
        assert.equal(connection.credentials.type, 'APP');
        assert.ok(github.acceptsInstallationToken(connection.credentials.access_token));
        const { userCredentials, handle } = connection.connection_config;
        assert.equal(handle, 'octocat');
        assert.ok(github.acceptsUserToken(userCredentials.access_token));

        const forced = await sdk.getConnection('user-app', success.connectionId, true, true);
        assert.notEqual(forced.credentials.access_token, connection.credentials.access_token);
        assert.notEqual(forced.connection_config.userCredentials.access_token, userCredentials.access_token);
        const plain = await sdk.getConnection('user-app', success.connectionId);
        assert.equal(plain.connection_config.userCredentials.refresh_token, undefined);
    });

    test('an installation that was only requested is pending', async () => {
        const { success } = await answer('user-app', 'request');
        assert.equal(success.isPending, true);
        const connection = await sdk.getConnection('user-app', success.connectionId);
        assert.equal(connection.credentials.type, 'OAUTH2');
        assert.equal(connection.connection_config.pending, true);
        assert.equal(connection.connection_config.handle, 'octocat');
    });

    test('an installation made elsewhere is imported with a token', async () => {
        github.installations.set('31', true);
        for (const [key, type] of [['app', 'APP'], ['user-app', 'CUSTOM']]) {
            const imported = await importConnection(world, {
                provider_config_key: key,
                connection_id: 'imported',
                credentials: { type, app_id: github.appId, installation_id: '31' }
            });
            assert.ok(github.acceptsInstallationToken(imported.credentials.access_token));
            assert.ok(github.acceptsInstallationToken(await tokenOf(key, 'imported')));
        }
    });

    test('nothing secret is in the log', () => {
        assert.doesNotMatch(world.server.log, /gh[sur]_[0-9a-f]{8}|eyJ|BEGIN (RSA )?PRIVATE/);
    });
});
