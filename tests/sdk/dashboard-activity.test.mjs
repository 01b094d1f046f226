//! The dashboard's pages about what happened (logs, webhooks) and the settings of an environment, in a real browser.

import assert from 'node:assert/strict';
import { startChromium } from './support/browser.mjs';
import { openDashboard } from './support/dashboard.mjs';
import { startHitchpost } from './support/hitchpost.mjs';
import { startReceiver } from './support/receiver.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';

const hostile = `<img src=x onerror="document.title='owned'">`;
const catalog = {
    acme: { display_name: 'Acme', docs: 'https://docs.example.com', auth_mode: 'API_KEY', proxy: { base_url: 'http://127.0.0.1:9' } }
};

describe('what happened, and the settings', needs(noChromium), () => {
    let browser;
    let server;
    let receiver;
    let visitor;

    const call = async (method, path, body, headers = {}) => {
        const response = await fetch(server.url + path, {
            method,
            headers: { authorization: `Bearer ${server.secretKey}`, 'content-type': 'application/json', ...headers },
            body: body && JSON.stringify(body)
        });
        return { status: response.status, text: await response.text() };
    };
    const connect = async (connectionId) => {
        const made = await call('POST', '/connections', {
            provider_config_key: 'acme',
            connection_id: connectionId,
            tags: { note: hostile },
            credentials: { type: 'API_KEY', apiKey: 'a-key' }
        });
        assert.equal(made.status, 201, made.text);
    };
    const open = async (options) => (visitor = await openDashboard(browser, server, options));

    before(async () => {
        browser = await startChromium();
        receiver = await startReceiver();
        // Signatures are another test's matter; the receiver wants some key.
        receiver.checkWith('any-key');
        server = await startHitchpost({ catalog, env: { FLAG_AUTH_ENABLED: 'false', HITCHPOST_OPEN_DASHBOARD: 'true' } });
        const made = await call('POST', '/integrations', { provider: 'acme', unique_key: 'acme' });
        assert.equal(made.status, 200, made.text);
    });
    after(async () => {
        await browser?.close();
        await receiver?.close();
        await server?.stop();
    });
    afterEach(async () => {
        const leaving = visitor;
        visitor = null;
        await leaving?.close();
    });

    test('without scripts: settings are saved, and secrets shown once', async () => {
        const dashboard = await open({ javaScriptEnabled: false });
        await dashboard.go('/env/dev/settings');
        await dashboard.submit({ primary_url: receiver.url }, 'Save webhooks');
        assert.match(await dashboard.text(), /Webhook settings saved/);
        await dashboard.submit({ name: hostile, value: 'v4lue' }, 'Save variable');
        assert.ok((await dashboard.text()).includes(`Variable ${hostile} saved.`));
        await dashboard.submit({}, 'Show signing key');
        assert.match(await dashboard.text(), /key that webhooks are signed with/);
    });

    test('settings: the preview follows the colour, and nobody is kept out', async () => {
        const dashboard = await open();
        await dashboard.go('/env/dev/settings');
        await dashboard.page.locator('[name="light"]').fill('rebeccapurple');
        assert.equal(await dashboard.page.locator('[data-colour="light"]').getAttribute('fill'), 'rebeccapurple');
        await dashboard.page.locator('[name="light"]').fill('rebec');
        assert.equal(await dashboard.page.locator('[data-colour="light"]').getAttribute('fill'), 'rebeccapurple');
        await dashboard.inspect('settings');
        assert.notEqual(await dashboard.page.title(), 'owned');
    });

    test('logs: filtered, followed live, and told as a story', async () => {
        const failed = await call('GET', '/proxy/x?q=1', undefined, { 'provider-config-key': 'acme', 'connection-id': 'nobody' });
        assert.ok(failed.status >= 400, failed.text);
        await connect('cust-1');
        const refused = await call('GET', `/proxy/${encodeURIComponent(hostile)}`, undefined, { 'provider-config-key': 'acme', 'connection-id': 'cust-1' });
        assert.ok(refused.status >= 400, refused.text);
        const dashboard = await open();
        await until('the call to be in the log', async () => {
            await dashboard.go('/env/dev/logs?state=failed&connection=cust-1');
            return /Failed/.test(await dashboard.page.locator('tbody').innerText({ timeout: 500 }).catch(() => ''));
        });
        await dashboard.inspect('logs-filtered');
        await dashboard.page.locator('tbody th a').first().click();
        await dashboard.page.getByRole('heading', { name: 'What happened' }).waitFor();
        for (const summary of await dashboard.page.locator('.timeline .payload summary').all()) await summary.click();
        await dashboard.inspect('log-operation');

        await dashboard.go('/env/dev/logs');
        const live = dashboard.page.getByRole('button', { name: 'Live' });
        await live.click();
        assert.equal(await live.getAttribute('aria-pressed'), 'true');
        await connect('cust-live');
        await call('GET', '/proxy/x', undefined, { 'provider-config-key': 'acme', 'connection-id': 'cust-live' });
        await dashboard.page.locator('td', { hasText: 'cust-live' }).first().waitFor();
        await live.click();
        await dashboard.inspect('logs');
        assert.notEqual(await dashboard.page.title(), 'owned');
    });

    test('webhooks: a delivery that failed is looked at and sent again, without scripts too', async () => {
        const dashboard = await open();
        receiver.status = 404;
        await connect('cust-2');
        await until('the delivery to be given up', async () => {
            await dashboard.go('/env/dev/webhooks?state=failed');
            return (await dashboard.page.locator('tbody tr').count()) > 0;
        });
        await dashboard.inspect('webhooks');
        await dashboard.page.locator('tbody th a').first().click();
        await dashboard.page.getByRole('heading', { name: 'Attempts' }).waitFor();
        await dashboard.inspect('webhook');
        const address = dashboard.page.url();
        await dashboard.close();

        const plain = await open({ javaScriptEnabled: false });
        receiver.status = 200;
        await plain.go(address);
        await plain.submit({}, 'Send again');
        assert.match(await plain.text(), /on its way/);
        await until('the delivery to arrive', async () => {
            await plain.go(address);
            return /Delivered/.test(await plain.text());
        });
    });
});
