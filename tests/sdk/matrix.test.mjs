//! Every public method of the published Node SDK: either its answer has the type that the SDK promises, judged by the
//! TypeScript compiler, or it is refused with 501 because it needs functions.

import assert from 'node:assert/strict';
import { Nango } from '@nangohq/node';
import { after, before, test } from './support/test.mjs';
import { complaintsAbout } from './support/typecheck.mjs';
import { importConnection, plainIntegration, refusal, startWorld, tokensIntegration } from './support/world.mjs';

const USER = { id: 'jo', email: 'jo@acme.example.test', display_name: 'Jo', tags: { plan: 'pro' } };
const connection = ['test-key', 'c1'];

let world;
let sdk;
before(async () => {
    world = await startWorld({ tokens: true });
    sdk = world.sdk;
    await plainIntegration(world, 'test-key');
    await tokensIntegration(world, 'tokens');
    await importConnection(world, {
        provider_config_key: 'test-key',
        connection_id: 'c1',
        credentials: { type: 'API_KEY', apiKey: 'key-1' },
        metadata: { plan: 'pro' },
        end_user: USER,
        tags: { seat: '7' }
    });
    for (const [connection_id, credentials] of Object.entries(storedKinds())) {
        await importConnection(world, { provider_config_key: 'tokens', connection_id, credentials });
    }
});
after(() => world?.close());

function storedKinds() {
    const expires_at = new Date(Date.now() + 3_600_000).toISOString();
    return {
        'oauth2-full': { type: 'OAUTH2', access_token: 'a', refresh_token: 'r', expires_at, config_override: { client_id: 'i', client_secret: 's' } },
        'oauth2-bare': { type: 'OAUTH2', access_token: 'a' }
    };
}

/**
 * What the SDK's type is too strict or too vague for. Catalog entries go out as they were written, and the published
 * catalog itself lacks members that the SDK's type calls required (`order`, `automated`); deletions are typed `void`.
 */
const ENTRY = "{ name: string; display_name: string; docs: string; logo_url: string; auth_mode: Provider['auth_mode']; [key: string]: unknown }";
const types = {
    listProviders: `{ data: ${ENTRY}[] }`,
    getProvider: `{ data: ${ENTRY} }`,
    deleteIntegration: '{ success: true }',
    deleteConnection: '{ success: true }'
};

/** Methods that answer; several calls where a method has several kinds of answers. */
const served = {
    listProviders: [() => sdk.listProviders({}), () => sdk.listProviders({ search: 'test-key' })],
    getProvider: [() => sdk.getProvider({ provider: 'github' }), () => sdk.getProvider({ provider: 'test-key' })],
    getProviderTemplates: [() => sdk.getProviderTemplates({ provider: 'test-key' })],
    listIntegrations: [() => sdk.listIntegrations()],
    getIntegration: [
        () => sdk.getIntegration({ uniqueKey: 'test-key' }),
        () => sdk.getIntegration({ uniqueKey: 'tokens' }, { include: ['webhook', 'credentials'] })
    ],
    createIntegration: [() => sdk.createIntegration({ provider: 'test-key', unique_key: 'made', display_name: 'Made' })],
    updateIntegration: [() => sdk.updateIntegration({ uniqueKey: 'made' }, { display_name: 'Made again' })],
    deleteIntegration: [() => sdk.deleteIntegration('made')],
    listFunctions: [() => sdk.listFunctions({ uniqueKey: 'test-key' })],
    listConnections: [() => sdk.listConnections(), () => sdk.listConnections({ tags: { seat: '7' } })],
    getConnection: [
        () => sdk.getConnection(...connection),
        () => sdk.getConnection('tokens', 'oauth2-full', false, true),
        () => sdk.getConnection('tokens', 'oauth2-bare')
    ],
    patchConnection: [() => sdk.patchConnection({ connectionId: 'c1', provider_config_key: 'test-key' }, { tags: { seat: '8' } })],
    getToken: [() => sdk.getToken('tokens', 'oauth2-full'), () => sdk.getToken(...connection)],
    getRawTokenResponse: [() => sdk.getRawTokenResponse('tokens', 'oauth2-full')],
    getMetadata: [() => sdk.getMetadata(...connection)],
    setMetadata: [() => sdk.setMetadata(...connection, { plan: 'free' }), () => sdk.setMetadata('test-key', ['c1'], { plan: 'pro' })],
    updateMetadata: [() => sdk.updateMetadata(...connection, { more: true })],
    waitForConnection: [() => sdk.waitForConnection('test-key', USER.id)],
    getEnvironmentVariables: [() => sdk.getEnvironmentVariables()],
    proxy: [() => sdk.proxy({ method: 'GET', endpoint: '/echo', ...call() })],
    get: [() => sdk.get({ endpoint: '/echo', ...call() })],
    post: [() => sdk.post({ endpoint: '/echo', data: { a: 1 }, ...call() })],
    put: [() => sdk.put({ endpoint: '/echo', data: { a: 1 }, ...call() })],
    patch: [() => sdk.patch({ endpoint: '/echo', data: { a: 1 }, ...call() })],
    delete: [() => sdk.delete({ endpoint: '/echo', ...call() })],
    createConnectSession: [() => sdk.createConnectSession({ end_user: { id: 'jo' }, allowed_integrations: ['test-key'] })],
    createReconnectSession: [() => sdk.createReconnectSession({ connection_id: 'c1', integration_id: 'test-key' })],
    deleteConnection: [() => sdk.deleteConnection('tokens', 'oauth2-bare')]
};

