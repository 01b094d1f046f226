//! The Connect UI, opened by the published SDK on another origin: the form of each auth mode, sent to the real routes, with
//! providers that check what they are given. Windows are in `connect-ui-windows.test.mjs`.

import assert from 'node:assert/strict';
import { startChromium } from './support/browser.mjs';
import { formEntries } from './support/connect-ui-catalog.mjs';
import { openConnectUi } from './support/connect-ui.mjs';
import { startHostPage } from './support/host-page.mjs';
import { certificate } from './support/mode-provider.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';
import { plainIntegration, sessionFor, startWorld } from './support/world.mjs';

/**
 * What people fill in, what is stored of it, and the call that then works; `session` is what the form sent besides.
 * Functions of the world, because its secrets are made when it starts.
 */
const journeys = {
    'ui-key': () => ({
        // The address as it was copied: the form cuts what it shows itself.
        fill: { subdomain: ' https://acme.desk.test/home ', region: 'eu', apiKey: 'desk_abc' },
        credentials: { type: 'API_KEY', apiKey: 'desk_abc' },
        config: { subdomain: 'acme', region: 'eu', version: 'v2' },
        call: '/echo',
        sees: { 'x-api-key': 'desk_abc', 'x-site': 'acme eu v2' }
    }),
    'ui-basic': () => ({ fill: { username: 'acme' }, credentials: { type: 'BASIC', username: 'acme', password: '' }, call: '/basic-check' }),
    'ui-cc': ({ tokens: { client } }) => {
        const fill = { client_id: client.id, client_secret: client.secret };
        return { fill, credentials: { type: 'OAUTH2_CC', ...fill }, call: '/me' };
    },
    'ui-cc-jwt': ({ modes }) => {
        const fill = { client_id: 'machine', client_private_key: modes.jwk };
        return { fill, credentials: { type: 'OAUTH2_CC', ...fill }, call: '/me' };
    },
    'ui-cc-mtls': ({ modes }) => {
        const { username, password } = modes.login;
        const fill = { client_id: username, client_secret: password, client_certificate: certificate('client.pem'), client_private_key: certificate('client.key') };
        return { fill, credentials: { type: 'OAUTH2_CC', ...fill }, call: '/me' };
    },
    'ui-none': () => ({ fill: { city: 'Bern' }, credentials: {}, config: { city: 'Bern' }, call: '/echo', sees: { 'x-city': 'Bern' } }),
    'test-tba': ({ oauth1 }) => {
        const { token, secret } = oauth1.issue();
        const client = { oauth_client_id_override: oauth1.client.id, oauth_client_secret_override: oauth1.client.secret };
        return {
            fill: { accountId: '1234', ...client, token_id: token, token_secret: secret },
            credentials: { type: 'TBA', token_id: token, token_secret: secret, config_override: { client_id: oauth1.client.id, client_secret: oauth1.client.secret } },
            config: { accountId: '1234' },
            call: '/api/things'
        };
    },
    'ui-jwt': ({ modes }) => {
        const fill = { privateKey: modes.pem, issuer: modes.issuer };
        return { fill, credentials: { type: 'JWT', ...fill }, call: '/me' };
    },
    'ui-two-step': () => {
        const credentials = { login: 'ada@example.test', scope: 'some', only: 'those' };
        return { fill: { ...credentials, subject: 'me' }, credentials: { type: 'TWO_STEP', ...credentials }, call: '/me' };
    },
    'ui-signature': ({ modes }) => ({ fill: modes.login, credentials: { type: 'SIGNATURE', ...modes.login }, call: '/me' }),
    'ui-bill': ({ modes }) => {
        const fill = { ...modes.login, organization_id: 'o-1', dev_key: 'dev-1' };
        return { fill, credentials: { type: 'BILL', ...fill }, call: '/me' };
    },
    // Nothing can be called before the provider's webhook brings the code.
    'ui-outbound': () => ({ fill: {}, credentials: { type: 'OAUTH2' }, config: { pending: true }, isPending: true, title: 'One more step in Market' })
};

let world;
let browser;
let hostPage;
let ui;

