//! The Connect UI, opened by the published SDK on another origin: one journey for each auth mode.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { answerProvider, startChromium } from './support/browser.mjs';
import { fakePopupRoute, openConnectUi } from './support/connect-ui.mjs';
import { startHostPage } from './support/host-page.mjs';
import { needs, noChromium } from './support/require.mjs';
import { oidcIntegration, plainIntegration, sessionFor, startWorld } from './support/world.mjs';

const field = (title, more = {}) => ({ type: 'string', title, description: `About ${title}`, ...more });
const entry = (auth_mode, display_name, more = {}) => ({ auth_mode, display_name, docs: 'https://docs.example.test', docs_connect: 'https://docs.example.test/connect', ...more });

/** Providers of this file. None of them is ever called. */
const providers = {
    'ui-key': entry('API_KEY', 'Desk', {
        connection_config: {
            subdomain: field('Subdomain', { pattern: '^[a-z0-9-]+$', example: 'acme', prefix: 'https://', suffix: '.desk.test', order: 1, doc_section: '#subdomain' }),
            region: field('Region', { enum: ['us', 'eu'], order: 2 }),
            note: field('Note', { optional: true }),
            cell: field('Cell', { automated: true }),
            version: field('Version', { hidden: true, default_value: 'v2' }),
            trace: field('Trace', { hidden: true })
        },
        credentials: { apiKey: field('Access key', { pattern: '^desk_', example: 'desk_123', secret: true }) }
    }),
    'ui-basic': entry('BASIC', 'Ledger', { credentials: { username: field('Company'), password: field('Secret word', { secret: true, default_value: '' }) } }),
    'ui-cc': entry('OAUTH2_CC', 'Machine', { token_url: 'https://machine.test/token' }),
    'ui-cc-jwt': entry('OAUTH2_CC', 'Machine key', { token_url: 'https://machine.test/token', token_request_auth_method: 'private_key_jwt' }),
    'ui-cc-mtls': entry('OAUTH2_CC', 'Machine certificate', { token_url: 'https://machine.test/token', require_client_certificate: true }),
    'ui-none': entry('NONE', 'Weather', { connection_config: { city: field('City') } }),
    'ui-tba': entry('TBA', 'Suite', { connection_config: { accountId: field('Account') } }),
    'ui-jwt': entry('JWT', 'Signed', { credentials: { privateKey: field('Private key', { secret: true, example: '-----BEGIN PRIVATE KEY-----' }), issuer: field('Issuer', { format: 'uuid' }) } }),
    'ui-two-step': entry('TWO_STEP', 'Stairs', {
        token_url: 'https://stairs.test/token',
        credentials: { login: field('Login', { format: 'email' }) },
        integration_config: { scope: field('Kind of scope', { optional: true, enum: ['all', 'some'] }), only: field('Which', { optional: true, visible_when: { field: 'scope', equals: 'some' } }) },
        assertion_option: { subject: field('Subject') }
    }),
    'ui-signature': entry('SIGNATURE', 'Seal'),
    'ui-bill': entry('BILL', 'Billing'),
    'ui-aws': entry('AWS_SIGV4', 'Cloud', { credentials: { region: field('Region', { optional: true }) } }),
    'ui-oauth1': entry('OAUTH1', 'Old', { request_url: 'https://old.test/r', authorization_url: 'https://old.test/a', token_url: 'https://old.test/t' }),
    'ui-app': entry('APP', 'Code host', { authorization_url: 'https://code.test' }),
    'ui-custom': entry('CUSTOM', 'Code host with sign-in', { authorization_url: 'https://code.test' }),
    'ui-mcp': entry('MCP_OAUTH2', 'Model tools', { authorization_url: 'https://mcp.test/a', token_url: 'https://mcp.test/t' }),
    'ui-mcp-generic': entry('MCP_OAUTH2_GENERIC', 'Any tools', { connection_config: { mcp_server_url: field('Server', { format: 'uri' }) } }),
    'ui-plugin': entry('INSTALL_PLUGIN', 'Plugin'),
    'ui-outbound': entry('OAUTH2', 'Market', { installation: 'outbound', authorization_url: 'https://market.test/a', token_url: 'https://market.test/t' })
};

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs1', format: 'pem' }, publicKeyEncoding: { type: 'pkcs1', format: 'pem' } });
const app = { app_id: '1', app_link: 'https://code.test/apps/x', private_key: privateKey };
const client = { client_id: 'id', client_secret: 'secret' };