/** Methods that need functions. */
const pending = {
    getScriptsConfig: () => sdk.getScriptsConfig(),
    listRecords: () => sdk.listRecords({ providerConfigKey: 'test-key', connectionId: 'c1', model: 'M' }),
    pruneRecords: () => sdk.pruneRecords({ providerConfigKey: 'test-key', connectionId: 'c1', model: 'M', untilCursor: 'x' }),
    triggerSync: () => sdk.triggerSync('test-key', ['s'], 'c1'),
    startSync: () => sdk.startSync('test-key', ['s'], 'c1'),
    pauseSync: () => sdk.pauseSync('test-key', ['s'], 'c1'),
    syncStatus: () => sdk.syncStatus('test-key', '*', 'c1'),
    updateSyncConnectionFrequency: () => sdk.updateSyncConnectionFrequency('test-key', 's', 'c1', 'every hour'),
    createSyncVariant: () => sdk.createSyncVariant({ provider_config_key: 'test-key', connection_id: 'c1', name: 's', variant: 'v' }),
    deleteSyncVariant: () => sdk.deleteSyncVariant({ provider_config_key: 'test-key', connection_id: 'c1', name: 's', variant: 'v' }),
    triggerAction: () => sdk.triggerAction('test-key', 'c1', 'a'),
    triggerActionAsync: () => sdk.triggerActionAsync('test-key', 'c1', 'a'),
    getAsyncActionResult: () => sdk.getAsyncActionResult({ id: 'x' })
};

/** Methods that find nothing, because there are no functions to find, or no ready-made clients. */
const absent = {
    getFunction: [() => sdk.getFunction({ uniqueKey: 'test-key', name: 'f' }), 404],
    getFunctionCode: [() => sdk.getFunctionCode({ uniqueKey: 'test-key', name: 'f' }), 404],
    deleteFunction: [() => sdk.deleteFunction({ uniqueKey: 'test-key', name: 'f' }, { type: 'action' }), 404],
    createQuickstartIntegration: [() => sdk.createQuickstartIntegration({ provider: 'test-key' }), 400]
};

/** Methods that ask no server; tests/sdk has them where they are used. */
const local = ['verifyWebhookSignature', 'verifyIncomingWebhookRequest'];
const notPublic = ['constructor', '_triggerAction', '_verifyWebhookSignatureImpl', 'getConnectionDetails', 'enrichHeaders'];

function call() {
    return { providerConfigKey: 'test-key', connectionId: 'c1' };
}

test('every method of the SDK is in one of the tables', () => {
    const methods = Object.getOwnPropertyNames(Nango.prototype).filter((name) => !notPublic.includes(name));
    const known = [...Object.keys(served), ...Object.keys(pending), ...Object.keys(absent), ...local];
    assert.deepEqual(methods.sort(), known.sort());
});

test('every answer has the type that the SDK promises', async () => {
    const answers = [];
    for (const [method, calls] of Object.entries(served)) {
        for (const answer of calls) {
            const value = await answer().catch((error) => assert.fail(`${method}: ${error.response?.status} ${JSON.stringify(error.response?.data)} ${error.message}`));
            answers.push({ method, type: types[method], value: value?.config ? value.data : value });
        }
    }
    assert.equal(await complaintsAbout(answers), '');
});

test('the compiler would notice a wrong answer', async () => {
    const complaints = await complaintsAbout([{ method: 'listIntegrations', value: { configs: [{ unique_key: 5 }] } }]);
    assert.match(complaints, /error TS2322|error TS2739|error TS2740/);
});

test('what needs functions is refused with 501', async () => {
    for (const [method, answer] of Object.entries(pending)) {
        const { status, code } = await refusal(answer());
        assert.deepEqual([method, status, code], [method, 501, 'not_implemented']);
    }
});

test('what is not there is told', async () => {
    for (const [method, [answer, expected]] of Object.entries(absent)) {
        const { status } = await refusal(answer());
        assert.deepEqual([method, status], [method, expected]);
    }
});
