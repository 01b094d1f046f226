//! The published Node SDK through the proxy, against a target that records what really arrives.

import assert from 'node:assert/strict';
import { readBody } from './support/http.mjs';
import { megabyte, startTarget } from './support/target.mjs';
import { after, before, beforeEach, describe, test } from './support/test.mjs';
import { within } from './support/until.mjs';
import { importConnection, importTokens, plainIntegration, refusal, startWorld, tokensIntegration } from './support/world.mjs';

let world;
let sdk;
let arrived;
const connection = { providerConfigKey: 'test-key', connectionId: 'proxied' };

before(async () => {
    world = await startWorld({ tokens: true });
    sdk = world.sdk;
    await plainIntegration(world, 'test-key');
    await tokensIntegration(world, 'tokens');
    await importConnection(world, { provider_config_key: 'test-key', connection_id: 'proxied', credentials: { type: 'API_KEY', apiKey: 'proxy-key' } });
});
after(() => world?.close());
beforeEach(() => {
    world.target.requests.length = 0;
    arrived = () => {
        assert.equal(world.target.requests.length, 1, 'the target was called once');
        return world.target.last;
    };
});

describe('methods and credentials', () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND', 'REPORT']) {
        test(`${method} arrives as ${method}, with the connection's credentials`, async () => {
            const answer = await sdk.proxy({ ...connection, method, endpoint: '/echo', data: method === 'GET' ? undefined : { a: 1 } });
            assert.equal(answer.status, 200);
            assert.equal(arrived().method, method);
            assert.equal(arrived().headers['x-api-key'], 'proxy-key');
            assert.equal(arrived().text, method === 'GET' ? '' : '{"a":1}');
        });
    }

    test('the short calls get, post, put, patch and delete do the same', async () => {
        for (const name of ['get', 'post', 'put', 'patch', 'delete']) {
            const answer = await sdk[name]({ ...connection, endpoint: 'echo' });
            assert.equal(answer.data.method, name.toUpperCase());
        }
    });

    test('an OAuth connection sends its bearer token', async () => {
        const pair = world.tokens.issue();
        const { connection_id } = await importTokens(world, 'tokens', pair, Date.now() + 3_600_000);
        await sdk.get({ providerConfigKey: 'tokens', connectionId: connection_id, endpoint: '/me' });
        assert.equal(arrived().headers.authorization, `Bearer ${pair.accessToken}`);
    });

    test('custom headers arrive under their own name, control headers and the secret key do not', async () => {
        await sdk.get({ ...connection, endpoint: '/echo', headers: { 'X-Trace': '77', Authorization: 'Custom mine' } });
        const { headers } = arrived();
        assert.equal(headers['x-trace'], '77');
        assert.equal(headers.authorization, 'Custom mine');
        assert.equal(headers.accept, 'application/json, text/plain, */*');
        assert.ok(headers['user-agent']);
        for (const name of Object.keys(headers)) assert.doesNotMatch(name, /^(nango-|provider-config-key|connection-id|base-url-override|retries)/);
        assert.ok(!JSON.stringify(headers).includes(world.server.secretKey));
    });
});

describe('query', () => {
    test('params as an object arrive as query, arrays joined by commas', async () => {
        await sdk.get({ ...connection, endpoint: '/echo', params: { q: 'a b', ids: ['1', '2'], n: 3 } });
        assert.deepEqual(Object.fromEntries(arrived().query), { q: 'a b', ids: '1,2', n: '3' });
    });

    test('params as a string arrive as written', async () => {
        await sdk.get({ ...connection, endpoint: '/echo', params: 'a=1&a=2&b=%20x' });
        assert.equal(arrived().search, '?a=1&a=2&b=%20x');
    });

    test('a query in the endpoint arrives byte for byte', async () => {
        const query = '?filter=a||b&path=x%2Fy;z&plus=1+1&tpl=${connectionConfig.x}&empty=&flag';
        await fetch(`${world.server.url}/proxy/echo${query.replaceAll('{', '%7B').replaceAll('}', '%7D')}`, {
            headers: { authorization: `Bearer ${world.server.secretKey}`, 'provider-config-key': 'test-key', 'connection-id': 'proxied' }
        });
        assert.equal(arrived().search, query.replaceAll('{', '%7B').replaceAll('}', '%7D'));
    });
});

