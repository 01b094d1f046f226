//! The published Node SDK against connections: import, list, read, metadata, patch, delete.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from './support/test.mjs';
import { importConnection, importTokens, plainIntegration, refusal, startWorld, tokensIntegration } from './support/world.mjs';

let world;
let sdk;
before(async () => {
    world = await startWorld({ tokens: true });
    sdk = world.sdk;
    await plainIntegration(world, 'test-key');
    await plainIntegration(world, 'test-key', 'other-key');
    await tokensIntegration(world, 'tokens');
});
after(() => world?.close());

const inAnHour = () => Date.now() + 3_600_000;
const apiKey = (more = {}) => importConnection(world, { provider_config_key: 'test-key', credentials: { type: 'API_KEY', apiKey: 'key-1' }, ...more });
const idsOf = (answer) => answer.connections.map((connection) => connection.connection_id).sort();

describe('import', () => {
    test('POST /connections answers the whole connection, with a generated id', async () => {
        const answer = await apiKey({ metadata: { plan: 'pro' }, connection_config: { region: 'eu' }, end_user: { id: 'jo', display_name: 'Jo' }, tags: { Seat: '7' } });
        assert.match(answer.connection_id, /^[0-9a-f-]{36}$/);
        assert.equal(answer.provider, 'test-key');
        assert.deepEqual(answer.credentials, { type: 'API_KEY', apiKey: 'key-1' });
        assert.deepEqual(answer.metadata, { plan: 'pro' });
        assert.deepEqual(answer.connection_config, { region: 'eu' });
        assert.deepEqual(answer.tags, { end_user_id: 'jo', end_user_display_name: 'Jo', seat: '7' });
        assert.deepEqual(answer.end_user, { id: 'jo', display_name: 'Jo', email: null, tags: null, organization: null });
        assert.deepEqual(answer.errors, []);
    });

    test('a second import under the same id replaces everything', async () => {
        const connection_id = `twice-${randomUUID()}`;
        const first = await apiKey({ connection_id, metadata: { a: 1 }, tags: { a: '1' }, connection_config: { a: '1' } });
        const second = await apiKey({ connection_id, credentials: { type: 'API_KEY', apiKey: 'key-2' } });
        assert.equal(second.id, first.id);
        assert.equal(second.credentials.apiKey, 'key-2');
        assert.deepEqual([second.metadata, second.tags, second.connection_config], [{}, {}, {}]);
    });

    test('an import of another credential type than the provider has is 400 invalid_body', async () => {
        await assert.rejects(apiKey({ credentials: { type: 'BASIC', username: 'u', password: 'p' } }), /400.*invalid_body/);
    });
});

