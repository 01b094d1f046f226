//! What was refused or went wrong leaves no secret in what the process prints, nor in what it answers.

import assert from 'node:assert/strict';
import { openSocket } from './support/socket.mjs';
import { after, before, describe, test } from './support/test.mjs';
import { signInByHand } from './support/walker.mjs';
import { importConnection, importTokens, plainIntegration, refusal, sessionFor, startWorld, tokensIntegration } from './support/world.mjs';

let world;
before(async () => {
    world = await startWorld({ tokens: true });
    await tokensIntegration(world, 'tokens');
});
after(() => world?.close());

/** Every spelling in which a secret could be printed. */
function spellings(secret) {
    return [secret, encodeURIComponent(secret), Buffer.from(secret).toString('base64').replace(/=+$/, '')];
}

function assertNowhere(secrets, text, where) {
    for (const [name, secret] of Object.entries(secrets)) {
        for (const spelling of spellings(secret)) assert.ok(!text.includes(spelling), `${name} occurs in ${where}`);
    }
}

/** A provider so badly behaved that its error repeats everything it was sent. */
const echo = ({ params, basic }) => ({
    status: 400,
    body: { error: 'invalid_request', error_description: `You sent ${new URLSearchParams(params)} ${basic?.password ?? ''}`, received: params }
});

async function refusedSignIn() {
    const socket = await openSocket(world.server.url);
    const token = await sessionFor(world, 'tokens');
    const page = await signInByHand(world.server, { key: 'tokens', token, wsClientId: socket.wsClientId });
    const frame = await socket.outcome();
    socket.close();
    const { code, code_verifier: verifier } = world.tokens.calls.at(-1).params;
    return { page, frame, secrets: { 'the session token': token, 'the code': code, 'the code verifier': verifier } };
}

async function refusedKey() {
    const key = await plainIntegration(world, 'test-key-verified');
    const token = await sessionFor(world, key);
    const apiKey = 'api-key-that-must-not-be-printed';
    const response = await fetch(`${world.server.url}/api-auth/api-key/${key}?connect_session_token=${token}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ apiKey })
    });
    assert.equal(response.status, 400);
    return { text: await response.text(), secrets: { 'the API key': apiKey, 'the session token of the key': token } };
}

describe('secrets', () => {
    test('refused sign-ins, keys and refreshes print no secret and answer none', async () => {
        world.tokens.refuseWith = echo;
        const clientSecret = { 'the client secret': world.tokens.client.secret };
        const signIn = await refusedSignIn();
        assert.deepEqual([signIn.page.status, signIn.frame.message_type], [400, 'error']);
        assertNowhere({ ...clientSecret, ...signIn.secrets }, signIn.page.html, 'the error page');
        assertNowhere({ ...clientSecret, ...signIn.secrets }, JSON.stringify(signIn.frame), 'the websocket frame');

        const key = await refusedKey();
        assertNowhere(key.secrets, key.text, 'the answer to a wrong key');

        const pair = world.tokens.issue();
        const { connection_id } = await importTokens(world, 'tokens', pair, Date.now() - 1000);
        const { status, body } = await refusal(world.sdk.getConnection('tokens', connection_id));
        assert.equal(status, 400);
        const tokenSecrets = { 'the access token': pair.accessToken, 'the refresh token': pair.refreshToken };
        assertNowhere({ ...clientSecret, ...tokenSecrets }, JSON.stringify(body), 'the answer to a refused refresh');
        world.tokens.refuseWith = null;

        const proxyKey = 'proxy-key-that-must-not-be-printed';
        await plainIntegration(world, 'test-key');
        const imported = await importConnection(world, { provider_config_key: 'test-key', credentials: { type: 'API_KEY', apiKey: proxyKey } });
        const refusedCall = { providerConfigKey: 'test-key', connectionId: imported.connection_id, headers: { Authorization: 'Bearer header-that-must-not-be-printed' } };
        await refusal(world.sdk.get({ ...refusedCall, endpoint: '/teapot' }));
        await refusal(world.sdk.get({ ...refusedCall, endpoint: '/', baseUrlOverride: 'http://169.254.169.254' }));

        const all = {
            ...clientSecret,
            ...signIn.secrets,
            ...key.secrets,
            ...tokenSecrets,
            'the proxied key': proxyKey,
            'the authorization header': 'header-that-must-not-be-printed',
            'the secret key of the environment': world.server.secretKey,
            'the encryption key': world.server.state.encryptionKey
        };
        await world.server.kill();
        assert.ok(world.server.log.length > 0, 'the server printed something');
        assertNowhere(all, world.server.log, "the server's output");
    });
});
