//! The published Node SDK against providers, integrations and connect sessions.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Nango } from '@nangohq/node';
import { startHitchpost } from './support/hitchpost.mjs';
import { after, before, describe, test } from './support/test.mjs';
import { importConnection, plainIntegration, refusal, startWorld } from './support/world.mjs';

let world;
let sdk;
before(async () => {
    world = await startWorld({ tokens: true });
    sdk = world.sdk;
});
after(() => world?.close());

const oauth = { type: 'OAUTH2', client_id: 'client-1', client_secret: 'secret-1', scopes: 'read,write' };

describe('providers', () => {
    test('listProviders holds the entries of the test catalog, with names and logos', async () => {
        const { data } = await sdk.listProviders({});
        const entry = data.find((provider) => provider.name === 'test-key');
        assert.equal(entry.auth_mode, 'API_KEY');
        assert.equal(entry.display_name, 'API key');
        assert.equal(entry.logo_url, `${world.server.url}/images/template-logos/test-key.svg`);
    });

    test('listProviders finds providers by a part of their name', async () => {
        const { data } = await sdk.listProviders({ search: 'test-ba' });
        assert.deepEqual(data.map((provider) => provider.name), ['test-basic']);
    });

    test('getProvider answers the entry as the catalog has it', async () => {
        const { data } = await sdk.getProvider({ provider: 'test-tokens' });
        assert.equal(data.token_url, world.tokens.tokenUrl);
        assert.equal(data.proxy.base_url, world.target.url);
        assert.equal(data.name, 'test-tokens');
    });

    test('getProvider of an unknown name is 404 not_found', async () => {
        const { status, code } = await refusal(sdk.getProvider({ provider: 'no-such-provider' }));
        assert.deepEqual([status, code], [404, 'not_found']);
    });

    test('a logo address of the catalog can be fetched', async () => {
        const { data } = await sdk.getProvider({ provider: 'test-key' });
        const logo = await fetch(data.logo_url);
        assert.equal(logo.status, 200);
        assert.match(logo.headers.get('content-type'), /^image\/svg\+xml/);
    });

    test('the published catalog file loads whole as an overlay', async () => {
        const folder = dirname(fileURLToPath(import.meta.resolve('@nangohq/providers/package.json')));
        const other = await startHitchpost({ env: { HITCHPOST_CATALOG: join(folder, 'providers.yaml') } });
        try {
            const { data } = await other.sdk.listProviders({});
            assert.ok(data.length >= 1013, `only ${data.length} providers`);
            assert.equal(data.find(({ name }) => name === 'github').auth_mode, 'OAUTH2');
            assert.equal(data.find(({ name }) => name === 'google-calendar').token_url, 'https://oauth2.googleapis.com/token');
            assert.ok(data.every((entry) => entry.auth_mode && !('alias' in entry)));
        } finally {
            await other.stop();
        }
    });
});

