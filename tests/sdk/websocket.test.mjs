//! The result channel as a raw websocket client sees it, with the sign-in walked by hand.

import assert from 'node:assert/strict';
import { openSocket } from './support/socket.mjs';
import { after, before, describe, test } from './support/test.mjs';
import { connectUrl, signInByHand } from './support/walker.mjs';
import { oidcIntegration, sessionFor, startWorld, tokensIntegration } from './support/world.mjs';

let world;
before(async () => {
    world = await startWorld({ oidc: {}, tokens: true });
    await tokensIntegration(world, 'tokens');
    await oidcIntegration(world, 'oidc');
});
after(() => world?.close());

const session = async (key, wsClientId) => ({ key, token: await sessionFor(world, key), wsClientId });

describe('the result channel', () => {
    test('a success arrives with the connection id', async () => {
        const socket = await openSocket(world.server.url);
        const page = await signInByHand(world.server, await session('tokens', socket.wsClientId));
        assert.equal(page.status, 200);
        const frame = await socket.outcome();
        socket.close();
        assert.equal(frame.message_type, 'success');
        assert.equal(frame.provider_config_key, 'tokens');
        assert.equal(frame.is_pending, false);
        assert.ok(world.tokens.accepts(await world.sdk.getToken('tokens', frame.connection_id)));
    });

    test('a refusal arrives with its type and words, and the page says 400', async () => {
        const socket = await openSocket(world.server.url);
        const page = await signInByHand(world.server, { ...(await session('oidc', socket.wsClientId)), answer: 'refuse' });
        assert.equal(page.status, 400);
        const frame = await socket.outcome();
        socket.close();
        assert.deepEqual([frame.message_type, frame.error_type], ['error', 'callback_err']);
        assert.match(frame.error_desc, /access_denied/);
    });

    test('each socket hears of its own sign-in only', async () => {
        const sockets = await Promise.all(Array.from({ length: 8 }, () => openSocket(world.server.url)));
        await Promise.all(sockets.map(async (socket) => signInByHand(world.server, await session('tokens', socket.wsClientId))));
        const frames = await Promise.all(sockets.map((socket) => socket.outcome()));
        sockets.forEach((socket) => socket.close());
        assert.equal(new Set(sockets.map((socket) => socket.wsClientId)).size, 8);
        assert.equal(new Set(frames.map((frame) => frame.connection_id)).size, 8);
    });

    test('a socket that vanished does not hurt the sign-in', async () => {
        const socket = await openSocket(world.server.url);
        socket.close();
        const page = await signInByHand(world.server, { ...(await session('tokens', socket.wsClientId)), token: await sessionFor(world, 'tokens', { end_user: { id: 'vanished' } }) });
        assert.equal(page.status, 200);
        assert.equal((await world.sdk.listConnections({ userId: 'vanished' })).connections.length, 1);
    });

    test('a goodbye is answered, so that browsers count the close as clean', async () => {
        const socket = await openSocket(world.server.url);
        assert.equal(await socket.sayGoodbye(), 1000);
    });

    test('another path answers an upgrade with a plain HTTP error', async () => {
        await assert.rejects(openSocket(`${world.server.url}/elsewhere`), /Unexpected server response: 4\d\d/);
    });
});

describe('the callback', () => {
    test('a state is good for one callback only', async () => {
        const { url } = await signInByHand(world.server, await session('tokens'));
        assert.equal(url.pathname, '/oauth/callback');
        const again = await fetch(url, { headers: { cookie: `oauth2-${url.searchParams.get('state')}=1` } });
        assert.equal(again.status, 400);
    });

    test('a callback without the state cookie is refused', async () => {
        const socket = await openSocket(world.server.url);
        const start = await fetch(connectUrl(world.server, await session('tokens', socket.wsClientId)), { redirect: 'manual' });
        const cookie = start.headers.getSetCookie().find((line) => line.startsWith('oauth2-'));
        assert.match(cookie, /HttpOnly/i);
        assert.match(cookie, /SameSite=Lax/i);
        const authorize = await fetch(start.headers.get('location'), { redirect: 'manual' });
        const page = await fetch(authorize.headers.get('location'));
        assert.equal(page.status, 400);
        const frame = await socket.outcome();
        socket.close();
        assert.equal(frame.error_type, 'state_cookie_err');
    });

    test('the authorize redirect carries PKCE, the scopes and the callback', async () => {
        const start = await fetch(connectUrl(world.server, await session('oidc')), { redirect: 'manual' });
        assert.equal(start.status, 302);
        const { searchParams } = new URL(start.headers.get('location'));
        assert.equal(searchParams.get('response_type'), 'code');
        assert.equal(searchParams.get('client_id'), world.oidc.client.id);
        assert.equal(searchParams.get('redirect_uri'), `${world.server.url}/oauth/callback`);
        assert.equal(searchParams.get('scope'), 'openid offline_access');
        assert.equal(searchParams.get('code_challenge_method'), 'S256');
        assert.match(searchParams.get('code_challenge'), /^[A-Za-z0-9_-]{43}$/);
        assert.equal(searchParams.get('prompt'), 'consent');
    });
});