describe('listConnections', () => {
    before(async () => {
        const jane = { id: 'jane', email: 'jane@acme.example.com', display_name: 'Jane Roe' };
        await apiKey({ connection_id: 'list-1', end_user: jane, tags: { team: 'red' } });
        await apiKey({ connection_id: 'list-2', end_user: { id: 'bob' }, tags: { team: 'blue', seat: '1' } });
        await apiKey({ connection_id: 'list-3', tags: { team: 'red', seat: '1' }, metadata: { note: 'x' } });
        await apiKey({ connection_id: 'list-4', provider_config_key: 'other-key', tags: { lone: 'yes' } });
    });

    const cases = [
        ['connectionId', { connectionId: 'list-2' }, ['list-2']],
        ['userId', { userId: 'jane' }, ['list-1']],
        ['one integration and a tag', { integrationId: 'other-key', tags: { lone: 'yes' } }, ['list-4']],
        ['several integrations and a tag', { integrationId: ['other-key', 'test-key'], tags: { team: 'red' } }, ['list-1', 'list-3']],
        ['all of several tags', { tags: { team: 'red', seat: '1' } }, ['list-3']],
        ['the display name tag', { tags: { displayName: 'Jane Roe' } }, ['list-1']],
        ['the e-mail tag', { tags: { email: 'jane@acme.example.com' } }, ['list-1']],
        ['a tag nobody has', { tags: { team: 'green' } }, []],
        ['an unknown user', { userId: 'nobody' }, []]
    ];
    for (const [name, filter, expected] of cases) {
        test(`filters by ${name}`, async () => assert.deepEqual(idsOf(await sdk.listConnections(filter)), expected));
    }

    test('the old call finds by connection id, by search text and by end user', async () => {
        assert.deepEqual(idsOf(await sdk.listConnections('list-3')), ['list-3']);
        assert.deepEqual(idsOf(await sdk.listConnections(undefined, 'LIST-')), ['list-1', 'list-2', 'list-3', 'list-4']);
        assert.deepEqual(idsOf(await sdk.listConnections(undefined, 'jane roe')), ['list-1']);
        assert.deepEqual(idsOf(await sdk.listConnections(undefined, 'list-_')), [], 'an underscore is no wildcard');
        assert.deepEqual(idsOf(await sdk.listConnections(undefined, undefined, { endUserId: 'bob' })), ['list-2']);
        assert.deepEqual(idsOf(await sdk.listConnections(undefined, undefined, { endUserOrganizationId: 'none' })), []);
    });

    test('pages newest first', async () => {
        const page = (number) => sdk.listConnections({ integrationId: ['test-key', 'other-key'], limit: 2, page: number });
        const first = (await page(0)).connections.map((connection) => connection.connection_id);
        const second = (await page(1)).connections.map((connection) => connection.connection_id);
        assert.deepEqual(first, ['list-4', 'list-3']);
        assert.deepEqual(second, ['list-2', 'list-1']);
    });

    test('shows a summary without credentials', async () => {
        const [summary] = (await sdk.listConnections({ connectionId: 'list-3' })).connections;
        const { id, created, ...rest } = summary;
        assert.ok(Number.isInteger(id));
        assert.ok(Date.parse(created) > 0);
        assert.deepEqual(rest, {
            connection_id: 'list-3',
            provider_config_key: 'test-key',
            provider: 'test-key',
            errors: [],
            end_user: null,
            tags: { team: 'red', seat: '1' },
            metadata: { note: 'x' }
        });
    });

    test('a limit out of range is 400 invalid_query_params', async () => {
        const { status, code } = await refusal(sdk.listConnections({ limit: 2001 }));
        assert.deepEqual([status, code], [400, 'invalid_query_params']);
    });
});

describe('reading', () => {
    test('getConnection answers credentials, and the refresh token only when asked', async () => {
        const pair = world.tokens.issue();
        const { connection_id } = await importTokens(world, 'tokens', pair, inAnHour());
        const plain = await sdk.getConnection('tokens', connection_id);
        assert.equal(plain.credentials.type, 'OAUTH2');
        assert.equal(plain.credentials.access_token, pair.accessToken);
        assert.ok(!JSON.stringify(plain).includes(pair.refreshToken));
        const whole = await sdk.getConnection('tokens', connection_id, false, true);
        assert.equal(whole.credentials.refresh_token, pair.refreshToken);
        assert.equal(whole.credentials.raw.refresh_token, pair.refreshToken);
    });

    test('getToken answers the access token of OAuth and the credentials of an API key', async () => {
        const pair = world.tokens.issue();
        const oauth = await importTokens(world, 'tokens', pair, inAnHour());
        assert.equal(await sdk.getToken('tokens', oauth.connection_id), pair.accessToken);
        const key = await apiKey();
        assert.deepEqual(await sdk.getToken('test-key', key.connection_id), { type: 'API_KEY', apiKey: 'key-1' });
    });

    test('getRawTokenResponse answers what was stored as raw', async () => {
        const pair = world.tokens.issue();
        const { connection_id } = await importTokens(world, 'tokens', pair, inAnHour());
        const raw = await sdk.getRawTokenResponse('tokens', connection_id);
        assert.equal(raw.access_token, pair.accessToken);
        assert.ok(!('refresh_token' in raw));
    });

    test('an unknown connection is 404, an unknown integration 400', async () => {
        const connection = await refusal(sdk.getConnection('test-key', 'no-such-connection'));
        assert.deepEqual([connection.status, connection.code], [404, 'not_found']);
        const integration = await refusal(sdk.getConnection('no-such-integration', 'list-1'));
        assert.deepEqual([integration.status, integration.code], [400, 'unknown_provider_config']);
    });

    test('a connection id with every allowed kind of character can be read back', async () => {
        const connection_id = `a,b.c;d:e=f+g~h[i]j|k@l$m{n}"o' p_q-r`;
        await apiKey({ connection_id });
        assert.equal((await sdk.getConnection('test-key', encodeURIComponent(connection_id))).connection_id, connection_id);
    });
});

