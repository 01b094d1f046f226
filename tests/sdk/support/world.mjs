//! The whole stage of a test file: the server under test and the fake world around it, closed together at the end.

import { startAws } from './aws.mjs';
import { testCatalog } from './catalog.mjs';
import { startGitHub } from './github.mjs';
import { startHitchpost } from './hitchpost.mjs';
import { freePort } from './http.mjs';
import { startModeProvider } from './mode-provider.mjs';
import { startOauth1 } from './oauth1.mjs';
import { startOidc } from './oidc.mjs';
import { startTarget } from './target.mjs';
import { startTokenServer } from './token-server.mjs';
import { within } from './until.mjs';

/**
 * `oidc`, `oauth1`, `tokens`, `github`, `aws` and `modes` ask for those servers, `oidc` may carry `{accessTokenSeconds}`; `mcp`
 * lets the oidc server guard the target's `/mcp`; `providers` makes more catalog entries from the world; the rest goes to the
 * server under test.
 */
export async function startWorld({ oidc = false, oauth1 = false, tokens = false, github = false, aws = false, modes = false, mcp = false, providers = () => ({}), env = {}, ...options } = {}) {
    const closers = [];
    const keep = (thing) => {
        closers.push(() => within(`${thing.constructor.name} to close`, (thing.stop ?? thing.close).call(thing), 30_000));
        return thing;
    };
    const close = async () => {
        const failures = [];
        for (const closer of closers.reverse()) await closer().catch((error) => failures.push(error));
        if (failures.length > 0) throw new AggregateError(failures, failures.map((failure) => failure.message).join('; '));
    };
    try {
        const world = { target: keep(await startTarget()), close, keep };
        if (tokens) world.tokens = keep(await startTokenServer());
        if (oauth1) world.oauth1 = keep(await startOauth1());
        // The provider must know the server's callback before the server starts.
        const port = await freePort();
        if (oidc) world.oidc = keep(await startOidc({ redirectUris: [`http://127.0.0.1:${port}/oauth/callback`], protects: mcp && `${world.target.url}/mcp`, ...oidc }));
        if (mcp) world.target.issuer = world.oidc.issuer;
        if (github) world.github = keep(await startGitHub({ serverUrl: `http://127.0.0.1:${port}` }));
        if (modes) world.modes = keep(await startModeProvider({ serverUrl: `http://127.0.0.1:${port}` }));
        if (aws) world.aws = keep(await startAws());
        const wanted = { ...world.modes?.env, ...(aws && { AWS_ENDPOINT_URL_STS: world.aws.url }), ...env };
        world.server = keep(await startHitchpost({ catalog: { ...testCatalog(world), ...providers(world) }, port, env: wanted, ...options }));
        world.sdk = world.server.sdk;
        world.target.acceptsToken = async (token) => Boolean((await world.oidc?.accepts(token)) || world.tokens?.accepts(token));
        return world;
    } catch (error) {
        await close();
        throw error;
    }
}

const oauthCredentials = (fake, overrides) => ({ type: 'OAUTH2', client_id: fake.client.id, client_secret: fake.client.secret, scopes: 'openid,offline_access', ...overrides });

/** Creates an integration of the real OAuth server and returns its key. */
export async function oidcIntegration(world, key, { provider = 'test-oidc', ...credentials } = {}) {
    await world.sdk.createIntegration({ provider, unique_key: key, credentials: oauthCredentials(world.oidc, credentials) });
    return key;
}

/** Creates an integration of the scripted OAuth server and returns its key. */
export async function tokensIntegration(world, key, credentials = {}) {
    await world.sdk.createIntegration({ provider: 'test-tokens', unique_key: key, credentials: oauthCredentials(world.tokens, { scopes: 'read', ...credentials }) });
    return key;
}

/** Creates an integration that needs no credentials of its own. */
export async function plainIntegration(world, provider, key = provider) {
    await world.sdk.createIntegration({ provider, unique_key: key });
    return key;
}

/** A connect session token for `key`. */
export async function sessionFor(world, key, more = {}) {
    const { data } = await world.sdk.createConnectSession({ end_user: { id: 'user-1', email: 'user-1@example.test' }, allowed_integrations: [key], ...more });
    return data.token;
}

/** `POST /connections`, which the Node SDK has no method for. Returns the parsed answer. */
export async function importConnection(world, body) {
    const response = await fetch(`${world.server.url}/connections`, {
        method: 'POST',
        headers: { authorization: `Bearer ${world.server.secretKey}`, 'content-type': 'application/json' },
        body: JSON.stringify(body)
    });
    const answer = await response.json();
    if (response.status !== 201) throw new Error(`import refused: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
}

/** Imports a connection of the scripted OAuth server holding `pair`, which expires at `expiresAt`. */
export function importTokens(world, key, pair, expiresAt, connectionId) {
    return importConnection(world, {
        provider_config_key: key,
        connection_id: connectionId,
        credentials: { type: 'OAUTH2', access_token: pair.accessToken, refresh_token: pair.refreshToken, expires_at: new Date(expiresAt).toISOString() }
    });
}

/** The refused answer of an SDK call: `{status, code, body}`. Fails when the call succeeds. */
export async function refusal(promise) {
    let answer;
    try {
        answer = await promise;
    } catch (error) {
        if (!error.response) throw error;
        return { status: error.response.status, code: error.response.data?.error?.code, body: error.response.data };
    }
    throw new Error(`expected a refusal, got ${JSON.stringify(answer?.data ?? answer)}`);
}
