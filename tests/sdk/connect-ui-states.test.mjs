//! The Connect UI when things go another way: sessions that cannot be used, windows that are blocked, closed or refused, messages
//! from strangers, other addresses, and people who leave.

import assert from 'node:assert/strict';
import { answerProvider, startChromium } from './support/browser.mjs';
import { openConnectUi, openLink } from './support/connect-ui.mjs';
import { startHostPage } from './support/host-page.mjs';
import { freePort } from './support/http.mjs';
import { startPrefixProxy } from './support/prefix-proxy.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';
import { oidcIntegration, plainIntegration, sessionFor, startWorld } from './support/world.mjs';

const wellFormed = `nango_connect_session_${'0'.repeat(64)}`;

let world;
let browser;
let hostPage;
let ui;
let ownPort;

describe('the Connect UI in every state', needs(noChromium), () => {
    before(async () => {
        ownPort = await freePort();
        world = await startWorld({ oidc: {}, env: { NANGO_CONNECT_UI_PORT: String(ownPort) } });
        hostPage = world.keep(await startHostPage());
        browser = world.keep(await startChromium());
        await oidcIntegration(world, 'oidc');
        await plainIntegration(world, 'test-key-verified');
        await plainIntegration(world, 'test-key');
        world.target.apiKeys.add('the-right-key');
    });
    after(() => world?.close());
    afterEach(async () => {
        await ui?.close();
        ui = null;
    });

    const open = async (options = {}) => (ui = await openConnectUi(world, browser, hostPage, options));
    const openFor = async (key, options = {}) => open({ token: await sessionFor(world, key), ...options });
    const answer401 = (error) => (context) => context.route('**/connect/session', (route) => route.fulfill({ status: 401, headers: { 'access-control-allow-origin': '*' }, json: { error } }));

    describe('a session that cannot be used', () => {
        for (const [name, token, prepare, title] of [
            ['unknown', wellFormed, null, 'This link does not work here'],
            ['malformed', 'nango_connect_session_short', null, 'This link is not complete'],
            ['expired', wellFormed, answer401({ code: 'unknown_connect_session_token', message: 'expired', reason: 'expired' }), 'This link has expired'],
            ['server', wellFormed, (context) => context.route('**/connect/session', (route) => route.fulfill({ status: 500, json: { error: { code: 'server_error' } } })), 'Something went wrong'],
            ['busy', wellFormed, (context) => context.route('**/connect/session', (route) => route.fulfill({ status: 429, json: { error: { code: 'too_many_request' } } })), 'Too many attempts']
        ]) {
            test(`${name}: says what happened and what to do`, async () => {
                await open({ token, prepare });
                await ui.screen(name);
                assert.equal(await ui.title(), title);
                await ui.assertAccessible(name);
                await ui.picture(`session-${name}`);
                await ui.leave(() => ui.view.locator('.foot .button', { hasText: 'Close' }).click());
            });
        }

        test('unreachable: can be tried again', async () => {
            let isDown = true;
            const prepare = (context) => context.route('**/connect/session', (route) => (isDown ? route.abort() : route.continue()));
            await openFor('test-key', { prepare });
            await ui.screen('offline');
            await ui.picture('session-offline');
            isDown = false;
            await ui.press('Try again');
            await ui.screen('form');
        });

        test('missing: a page of its own says so at once, a frame waits for its session', async () => {
            ui = await openLink(browser, `${world.server.url}/connect-ui/`);
            await ui.screen('missing');
            await ui.picture('session-missing');
            await ui.close();
            await open();
            await until('the page to be ready', async () => (await ui.events()).some((event) => event.type === 'ready'));
            const token = await sessionFor(world, 'test-key');
            await ui.page.evaluate((value) => window.connectUI.setSessionToken(value), token);
            await ui.screen('form');
        });

        test('missing: a frame without a session says so after ten seconds', async () => {
            await open();
            await ui.screen('missing');
        });

        test('no integrations: says that there are none', async () => {
            await openFor('test-key', { prepare: (context) => context.route('**/integrations', (route) => route.fulfill({ json: { data: [] } })) });
            await ui.screen('empty');
            await ui.assertAccessible('empty');
            await ui.picture('empty');
        });

        test('used: a link that has done its work says so, and lets people connect once more', async () => {
            // Somebody who has connected nothing else in these tests.
            const { data } = await world.sdk.createConnectSession({ end_user: { id: 'user-of-links' }, allowed_integrations: ['test-key'] });
            const link = data.connect_link;
            ui = await openLink(browser, link);
            await ui.screen('form');
            await ui.fill({ apiKey: 'any' });
            await ui.submit();
            await ui.screen('success');
            assert.match(await ui.text(), /You can close this tab now/);
            assert.equal(await ui.view.locator('button').count(), 0, 'a tab cannot close itself');
            await ui.picture('link-success');
            await ui.page.reload();
            await ui.screen('used');
            assert.equal(await ui.title(), 'API key is already connected');
            await ui.picture('session-used');
            await ui.press('Connect another account');
            await ui.screen('form');
            await ui.close();
            // Another browser, which remembers nothing: the server knows.
            ui = await openLink(browser, link);
            await ui.screen('used');
            assert.equal(await ui.title(), 'API key is already connected');
            await ui.press('Connect another account');
            await ui.screen('form');
            await ui.fill({ apiKey: 'any' });
            await ui.submit();
            await ui.screen('success');
            // A backend may delete a session once it is used: then only the browser knows.
            const token = new URL(link).searchParams.get('session_token');
            await fetch(`${world.server.url}/connect/session`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } });
            await ui.page.reload();
            await ui.screen('used');
        });
    });

    describe('a session that ends while its form is open', () => {
        for (const [key, fill] of [['test-key', { apiKey: 'any' }], ['oidc', {}]]) {
            test(`${key}: says so when the form is sent`, async () => {
                const token = await sessionFor(world, key);
                await open({ token });
                await ui.screen('form');
                await ui.fill(fill);
                await fetch(`${world.server.url}/connect/session`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } });
                await ui.submit();
                await ui.screen('unknown');
                assert.equal(await ui.title(), 'This link does not work here');
                await ui.event('error');
                await ui.leave(() => ui.view.locator('.foot .button', { hasText: 'Close' }).click());
            });
        }
    });

    describe('the window of the provider', () => {
        test('blocked: says how to allow it, and works the next time', async () => {
            const prepare = (context) =>
                context.addInitScript(() => {
                    const open = window.open;
                    let isFirst = true;
                    window.open = (...args) => {
                        if (!isFirst) return open.apply(window, args);
                        isFirst = false;
                        return null;
                    };
                });
            await openFor('oidc', { prepare });
            await ui.screen('form');
            await ui.submit();
            await ui.view.locator('.notice').waitFor();
            assert.match(await ui.text(), /Your browser blocked the window/);
            assert.equal((await ui.event('error')).payload.errorType, 'blocked_by_browser');
            await ui.assertAccessible('a blocked window');
            await ui.picture('blocked');
            await ui.submitToPopup();
            await ui.screen('waiting');
        });

        test('closed: the page says so when the SDK asked to detect it', async () => {
            await openFor('oidc', { options: { detectClosedAuthWindow: true } });
            await ui.screen('form');
            const popup = await ui.submitToPopup();
            await popup.waitForURL(/\/interaction\//);
            await popup.close();
            await ui.view.locator('.notice').waitFor();
            assert.match(await ui.text(), /The window was closed/);
            assert.equal((await ui.event('error')).payload.errorType, 'window_closed');
            await ui.picture('closed');
        });

        test('closed: else the page only remarks it, because some providers hide their window', async () => {
            await openFor('oidc');
            await ui.screen('form');
            const popup = await ui.submitToPopup();
            await popup.waitForURL(/\/interaction\//);
            await popup.close();
            await ui.view.getByText('The window seems to be closed').waitFor();
            assert.deepEqual((await ui.events()).map((event) => event.type), ['ready']);
            const [again] = await Promise.all([ui.context.waitForEvent('page'), ui.press('Open it again')]);
            await answerProvider(again);
            await ui.screen('success');
        });

        test('cancelled: back to the form', async () => {
            await openFor('oidc');
            await ui.screen('form');
            const popup = await ui.submitToPopup();
            await popup.waitForURL(/\/interaction\//);
            await ui.assertAccessible('waiting');
            await ui.press('Cancel');
            await ui.screen('form');
            await until('the window to close', () => popup.isClosed());
        });

        test("refused: the provider's words, and another try", async () => {
            await openFor('oidc');
            await ui.screen('form');
            await answerProvider(await ui.submitToPopup(), 'refuse');
            await ui.screen('failure');
            assert.match(await ui.text(), /Access was not granted/);
            await ui.view.locator('summary').click();
            assert.match(await ui.text(), /The user said no to these tests/);
            await ui.assertAccessible('refused');
            await ui.picture('denied');
            const { payload } = await ui.event('error');
            assert.equal(payload.errorType, 'callback_err');
            await ui.press('Try again');
            await ui.screen('form');
            await answerProvider(await ui.submitToPopup());
            await ui.screen('success');
        });

        test('a secret that the provider refuses: its own words', async () => {
            await oidcIntegration(world, 'oidc-bad', { client_secret: 'not-the-secret' });
            await openFor('oidc-bad');
            await ui.screen('form');
            await answerProvider(await ui.submitToPopup());
            await ui.screen('failure');
            await ui.view.locator('summary').click();
            assert.match(await ui.text(), /client authentication failed/);
        });

        test('a server that cannot be reached keeps what was typed', async () => {
            await openFor('test-key', { prepare: (context) => context.route('**/api-auth/**', (route) => route.abort()) });
            await ui.screen('form');
            await ui.fill({ apiKey: 'kept' });
            await ui.submit();
            await ui.view.locator('.notice').waitFor();
            assert.match(await ui.text(), /The server cannot be reached/);
            assert.equal(await ui.input('apiKey').inputValue(), 'kept');
        });
    });

    describe('addresses', () => {
        test('on a port of its own it finds the API, and the window still reports back', async () => {
            await openFor('oidc', { base: `http://127.0.0.1:${ownPort}` });
            await ui.screen('form');
            await answerProvider(await ui.submitToPopup());
            await ui.screen('success');
            assert.equal((await ui.event('connect')).payload.providerConfigKey, 'oidc');
        });

        test('an apiURL of another server is ignored, the default of the SDK included', async () => {
            const token = await sessionFor(world, 'test-key');
            await open({ token, options: { apiURL: undefined } });
            await ui.screen('form');
            await ui.close();
            ui = await openLink(browser, `${world.server.url}/connect-ui/?session_token=${wellFormed}&apiURL=https%3A%2F%2Fevil.example.test`);
            await ui.screen('unknown');
            await ui.view.locator('summary').click();
            assert.match(await ui.text(), /Ignored apiURL[^]*evil\.example\.test/);
        });

        test('below a path of a reverse proxy it works as it is', async () => {
            let inner;
            const proxy = world.keep(await startPrefixProxy('/tools/hitch', () => inner.server.url));
            inner = world.keep(await startWorld({ env: { NANGO_SERVER_URL: proxy.url } }));
            await plainIntegration(inner, 'test-key');
            const { data } = await inner.sdk.createConnectSession({ end_user: { id: 'user-1' }, allowed_integrations: ['test-key'] });
            assert.ok(data.connect_link.startsWith(`${proxy.url}/connect-ui/?session_token=`));
            ui = await openLink(browser, data.connect_link);
            await ui.screen('form');
            await ui.fill({ apiKey: 'any' });
            await ui.submit();
            await ui.screen('success');
            assert.ok(ui.seen.requests.every((url) => url.startsWith(proxy.url) || url.startsWith('data:')), ui.seen.requests.join('\n'));
        });
    });

    describe('messages', () => {
        test('a session is taken from the page around it only', async () => {
            await open();
            await until('the page to be ready', async () => (await ui.events()).some((event) => event.type === 'ready'));
            const token = await sessionFor(world, 'test-key');
            // The page to itself, and odd things from the page around it.
            await ui.frame.evaluate((value) => window.postMessage({ type: 'session_token', sessionToken: value }, '*'), token);
            await ui.page.evaluate(() => {
                const frame = document.querySelector('#connect-ui').contentWindow;
                for (const odd of ['session_token', null, 7, { type: 'session_token' }, { type: 'settings_changed', payload: { defaultTheme: 'dark' } }]) frame.postMessage(odd, '*');
            });
            await ui.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
            assert.equal(await ui.view.locator('.skeleton').count(), 1, 'still waiting');
            await ui.page.evaluate((value) => window.connectUI.setSessionToken(value), token);
            await ui.screen('form');
        });

        test('another session replaces the first', async () => {
            await openFor('test-key');
            await ui.screen('form');
            assert.equal(await ui.title(), 'Connect API key');
            await ui.page.evaluate((value) => window.connectUI.setSessionToken(value), await sessionFor(world, 'oidc'));
            await ui.view.getByRole('heading', { name: 'Connect Real OAuth server' }).waitFor();
        });

        test('settings are taken in a preview only, which sends nothing', async () => {
            const token = await sessionFor(world, 'test-key');
            await open({ base: `${world.server.url}/connect-ui/?preview=true`, token });
            await ui.screen('form');
            await ui.page.evaluate(() => {
                const payload = { defaultTheme: 'dark', theme: { light: { primary: '#ff0000' }, dark: { primary: '#ff0000' } }, showWatermark: true };
                document.querySelector('#connect-ui').contentWindow.postMessage({ type: 'settings_changed', payload }, '*');
            });
            await ui.view.getByText('Secured by Hitchpost').waitFor();
            assert.equal(await ui.frame.evaluate(() => document.documentElement.dataset.theme), 'dark');
            await ui.fill({ apiKey: 'any' });
            await ui.submit();
            await ui.page.keyboard.press('Escape');
            assert.deepEqual((await ui.events()).map((event) => event.type), ['ready']);
            assert.ok(!ui.seen.requests.some((url) => /connect\/telemetry$|api-auth/.test(url)));
        });

        test('what people do is told to this server', async () => {
            const from = world.server.log.length;
            await openFor('test-key');
            await ui.screen('form');
            await ui.fill({ apiKey: 'any' });
            await ui.submit();
            await ui.screen('success');
            await ui.leave(() => ui.press('Done'));
            const expected = ['open', 'view:integration', 'click:connect', 'view:success', 'click:finish'];
            // The body of a beacon cannot be seen from outside the browser: the server says what it heard.
            const heard = () => world.server.log.slice(from).split('\n').filter((line) => line.includes('connect_ui.event'));
            await until('all reports', () => expected.every((event) => heard().some((line) => line.includes(`"${event}"`))));
            assert.ok(heard().some((line) => line.includes('view:integration') && line.includes('test-key')));
            assert.ok(!heard().some((line) => line.includes('nango_connect_session')), 'no token in the log');
        });
    });

    describe('leaving', () => {
        test('asks first when something was typed', async () => {
            await openFor('test-key');
            await ui.screen('form');
            await ui.page.keyboard.press('Tab');
            await ui.fill({ apiKey: 'typed' });
            await ui.input('apiKey').press('Escape');
            const question = ui.view.getByRole('alertdialog');
            await question.waitFor();
            await ui.assertAccessible('the question before leaving');
            await ui.picture('leaving');
            await ui.press('Keep editing');
            assert.equal(await ui.input('apiKey').evaluate((element) => element === document.activeElement), true);
            await ui.press('Close');
            await ui.leave(() => ui.press('Leave'));
        });

        test('is a click outside away when nothing was typed', async () => {
            await openFor('test-key');
            await ui.screen('form');
            await ui.leave(() => ui.page.mouse.click(5, 300));
            await ui.page.waitForSelector('#connect-ui', { state: 'detached' });
        });

        test('happens by itself after success', async () => {
            await openFor('test-key');
            await ui.screen('form');
            await ui.fill({ apiKey: 'any' });
            await ui.submit();
            await ui.screen('success');
            await ui.event('close');
        });
    });
});
