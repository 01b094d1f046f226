//! The Connect UI, opened by the published SDK on another origin: each auth mode with a window of the provider, from the click
//! to a call that the provider accepts.

import assert from 'node:assert/strict';
import { answerProvider, startChromium } from './support/browser.mjs';
import { pluginEntry } from './support/connect-ui-catalog.mjs';
import { openConnectUi } from './support/connect-ui.mjs';
import { startHostPage } from './support/host-page.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';
import { oidcIntegration, plainIntegration, sessionFor, startWorld } from './support/world.mjs';

const press = (button) => (popup) => popup.click(`#${button}`);

/** How people answer in the window, the type of the credentials that come of it, and a call that then works. */
const journeys = [
    { key: 'oidc', name: 'Real OAuth server', answer: answerProvider, type: 'OAUTH2', call: '/me' },
    { key: 'test-oauth1', name: 'OAuth 1 provider', answer: press('allow'), type: 'OAUTH1', call: '/api/things' },
    { key: 'app', name: 'GitHub App', answer: press('install'), type: 'APP', call: '/installation/repositories' },
    { key: 'user-app', name: 'GitHub App with user login', answer: press('install'), type: 'APP', call: '/installation/repositories' },
    { key: 'user-app', name: 'GitHub App that an owner must approve', answer: press('request'), type: 'OAUTH2', isPending: true },
    { key: 'test-mcp', name: 'MCP server of the catalog', answer: answerProvider, type: 'OAUTH2', call: '/mcp' },
    { key: 'test-mcp-generic', name: 'Any MCP server', fill: ({ target }) => ({ mcp_server_url: `${target.url}/mcp` }), answer: answerProvider, type: 'OAUTH2', call: '' },
    { key: 'ui-plugin', name: 'Plugin', answer: press('install'), type: 'BASIC', call: '/plugin/w-9' }
];

let world;
let browser;
let hostPage;
let ui;

describe('the windows of the Connect UI', needs(noChromium), () => {
    before(async () => {
        world = await startWorld({ oidc: {}, oauth1: true, github: true, modes: true, mcp: true, providers: pluginEntry });
        hostPage = world.keep(await startHostPage());
        browser = world.keep(await startChromium());
        await createIntegrations();
    });
    after(() => world?.close());
    afterEach(async () => {
        await ui?.close();
        ui = null;
    });

    async function createIntegrations() {
        const { github, oauth1, modes, sdk } = world;
        await oidcIntegration(world, 'oidc');
        await sdk.createIntegration({ provider: 'test-oauth1', unique_key: 'test-oauth1', credentials: { type: 'OAUTH1', client_id: oauth1.client.id, client_secret: oauth1.client.secret, scopes: 'read' } });
        const app = { app_id: github.appId, app_link: github.appLink('plain'), private_key: github.pem() };
        await sdk.createIntegration({ provider: 'test-app', unique_key: 'app', credentials: { type: 'APP', ...app } });
        const client = { client_id: github.client.id, client_secret: github.client.secret };
        await sdk.createIntegration({ provider: 'test-user-app', unique_key: 'user-app', credentials: { type: 'CUSTOM', ...client, ...app, app_link: github.appLink('user') } });
        await plainIntegration(world, 'test-mcp');
        await plainIntegration(world, 'test-mcp-generic');
        await sdk.createIntegration({ provider: 'ui-plugin', unique_key: 'ui-plugin', custom: { app_link: `${modes.pages}/plugin/install`, ...modes.login } });
    }

    const open = async (key, { session = {}, ...more } = {}) => {
        ui = await openConnectUi(world, browser, hostPage, { token: await sessionFor(world, key, session), ...more });
        await ui.screen('form');
        return ui;
    };

    for (const { key, name, fill = () => ({}), answer, type, call, isPending = false } of journeys) {
        test(`${name}: the window, and a connection that works`, async () => {
            await open(key);
            await ui.fill(fill(world));
            const popup = await ui.submitToPopup();
            await ui.screen('waiting');
            await answer(popup);
            await ui.screen('success');
            if (isPending) assert.equal(await ui.title(), 'Approval requested');
            else assert.match(await ui.title(), / is connected$/);
            await ui.picture(`window-${key}${isPending ? '-pending' : ''}`);
            await until('the window to close', () => popup.isClosed());
            const { payload } = await ui.event('connect');
            assert.deepEqual([payload.providerConfigKey, payload.isPending], [key, isPending]);
            const { credentials, end_user: user } = await world.sdk.getConnection(key, payload.connectionId);
            assert.deepEqual([credentials.type, user.id], [type, 'user-1']);
            if (call === undefined) return;
            const reply = await world.sdk.get({ providerConfigKey: key, connectionId: payload.connectionId, endpoint: call });
            assert.equal(reply.status, 200);
        });
    }

    test('what the customer hears, and that the page closes', async () => {
        await open('oidc');
        assert.equal(await ui.title(), 'Connect Real OAuth server');
        const popup = await ui.submitToPopup();
        await ui.screen('waiting');
        await ui.picture('waiting');
        await answerProvider(popup);
        await ui.screen('success');
        await ui.leave(() => ui.press('Done'));
        await ui.page.waitForSelector('#connect-ui', { state: 'detached' });
        assert.deepEqual((await ui.events()).map((event) => event.type), ['ready', 'connect', 'close']);
    });

    test('an end user may bring an OAuth client where the session asks for one', async () => {
        await oidcIntegration(world, 'oidc-own', { client_id: 'nobody', client_secret: 'nothing' });
        const defaults = { 'oidc-own': { connection_config: { oauth_client_id_override: '', oauth_client_secret_override: '' } } };
        await open('oidc-own', { session: { integrations_config_defaults: defaults } });
        const { id, secret } = world.oidc.client;
        await ui.fill({ oauth_client_id_override: id, oauth_client_secret_override: secret });
        await answerProvider(await ui.submitToPopup());
        await ui.screen('success');
        const { payload } = await ui.event('connect');
        const { credentials } = await world.sdk.getConnection('oidc-own', payload.connectionId);
        assert.deepEqual(credentials.config_override, { client_id: id, client_secret: secret });
    });

    for (const [key, answer, title, words] of [
        ['test-oauth1', press('refuse'), 'OAuth 1 provider is not connected', /user_refused/],
        ['app', press('cancel'), 'GitHub App is not connected', /The user said no to the app/]
    ]) {
        test(`${key}: who says no is told what came of it, and may try again`, async () => {
            await open(key);
            await answer(await ui.submitToPopup());
            await ui.screen('failure');
            assert.equal(await ui.title(), title);
            await ui.view.locator('summary').click();
            assert.match(await ui.text(), words);
            await ui.press('Try again');
            await ui.screen('form');
        });
    }

    test('an MCP server that is none: the failure says so, and the address is still there', async () => {
        await open('test-mcp-generic');
        const address = `${world.target.url}/nothing`;
        await ui.fill({ mcp_server_url: address });
        await ui.submitToPopup();
        await ui.screen('failure');
        await ui.view.locator('summary').click();
        assert.match(await ui.text(), /has no metadata of an authorization server/);
        await ui.press('Try again');
        await ui.screen('form');
        assert.equal(await ui.input('mcp_server_url').inputValue(), address);
    });
});