describe('bodies', () => {
    const post = (data, more = {}) => sdk.post({ ...connection, endpoint: '/echo', data, ...more });

    test('an object arrives as JSON', async () => {
        await post({ name: 'Zoë', list: [1, 2] });
        assert.equal(arrived().text, '{"name":"Zoë","list":[1,2]}');
        assert.match(arrived().headers['content-type'], /^application\/json/);
    });

    test('no data arrives as an empty JSON object', async () => {
        await post(undefined);
        assert.equal(arrived().text, '{}');
        assert.match(arrived().headers['content-type'], /^application\/json/);
    });

    test('a string arrives as written', async () => {
        await post('a=1&b=two%20words');
        assert.equal(arrived().text, 'a=1&b=two%20words');
        assert.match(arrived().headers['content-type'], /^application\/x-www-form-urlencoded/);
    });

    test('a string with a content type of its own keeps both', async () => {
        await post('<a>é</a>', { headers: { 'Content-Type': 'application/xml' } });
        assert.equal(arrived().text, '<a>é</a>');
        assert.match(arrived().headers['content-type'], /^application\/xml/);
    });

    test('URLSearchParams arrive as a form, repeated names kept', async () => {
        await post(new URLSearchParams([['a', '1'], ['a', '2'], ['b', 'x y']]));
        assert.equal(arrived().text, 'a=1&a=2&b=x+y');
        assert.match(arrived().headers['content-type'], /^application\/x-www-form-urlencoded/);
    });

    test('an object with the form content type arrives as a form', async () => {
        await post({ grant: 'x', list: ['1', '2'] }, { headers: { 'Content-Type': 'application/x-www-form-urlencoded' } });
        assert.match(arrived().headers['content-type'], /^application\/x-www-form-urlencoded/);
        const form = new URLSearchParams(arrived().text);
        assert.equal(form.get('grant'), 'x');
        assert.deepEqual(form.getAll('list[]'), ['1', '2']);
    });

    test('a Buffer of one megabyte arrives byte for byte', async () => {
        await post(megabyte, { headers: { 'Content-Type': 'application/octet-stream' } });
        assert.ok(arrived().body.equals(megabyte));
        assert.equal(arrived().headers['content-type'], 'application/octet-stream');
    });

    test('FormData arrives as multipart with its fields and its file', async () => {
        const form = new FormData();
        form.append('title', 'Zoë');
        form.append('tag', 'one');
        form.append('tag', 'two');
        form.append('file', new Blob([megabyte], { type: 'image/png' }), 'picture.png');
        await post(form);
        const { headers, body } = arrived();
        assert.match(headers['content-type'], /^multipart\/form-data; ?boundary=/);
        const received = await new Response(body, { headers: { 'content-type': headers['content-type'] } }).formData();
        assert.equal(received.get('title'), 'Zoë');
        assert.deepEqual(received.getAll('tag'), ['one', 'two']);
        const file = received.get('file');
        assert.deepEqual([file.name, file.type], ['picture.png', 'image/png']);
        assert.ok(Buffer.from(await file.arrayBuffer()).equals(megabyte));
    });

    test('numbers beyond 2^53 and duplicate keys in JSON text are not touched', async () => {
        const text = '{ "n": 12345678901234567890, "a": 1, "a": 2, "d": 0.10 }';
        await post(text, { headers: { 'Content-Type': 'application/json' } });
        assert.equal(arrived().text, text);
    });
});

describe('answers', () => {
    test('status and headers of a created thing arrive', async () => {
        const answer = await sdk.post({ ...connection, endpoint: '/created', data: {} });
        assert.equal(answer.status, 201);
        assert.equal(answer.headers.location, '/things/7');
        assert.equal(answer.headers.link, '</things?page=2>; rel="next"');
        assert.deepEqual(answer.data, { id: 7 });
    });

    test('204 arrives without a body', async () => {
        const answer = await sdk.delete({ ...connection, endpoint: '/empty' });
        assert.deepEqual([answer.status, answer.data], [204, '']);
    });

    test('an error of the target rejects with its status and body', async () => {
        const { status, body } = await refusal(sdk.get({ ...connection, endpoint: '/teapot' }));
        assert.deepEqual([status, body], [418, { error: 'short and stout' }]);
    });

    test('responseType arraybuffer gives one megabyte byte for byte', async () => {
        const answer = await sdk.get({ ...connection, endpoint: '/binary', responseType: 'arraybuffer' });
        assert.ok(Buffer.from(answer.data).equals(megabyte));
        assert.equal(answer.headers['content-type'], 'application/octet-stream');
    });

    test('responseType stream gives the bytes as they come', async () => {
        const answer = await sdk.get({ ...connection, endpoint: '/binary', responseType: 'stream' });
        assert.ok((await readBody(answer.data)).equals(megabyte));
    });

    test('the first server-sent event arrives before the second one is sent', async () => {
        const answer = await sdk.get({ ...connection, endpoint: '/events', responseType: 'stream' });
        const times = [];
        const parts = [];
        await within('both events', (async () => {
            for await (const part of answer.data) {
                times.push(Date.now());
                parts.push(part.toString());
            }
        })());
        assert.equal(parts.join(''), 'data: first\n\ndata: second\n\n');
        assert.ok(times.at(-1) - times[0] > 150, 'the events did not come apart');
    });

    test('a chunked answer arrives whole', async () => {
        assert.equal((await sdk.get({ ...connection, endpoint: '/chunked' })).data, 'one two three');
    });

    test('a gzipped answer arrives readable, with and without decompress', async () => {
        assert.deepEqual((await sdk.get({ ...connection, endpoint: '/gzip' })).data, { squeezed: true });
        assert.deepEqual((await sdk.get({ ...connection, endpoint: '/gzip', decompress: true })).data, { squeezed: true });
    });

    test('a redirect on the same host is followed with the credentials', async () => {
        const answer = await sdk.get({ ...connection, endpoint: '/moved' });
        assert.equal(answer.data.url, '/echo?moved=1');
        assert.equal(answer.data.headers['x-api-key'], 'proxy-key');
    });
});