describe('integrations', () => {
    test('createIntegration answers the integration without its credentials', async () => {
        const { data } = await sdk.createIntegration({ provider: 'test-tokens', unique_key: 'created', display_name: 'Mine', credentials: oauth });
        assert.equal(data.unique_key, 'created');
        assert.equal(data.provider, 'test-tokens');
        assert.equal(data.display_name, 'Mine');
        assert.equal(data.forward_webhooks, true);
        assert.equal(data.logo, `${world.server.url}/images/template-logos/test-tokens.svg`);
        assert.match(data.created_at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
        assert.ok(!('credentials' in data));
    });

    test('createIntegration refuses an unknown provider, a used key and missing credentials', async () => {
        await plainIntegration(world, 'test-key', 'taken');
        const unknown = await refusal(sdk.createIntegration({ provider: 'no-such-provider', unique_key: 'x' }));
        assert.deepEqual([unknown.status, unknown.code, unknown.body.error.errors[0].path], [400, 'invalid_body', ['provider']]);
        const used = await refusal(sdk.createIntegration({ provider: 'test-key', unique_key: 'taken' }));
        assert.deepEqual([used.status, used.code, used.body.error.errors[0].path], [400, 'invalid_body', ['uniqueKey']]);
        const bare = await refusal(sdk.createIntegration({ provider: 'test-tokens', unique_key: 'bare' }));
        assert.deepEqual([bare.status, bare.code], [400, 'invalid_body']);
    });

    test('listIntegrations answers what was created', async () => {
        await plainIntegration(world, 'test-open', 'listed');
        const { configs } = await sdk.listIntegrations();
        const listed = configs.find((config) => config.unique_key === 'listed');
        assert.equal(listed.provider, 'test-open');
        assert.equal(listed.display_name, 'No credentials');
    });

    test('getIntegration includes the credentials when asked', async () => {
        await sdk.createIntegration({ provider: 'test-tokens', unique_key: 'shown', credentials: oauth });
        const plain = await sdk.getIntegration({ uniqueKey: 'shown' });
        assert.ok(!('credentials' in plain.data));
        const { data } = await sdk.getIntegration({ uniqueKey: 'shown' }, { include: ['credentials'] });
        assert.deepEqual(data.credentials, { ...oauth, webhook_secret: null });
    });

    test('getIntegration includes a null webhook address for a provider without webhooks', async () => {
        await plainIntegration(world, 'test-key', 'webhookless');
        const { data } = await sdk.getIntegration({ uniqueKey: 'webhookless' }, { include: ['webhook'] });
        assert.equal(data.webhook_url, null);
    });

    test('updateIntegration renames, and replaces credentials while keeping the scopes', async () => {
        await sdk.createIntegration({ provider: 'test-tokens', unique_key: 'before', credentials: oauth });
        const change = { unique_key: 'after', display_name: 'New name', credentials: { type: 'OAUTH2', client_id: 'client-2', client_secret: 'secret-2' } };
        const { data } = await sdk.updateIntegration({ uniqueKey: 'before' }, change);
        assert.deepEqual([data.unique_key, data.display_name], ['after', 'New name']);
        const shown = await sdk.getIntegration({ uniqueKey: 'after' }, { include: ['credentials'] });
        assert.equal(shown.data.credentials.client_id, 'client-2');
        assert.equal(shown.data.credentials.scopes, 'read,write');
        const gone = await refusal(sdk.getIntegration({ uniqueKey: 'before' }));
        assert.deepEqual([gone.status, gone.code], [404, 'not_found']);
    });

    test('updateIntegration will not rename an integration with live connections', async () => {
        await plainIntegration(world, 'test-key', 'in-use');
        await importConnection(world, { provider_config_key: 'in-use', credentials: { type: 'API_KEY', apiKey: 'k' } });
        const { status, code } = await refusal(sdk.updateIntegration({ uniqueKey: 'in-use' }, { unique_key: 'renamed' }));
        assert.deepEqual([status, code], [400, 'invalid_body']);
    });

    test('deleteIntegration removes it with its connections, and the key is free again', async () => {
        await plainIntegration(world, 'test-key', 'doomed');
        await importConnection(world, { provider_config_key: 'doomed', connection_id: 'doomed-1', credentials: { type: 'API_KEY', apiKey: 'k' } });
        const answer = await sdk.deleteIntegration('doomed');
        assert.deepEqual([answer.status, answer.data], [200, { success: true }]);
        assert.equal((await refusal(sdk.getIntegration({ uniqueKey: 'doomed' }))).status, 404);
        await plainIntegration(world, 'test-key', 'doomed');
        assert.deepEqual((await sdk.listConnections({ integrationId: 'doomed' })).connections, []);
    });
});

describe('connect sessions', () => {
    test('createConnectSession answers a token, a link to the Connect UI and an end in 30 minutes', async () => {
        await plainIntegration(world, 'test-key', 'session-1');
        const { data } = await sdk.createConnectSession({ end_user: { id: 'u1' }, allowed_integrations: ['session-1'] });
        assert.match(data.token, /^nango_connect_session_[a-f0-9]{64}$/);
        assert.equal(data.connect_link, `${world.server.url}/connect-ui/?session_token=${data.token}`);
        const minutes = (Date.parse(data.expires_at) - Date.now()) / 60_000;
        assert.ok(minutes > 29 && minutes <= 30.1, `${minutes} minutes`);
    });

    test('createConnectSession accepts tags instead of an end user', async () => {
        const { data } = await sdk.createConnectSession({ tags: { plan: 'pro' } });
        assert.match(data.token, /^nango_connect_session_/);
    });

    test('createConnectSession refuses an unknown integration and a body without end user and tags', async () => {
        const unknown = await refusal(sdk.createConnectSession({ end_user: { id: 'u1' }, allowed_integrations: ['nowhere'] }));
        assert.deepEqual([unknown.status, unknown.code, unknown.body.error.errors[0].path], [400, 'invalid_body', ['allowed_integrations', '0']]);
        const empty = await refusal(sdk.createConnectSession({}));
        assert.deepEqual([empty.status, empty.code, empty.body.error.errors[0].path], [400, 'invalid_body', ['end_user']]);
    });

    test('createReconnectSession answers a session for a known connection only', async () => {
        await plainIntegration(world, 'test-key', 'session-2');
        await importConnection(world, { provider_config_key: 'session-2', connection_id: 'again', credentials: { type: 'API_KEY', apiKey: 'k' } });
        const { data } = await sdk.createReconnectSession({ connection_id: 'again', integration_id: 'session-2' });
        assert.match(data.token, /^nango_connect_session_[a-f0-9]{64}$/);
        const unknown = await refusal(sdk.createReconnectSession({ connection_id: 'never', integration_id: 'session-2' }));
        assert.deepEqual([unknown.status, unknown.code], [400, 'invalid_body']);
    });
});

describe('keys', () => {
    const refused = (secretKey) => refusal(new Nango({ host: world.server.url, secretKey }).listIntegrations());

    test('a malformed secret key is 401 invalid_secret_key_format', async () => {
        const { status, code } = await refused('not-a-key');
        assert.deepEqual([status, code], [401, 'invalid_secret_key_format']);
    });

    test('an unknown secret key is 401 unknown_account', async () => {
        const { status, code } = await refused('11111111-1111-4111-8111-111111111111');
        assert.deepEqual([status, code], [401, 'unknown_account']);
    });
});