describe('the forms of the Connect UI', needs(noChromium), () => {
    before(async () => {
        world = await startWorld({ tokens: true, oauth1: true, aws: true, modes: true, providers: formEntries });
        hostPage = world.keep(await startHostPage());
        browser = world.keep(await startChromium());
        world.target.apiKeys.add('desk_abc');
        world.target.logins.set('acme', '');
        const given = {
            'ui-aws': { custom: world.aws.custom },
            'ui-outbound': { credentials: { type: 'OAUTH2', client_id: 'id', client_secret: 'secret' } }
        };
        for (const key of [...Object.keys(journeys), 'ui-aws']) {
            await world.sdk.createIntegration({ provider: key, unique_key: key, ...given[key] });
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

    for (const [key, journey] of Object.entries(journeys)) {
        test(`${key}: what is filled in becomes a connection that works`, async () => {
            const { fill, credentials, config = {}, call, sees = {}, isPending = false, title } = journey(world);
            await open(key);
            await ui.screen('form');
            await ui.fill(fill);
            await ui.picture(`form-${key.replace(/^\w+-/, '')}`);
            await ui.assertAccessible(key);
            await ui.submit();
            await ui.screen('success');
            if (title) assert.equal(await ui.title(), title);
            assert.equal(await ui.view.locator('input, textarea').count(), 0, 'nothing typed stays in the page');
            const { payload } = await ui.event('connect');
            assert.deepEqual([payload.providerConfigKey, payload.isPending], [key, isPending]);
            const stored = await world.sdk.getConnection(key, payload.connectionId);
            assert.deepEqual(pick(stored.credentials, credentials), credentials);
            assert.deepEqual(pick(stored.connection_config, config), config);
            assert.equal(stored.end_user.id, 'user-1');
            if (!call) return;
            const answer = await world.sdk.get({ providerConfigKey: key, connectionId: payload.connectionId, endpoint: call });
            assert.equal(answer.status, 200);
            assert.deepEqual(pick(answer.data.headers, sees), sees);
        });
    }

    test('AWS_SIGV4: the external id is shown first, can be copied, and is what the role is assumed with', async () => {
        await open('ui-aws');
        await ui.screen('form');
        const first = ui.view.locator('.field').first();
        const external = await first.locator('input').inputValue();
        assert.match(external, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        assert.equal(await first.locator('input').getAttribute('readonly'), '');
        await first.getByRole('button').click();
        await ui.view.getByText('Copied').waitFor({ state: 'attached' });
        await ui.fill({ role_arn: 'arn:aws:iam::123456789012:role/other' });
        await ui.submit();
        await ui.view.locator('.notice').waitFor();
        assert.match(await ui.text(), /Cloud did not accept these details/);
        assert.equal(await ui.view.locator('.field').first().locator('input').inputValue(), external, 'the role may already trust it');
        await ui.fill({ role_arn: world.aws.role });
        await ui.picture('form-aws');
        await ui.submit();
        await ui.screen('success');
        assert.deepEqual(world.aws.assumed.map((params) => params.ExternalId), [external, external]);
        const { payload } = await ui.event('connect');
        const answer = await world.sdk.get({ providerConfigKey: 'ui-aws', connectionId: payload.connectionId, endpoint: '/api/things' });
        assert.deepEqual(answer.data, { welcome: true });
    });

    test('refused: the words of the provider, typed values kept, accepted the second time', async () => {
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
    });

    for (const [key, wrong, words] of [
        ['ui-cc', { client_secret: 'nothing-right' }, /wrong secret/],
        ['ui-cc-jwt', { client_private_key: '{"kid":"1"}' }, /key/],
        ['ui-cc-mtls', { client_certificate: 'no certificate' }, /certificate/i],
        ['test-tba', { token_secret: 'nothing-right' }, /wrong signature/],
        ['ui-jwt', { privateKey: '-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----' }, /key/i],
        ['ui-two-step', { only: 'none' }, /Who are you/],
        ['ui-signature', { password: 'nothing-right' }, /Who are you/],
        ['ui-bill', { password: 'nothing-right' }, /Who are you/]
    ]) {
        test(`${key}: a mistake is told on the form, which keeps everything`, async () => {
            const { fill } = journeys[key](world);
            await open(key);
            await ui.screen('form');
            await ui.fill({ ...fill, ...wrong });
            await ui.submit();
            await ui.view.locator('.notice').waitFor();
            assert.match(await ui.view.locator('.notice').innerText(), /did not accept these details/);
            assert.match(await ui.view.locator('.notice').innerText(), words);
            for (const [name, value] of Object.entries({ ...fill, ...wrong })) assert.equal(await ui.input(name).inputValue(), value, name);
            await ui.fill(fill);
            await ui.submit();
            await ui.screen('success');
        });
    }
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

/** The members of `values` that `expected` has. */
function pick(values, expected) {
    return Object.fromEntries(Object.keys(expected).map((name) => [name, values?.[name]]));
}