/** What the operator must give for some of them. */
const clients = {
    'ui-oauth1': { type: 'OAUTH1', ...client },
    'ui-outbound': { type: 'OAUTH2', ...client },
    'ui-app': { type: 'APP', ...app },
    'ui-custom': { type: 'CUSTOM', ...app, ...client }
};

const pem = '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----';

/**
 * Forms whose requests are answered by the test: their routes are not on the main branch yet, or would call a provider.
 * When `/auth/*` routes are merged, journeys against a fake provider can take the place of these.
 */
const intercepted = [
    {
        provider: 'ui-key',
        fill: { subdomain: ' https://acme.desk.test/home ', region: 'eu', apiKey: 'desk_abc' },
        path: '/api-auth/api-key/ui-key',
        body: { apiKey: 'desk_abc' },
        params: { subdomain: 'acme', region: 'eu', version: 'v2' }
    },
    { provider: 'ui-basic', fill: { username: 'acme' }, path: '/api-auth/basic/ui-basic', body: { username: 'acme', password: '' } },
    { provider: 'ui-cc', fill: { client_id: 'id', client_secret: 'secret' }, path: '/oauth2/auth/ui-cc', body: { client_id: 'id', client_secret: 'secret' } },
    { provider: 'ui-cc-jwt', fill: { client_id: 'id', client_private_key: '{"kid":"1"}' }, path: '/oauth2/auth/ui-cc-jwt', body: { client_id: 'id', client_private_key: '{"kid":"1"}' } },
    {
        provider: 'ui-cc-mtls',
        fill: { client_id: 'id', client_secret: 's', client_certificate: pem, client_private_key: pem },
        path: '/oauth2/auth/ui-cc-mtls',
        body: { client_id: 'id', client_secret: 's', client_certificate: pem, client_private_key: pem }
    },
    { provider: 'ui-none', fill: { city: 'Bern' }, path: '/auth/unauthenticated/ui-none', body: null, params: { city: 'Bern' } },
    {
        provider: 'ui-tba',
        fill: { accountId: '1234', oauth_client_id_override: 'ck', oauth_client_secret_override: 'cs', token_id: 'ti', token_secret: 'ts' },
        path: '/auth/tba/ui-tba',
        body: { token_id: 'ti', token_secret: 'ts', oauth_client_id_override: 'ck', oauth_client_secret_override: 'cs' },
        params: { accountId: '1234' }
    },
    {
        provider: 'ui-jwt',
        fill: { privateKey: pem, issuer: '123e4567-e89b-42d3-a456-426614174000' },
        path: '/auth/jwt/ui-jwt',
        body: { privateKey: pem, issuer: '123e4567-e89b-42d3-a456-426614174000', type: 'JWT' }
    },
    {
        provider: 'ui-two-step',
        fill: { login: 'ada@example.test', scope: 'some', only: 'those', subject: 'me' },
        path: '/auth/two-step/ui-two-step',
        body: { login: 'ada@example.test', scope: 'some', only: 'those', type: 'TWO_STEP', assertionOption: { subject: 'me' } }
    },
    { provider: 'ui-signature', fill: { username: 'u', password: 'p' }, path: '/auth/signature/ui-signature', body: { username: 'u', password: 'p', type: 'SIGNATURE' } },
    {
        provider: 'ui-bill',
        fill: { username: 'u', password: 'p', organization_id: 'o', dev_key: 'd' },
        path: '/auth/bill/ui-bill',
        body: { username: 'u', password: 'p', organization_id: 'o', dev_key: 'd' }
    },
    { provider: 'ui-outbound', fill: {}, path: '/auth/oauth-outbound/ui-outbound', body: null, isPending: true }
];