describe('retries', () => {
    test('without retries a failing target is asked once', async () => {
        const { status } = await refusal(sdk.get({ ...connection, endpoint: '/flaky?fail=9&name=none' }));
        assert.equal(status, 503);
        assert.equal(world.target.requests.length, 1);
    });

    test('retries ask again after the wait the target names', async () => {
        const answer = await sdk.post({ ...connection, endpoint: '/flaky?fail=2&name=twice', data: { keep: 'me' }, retries: 2 });
        assert.deepEqual(answer.data, { failuresBefore: 2 });
        assert.deepEqual(world.target.requests.map((request) => request.text), ['{"keep":"me"}', '{"keep":"me"}', '{"keep":"me"}']);
    });

    test('a 401 is asked again when there are retries', async () => {
        const answer = await sdk.get({ ...connection, endpoint: '/flaky?fail=1&status=401&name=unauthorized', retries: 1 });
        assert.deepEqual(answer.data, { failuresBefore: 1 });
    });

    test('a 418 is asked again only when retryOn names it', async () => {
        assert.equal((await refusal(sdk.get({ ...connection, endpoint: '/flaky?fail=1&status=418&name=plain', retries: 1 }))).status, 418);
        const answer = await sdk.get({ ...connection, endpoint: '/flaky?fail=1&status=418&name=named', retries: 1, retryOn: [418] });
        assert.deepEqual(answer.data, { failuresBefore: 1 });
    });

    test('an empty retryOn list is as if it were absent', async () => {
        const answer = await sdk.get({ ...connection, endpoint: '/flaky?fail=1&name=empty-list', retries: 1, retryOn: [] });
        assert.deepEqual(answer.data, { failuresBefore: 1 });
    });
});

describe('base address', () => {
    test('baseUrlOverride sends the call elsewhere, credentials included', async () => {
        const other = await startTarget();
        try {
            await sdk.get({ ...connection, endpoint: '/echo?x=1', baseUrlOverride: other.url });
            assert.equal(other.last.url, '/echo?x=1');
            assert.equal(other.last.headers['x-api-key'], 'proxy-key');
            assert.equal(world.target.requests.length, 0);
        } finally {
            await other.close();
        }
    });

    test('a cloud metadata address is refused', async () => {
        const { status, code } = await refusal(sdk.get({ ...connection, endpoint: '/', baseUrlOverride: 'http://169.254.169.254' }));
        assert.deepEqual([status, code], [400, 'base_url_override_not_allowed']);
    });
});

describe('refusals', () => {
    test('an unknown integration is 404 unknown_provider_config', async () => {
        const { status, code } = await refusal(sdk.get({ providerConfigKey: 'nowhere', connectionId: 'proxied', endpoint: '/echo' }));
        assert.deepEqual([status, code], [404, 'unknown_provider_config']);
    });

    test('an unknown connection is 400 server_error', async () => {
        const { status, code } = await refusal(sdk.get({ providerConfigKey: 'test-key', connectionId: 'nobody', endpoint: '/echo' }));
        assert.deepEqual([status, code], [400, 'server_error']);
    });

    test('a deleted connection stops being proxied at once', async () => {
        const { connection_id } = await importConnection(world, { provider_config_key: 'test-key', credentials: { type: 'API_KEY', apiKey: 'short-lived' } });
        await sdk.get({ providerConfigKey: 'test-key', connectionId: connection_id, endpoint: '/echo' });
        await sdk.deleteConnection('test-key', connection_id);
        const { status } = await refusal(sdk.get({ providerConfigKey: 'test-key', connectionId: connection_id, endpoint: '/echo' }));
        assert.equal(status, 400);
    });

    test('replaced credentials are used by the next call', async () => {
        const body = { provider_config_key: 'test-key', connection_id: 'replaced', credentials: { type: 'API_KEY', apiKey: 'old' } };
        const call = () => sdk.get({ providerConfigKey: 'test-key', connectionId: 'replaced', endpoint: '/echo' });
        await importConnection(world, body);
        assert.equal((await call()).data.headers['x-api-key'], 'old');
        await importConnection(world, { ...body, credentials: { type: 'API_KEY', apiKey: 'new' } });
        assert.equal((await call()).data.headers['x-api-key'], 'new');
    });
});
