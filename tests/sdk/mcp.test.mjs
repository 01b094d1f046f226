//! MCP servers behind a real OAuth server that registers clients: the published frontend SDK in a real Chromium.

import assert from 'node:assert/strict';
import { answerProvider, openHostPage, startChromium } from './support/browser.mjs';
import { startHostPage } from './support/host-page.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, beforeEach, describe, test } from './support/test.mjs';
import { plainIntegration, sessionFor, startWorld } from './support/world.mjs';

let world;
let browser;
let hostPage;
let host;

describe('MCP servers in Chromium', needs(noChromium), () => {
    before(async () => {
        world = await startWorld({ oidc: {}, mcp: true });
        hostPage = world.keep(await startHostPage());
        browser = world.keep(await startChromium());
    });
    after(() => world?.close());
    beforeEach(async () => {
        host = await openHostPage(browser, hostPage);
    });
    afterEach(() => host?.close());

    async function connect(key, options) {
        const popup = await host.openPopup(world.server, await sessionFor(world, key), key, options);
        await answerProvider(popup);
        const { success, error } = await host.outcome();
        assert.equal(error, undefined);
        return success.connectionId;
    }

    /** The token works at the MCP server, for which it was made, and two forced refreshes each give another that does. */
    async function worksAndRefreshes(key, connectionId, endpoint) {
        const resource = `${world.target.url}/mcp`;
        const tokens = new Set();
        for (let round = 0; round < 3; round += 1) {
            const { credentials } = await world.sdk.getConnection(key, connectionId, round > 0, true);
            assert.equal(credentials.type, 'OAUTH2');
            assert.ok(credentials.refresh_token);
            tokens.add(credentials.access_token);
            const made = await world.oidc.describe(credentials.access_token);
            assert.equal(made.resource, resource);
            assert.equal(await world.oidc.authMethodOf(made.client), 'none');
            const answer = await world.sdk.get({ providerConfigKey: key, connectionId, endpoint });
            assert.deepEqual([answer.status, answer.data], [200, { welcome: true }]);
        }
        assert.equal(tokens.size, 3);
    }

    test('a server of the catalog: registered once, signed in, called and refreshed twice', async () => {
        const key = await plainIntegration(world, 'test-mcp');
        const connectionId = await connect(key);
        await worksAndRefreshes(key, connectionId, '/mcp');
    });

    test('a server that the end user names: discovered, registered, signed in, called and refreshed twice', async () => {
        const key = await plainIntegration(world, 'test-mcp-generic');
        const connectionId = await connect(key, { params: { mcp_server_url: `${world.target.url}/mcp` } });
        await worksAndRefreshes(key, connectionId, '');
        const { connection_config: config } = await world.sdk.getConnection(key, connectionId);
        assert.equal(config.oauth_metadata.issuer, world.oidc.issuer);
        assert.equal(config.oauth_code_verifier, undefined);
    });

    test('a server without metadata rejects with what is missing', async () => {
        const key = await plainIntegration(world, 'test-mcp-generic', 'nothing-there');
        await host.openPopup(world.server, await sessionFor(world, key), key, { params: { mcp_server_url: `${world.target.url}/nothing` } });
        const { error } = await host.outcome();
        assert.equal(error.type, 'unknown_err');
        assert.match(error.message, /has no metadata of an authorization server/);
    });

    test('a missing address rejects with url_param_err', async () => {
        const key = await plainIntegration(world, 'test-mcp-generic', 'no-address');
        await host.openPopup(world.server, await sessionFor(world, key), key);
        const { error } = await host.outcome();
        assert.equal(error.type, 'url_param_err');
        assert.match(error.message, /mcp_server_url/);
    });
});