/** Modes with a window, whose server halves are faked the same way. */
const popups = [
    { provider: 'ui-oauth1' },
    { provider: 'ui-app' },
    { provider: 'ui-custom', isPending: true },
    { provider: 'ui-mcp' },
    { provider: 'ui-mcp-generic', fill: { mcp_server_url: 'https://tools.example.test/mcp' }, params: { mcp_server_url: 'https://tools.example.test/mcp' } },
    { provider: 'ui-plugin' }
];

let world;
let browser;
let hostPage;
let ui;

describe('the forms of the Connect UI', needs(noChromium), () => {
    before(async () => {
        world = await startWorld({ oidc: {}, tokens: true, providers });
        hostPage = world.keep(await startHostPage());
        browser = world.keep(await startChromium());
        await oidcIntegration(world, 'oidc');
        for (const provider of Object.keys(providers)) {
            await world.sdk.createIntegration({ provider, unique_key: provider, credentials: clients[provider] });
        }
    });
    after(() => world?.close());
    afterEach(async () => {
        await ui?.close();
        ui = null;
    });

    const open = async (key, { session = {}, ...more } = {}) => {
        ui = await openConnectUi(world, browser, hostPage, { token: await sessionFor(world, key, session), ...more });
        return ui;
    };

    test('OAUTH2: the window, the consent, a connection that works, and the page closes', async () => {
        await open('oidc');
        await ui.screen('form');
        assert.equal(await ui.title(), 'Connect Real OAuth server');
        const popup = await ui.submitToPopup();
        await ui.screen('waiting');
        await ui.picture('waiting');
        await answerProvider(popup);
        await ui.screen('success');
        const { payload } = await ui.event('connect');
        assert.equal(payload.providerConfigKey, 'oidc');
        assert.equal(payload.isPending, false);
        assert.ok(await world.oidc.accepts(await world.sdk.getToken('oidc', payload.connectionId)));
        await ui.press('Done');
        await ui.event('close');
        await ui.page.waitForSelector('#connect-ui', { state: 'detached' });
        const types = (await ui.events()).map((event) => event.type);
        assert.deepEqual(types, ['ready', 'connect', 'close']);
    });

    test('API_KEY: refused with the words of the server, typed values kept, accepted the second time', async () => {
        world.target.apiKeys.add('the-right-key');
        const key = await plainIntegration(world, 'test-key-verified');
        await open(key);
        await ui.screen('form');
        await ui.fill({ apiKey: 'the-wrong-key' });
        await ui.submit();
        await ui.view.locator('.notice').waitFor();
        assert.match(await ui.text(), /did not accept these details/);
        assert.equal(await ui.input('apiKey').inputValue(), 'the-wrong-key');
        assert.equal((await ui.event('error')).payload.errorType, 'connection_test_failed');
        await ui.picture('refused');
        await ui.fill({ apiKey: 'the-right-key' });
        await ui.submit();
        await ui.screen('success');
        const { payload } = await ui.event('connect');
        assert.equal((await world.sdk.getToken(key, payload.connectionId)).apiKey, 'the-right-key');
        assert.equal(await ui.view.locator('input').count(), 0, 'nothing typed stays in the page');
    });

    test('BASIC, OAUTH2_CC and NONE: stored by the server', async () => {
        world.target.logins.set('ada', 'the-right-password');
        const { id, secret } = world.tokens.client;
        for (const [provider, values] of [
            ['test-basic', { username: 'ada', password: 'the-right-password' }],
            ['test-client-credentials', { client_id: id, client_secret: secret }],
            ['test-open', {}]
        ]) {
            await open(await plainIntegration(world, provider));
            await ui.screen('form');
            await ui.fill(values);
            await ui.submit();
            await ui.screen('success');
            const { payload } = await ui.event('connect');
            await world.sdk.getConnection(provider, payload.connectionId);
            await ui.close();
        }
        ui = null;
    });

    test('reconnecting keeps the connection', async () => {
        const { data } = await world.sdk.createConnectSession({ end_user: { id: 'user-1' }, allowed_integrations: ['test-key'] }).catch(() => ({}));
        assert.equal(data, undefined, 'an integration that does not exist yet');
        const key = await plainIntegration(world, 'test-key');
        await open(key);
        await ui.screen('form');
        await ui.fill({ apiKey: 'first' });
        await ui.submit();
        await ui.screen('success');
        const { payload } = await ui.event('connect');
        await ui.close();
        const again = await world.sdk.createReconnectSession({ connection_id: payload.connectionId, integration_id: key });
        ui = await openConnectUi(world, browser, hostPage, { token: again.data.token });
        await ui.screen('form');
        assert.equal(await ui.title(), 'Reconnect API key');
        await ui.fill({ apiKey: 'second' });
        await ui.submit();
        await ui.screen('success');
        assert.equal((await ui.event('connect')).payload.connectionId, payload.connectionId);
        assert.equal((await world.sdk.getToken(key, payload.connectionId)).apiKey, 'second');
    });

    for (const form of intercepted) {
        test(`${providers[form.provider].auth_mode}: the form of ${form.provider} sends what the SDK would`, async () => {
            let asked;
            const prepare = (context) =>
                context.route(`**${form.path}?**`, (route) => {
                    asked = route.request();
                    return route.fulfill({ status: 200, headers: { 'access-control-allow-origin': '*' }, json: { connectionId: 'c-1', providerConfigKey: form.provider } });
                });
            await open(form.provider, { prepare });
            await ui.screen('form');
            await ui.fill(form.fill);
            await ui.picture(`form-${form.provider.slice(3)}`);
            await ui.assertAccessible(form.provider);
            await ui.submit();
            await ui.screen('success');
            const url = new URL(asked.url());
            assert.deepEqual(asked.postDataJSON(), form.body);
            assert.deepEqual(paramsOf(url), form.params ?? {});
            assert.match(url.searchParams.get('connect_session_token'), /^nango_connect_session_/);
            assert.deepEqual((await ui.event('connect')).payload, { providerConfigKey: form.provider, connectionId: 'c-1', isPending: form.isPending ?? false });
        });
    }

    test('AWS_SIGV4: the external id is shown first, can be copied, and is what is sent', async () => {
        let asked;
        const prepare = (context) =>
            context.route('**/auth/aws-sigv4/**', (route) => {
                asked = route.request();
                return route.fulfill({ status: 200, json: { connectionId: 'c-1', providerConfigKey: 'ui-aws' } });
            });
        await open('ui-aws', { prepare });
        await ui.screen('form');
        const first = ui.view.locator('.field').first();
        const external = await first.locator('input').inputValue();
        assert.match(external, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        assert.equal(await first.locator('input').getAttribute('readonly'), '');
        await first.getByRole('button').click();
        await ui.view.getByText('Copied').waitFor({ state: 'attached' });
        await ui.fill({ role_arn: 'arn:aws:iam::123:role/x' });
        await ui.picture('form-aws');
        await ui.submit();
        await ui.screen('success');
        assert.deepEqual(asked.postDataJSON(), { role_arn: 'arn:aws:iam::123:role/x' });
        assert.deepEqual(paramsOf(new URL(asked.url())), { external_id: external });
    });

    for (const { provider, fill = {}, params = {}, isPending = false } of popups) {
        test(`${providers[provider].auth_mode}: the window of ${provider}`, async () => {
            let seen;
            const frame = () => ({ message_type: 'success', provider_config_key: provider, connection_id: 'c-2', is_pending: isPending });
            await open(provider, { prepare: async (context) => (seen = await fakePopupRoute(context, frame)) });
            await ui.screen('form');
            await ui.fill(fill);
            await ui.submitToPopup();
            await ui.screen('success');
            assert.equal(await ui.title(), isPending ? 'Approval requested' : `${providers[provider].display_name} is connected`);
            assert.deepEqual(paramsOf(seen.url), params);
            assert.equal(seen.url.searchParams.get('ws_client_id'), '6f7d2d6e-9a0e-4a53-9d35-0a2d0f0e3f0b');
            assert.deepEqual((await ui.event('connect')).payload, { providerConfigKey: provider, connectionId: 'c-2', isPending });
        });
    }

    test('an end user may bring an OAuth client where the session asks for one', async () => {
        const defaults = { oidc: { connection_config: { oauth_client_id_override: '', oauth_client_secret_override: '' } } };
        let seen;
        const frame = () => ({ message_type: 'success', provider_config_key: 'oidc', connection_id: 'c-3', is_pending: false });
        await open('oidc', { session: { integrations_config_defaults: defaults }, prepare: async (context) => (seen = await fakePopupRoute(context, frame)) });
        await ui.screen('form');
        await ui.fill({ oauth_client_id_override: 'mine', oauth_client_secret_override: 'my-secret' });
        await ui.submitToPopup();
        await ui.screen('success');
        assert.equal(seen.url.searchParams.get('credentials[oauth_client_id_override]'), 'mine');
        assert.equal(seen.url.searchParams.get('credentials[oauth_client_secret_override]'), 'my-secret');
    });

    test("values are judged with the field's own words, and the first wrong one gets the focus", async () => {
        await open('ui-key');
        await ui.screen('form');
        assert.deepEqual(await ui.view.locator('label').allInnerTexts(), ['Subdomain', 'Region', 'Access key', 'Note\nOptional'].map((text) => text.replace('\n', '')));
        await ui.fill({ subdomain: 'Not Good', apiKey: 'wrong' });
        await ui.submit();
        assert.match(await ui.text(), /Subdomain does not have the expected form. Example: acme/);
        assert.match(await ui.text(), /Access key does not have the expected form. Example: desk_123/);
        assert.equal(await ui.input('subdomain').evaluate((element) => element === document.activeElement), true);
        await ui.assertAccessible('a form with errors');
        await ui.picture('form-errors');
        await ui.fill({ subdomain: 'good' });
        assert.doesNotMatch(await ui.text(), /Subdomain does not/);
    });

    test('what the session presets is not asked for, and what it presets wrongly is said', async () => {
        const config = (subdomain) => ({ 'ui-key': { connection_config: { subdomain } } });
        await open('ui-key', { session: { integrations_config_defaults: config('acme') } });
        await ui.screen('form');
        assert.equal(await ui.input('subdomain').count(), 0);
        await ui.close();
        await open('ui-key', { session: { integrations_config_defaults: config('Not Good') } });
        await ui.screen('form');
        assert.match(await ui.text(), /set up with values that Desk does not accept/);
        assert.equal(await ui.view.locator('.foot .button.primary').isDisabled(), true);
    });

    test('a secret is hidden until it is asked for', async () => {
        await open('ui-key');
        await ui.screen('form');
        await ui.fill({ apiKey: 'desk_secret' });
        assert.equal(await ui.input('apiKey').getAttribute('type'), 'password');
        await ui.press('Show: Access key');
        assert.equal(await ui.input('apiKey').getAttribute('type'), 'text');
    });

    test('help leads to the guide of the provider, or to the one the session names', async () => {
        await open('ui-key');
        await ui.screen('form');
        const help = ui.view.locator('[data-field="subdomain"] .help');
        assert.equal(await help.getAttribute('href'), 'https://docs.example.test/connect#subdomain');
        assert.equal(await help.getAttribute('rel'), 'noopener noreferrer');
        await ui.close();
        await open('ui-key', { session: { overrides: { 'ui-key': { docs_connect: 'https://help.acme.test/desk' } } } });
        await ui.screen('form');
        assert.equal(await ui.view.locator('[data-field="subdomain"] .help').getAttribute('href'), 'https://help.acme.test/desk');
        assert.equal(await ui.view.locator('.guide a').getAttribute('href'), 'https://help.acme.test/desk');
    });
});

function paramsOf(url) {
    const pairs = [...url.searchParams].map(([name, value]) => [/^params\[(.*)\]$/.exec(name)?.[1], value]);
    return Object.fromEntries(pairs.filter(([name]) => name));
}