describe('metadata', () => {
    test('setMetadata replaces, updateMetadata merges, getMetadata reads', async () => {
        const { connection_id } = await apiKey({ metadata: { old: true } });
        const set = await sdk.setMetadata('test-key', connection_id, { a: 1, b: { c: 2 } });
        assert.deepEqual([set.status, set.data.metadata], [201, { a: 1, b: { c: 2 } }]);
        assert.deepEqual(await sdk.getMetadata('test-key', connection_id), { a: 1, b: { c: 2 } });
        const update = await sdk.updateMetadata('test-key', connection_id, { b: null, d: [1] });
        assert.equal(update.status, 200);
        assert.deepEqual(await sdk.getMetadata('test-key', connection_id), { a: 1, b: null, d: [1] });
    });

    test('several connections are written at once, or none when one is missing', async () => {
        const [first, second] = [await apiKey(), await apiKey()].map((connection) => connection.connection_id);
        await sdk.setMetadata('test-key', [first, second], { both: true });
        assert.deepEqual(await sdk.getMetadata('test-key', second), { both: true });
        const { status, code } = await refusal(sdk.setMetadata('test-key', [first, 'missing'], { both: false }));
        assert.deepEqual([status, code], [404, 'unknown_connection']);
        assert.deepEqual(await sdk.getMetadata('test-key', first), { both: true });
    });

    test('fifty updates at the same time lose no key', async () => {
        const { connection_id } = await apiKey();
        const keys = Array.from({ length: 50 }, (_, index) => `key${index}`);
        await Promise.all(keys.map((key) => sdk.updateMetadata('test-key', connection_id, { [key]: true })));
        assert.deepEqual(Object.keys(await sdk.getMetadata('test-key', connection_id)).sort(), keys.sort());
    });
});

describe('patch and delete', () => {
    test('patchConnection replaces the tags and links the end user', async () => {
        const { connection_id } = await apiKey({ tags: { old: 'yes' } });
        const target = { connectionId: connection_id, provider_config_key: 'test-key' };
        const answer = await sdk.patchConnection(target, { end_user: { id: 'p1', email: 'p1@acme.example.com' }, tags: { plan: 'pro' } });
        assert.deepEqual(answer, { success: true });
        const connection = await sdk.getConnection('test-key', connection_id);
        assert.deepEqual(connection.tags, { end_user_id: 'p1', end_user_email: 'p1@acme.example.com', plan: 'pro' });
        assert.equal(connection.end_user.email, 'p1@acme.example.com');
    });

    test('deleteConnection removes it once', async () => {
        const { connection_id } = await apiKey();
        const answer = await sdk.deleteConnection('test-key', connection_id);
        assert.deepEqual([answer.status, answer.data], [200, { success: true }]);
        assert.equal((await refusal(sdk.getConnection('test-key', connection_id))).status, 404);
        const again = await refusal(sdk.deleteConnection('test-key', connection_id));
        assert.deepEqual([again.status, again.code], [400, 'unknown_connection']);
    });

    test('a deleted id can be imported again at once', async () => {
        const { connection_id, id } = await apiKey();
        await sdk.deleteConnection('test-key', connection_id);
        const again = await apiKey({ connection_id });
        assert.notEqual(again.id, id);
    });
});
