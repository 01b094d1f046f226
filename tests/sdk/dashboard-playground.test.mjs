//! The playground in a real browser: a call is composed, sent, and shown with what really went out.

import assert from 'node:assert/strict';
import { startChromium } from './support/browser.mjs';
import { api, hostile, openAsOperator, startWithPassword } from './support/operator.mjs';
import { needs, noChromium } from './support/require.mjs';
import { startTarget } from './support/target.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';

const secret = 'pl4nted-s3cret';

let target;
let server;
let browser;
let visitor;

describe('the playground', needs(noChromium), () => {
    before(async () => {
        target = await startTarget();
        const catalog = {
            target: {
                display_name: 'Target', docs: 'https://docs.test', auth_mode: 'API_KEY',
                proxy: { base_url: target.url, headers: { 'x-key': '${apiKey}' }, query: { key: '${apiKey}' } }
            }
        };
        [server, browser] = await Promise.all([startWithPassword({ catalog }), startChromium()]);
        await api(server, 'POST', '/integrations', { provider: 'target', unique_key: 'target' });
        const credentials = { type: 'API_KEY', apiKey: secret };
        await api(server, 'POST', '/connections', { provider_config_key: 'target', connection_id: 'c1', credentials });
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
        await target?.close();
    });
    afterEach(async () => {
        const leaving = visitor;
        visitor = null;
        await leaving?.close();
    });

    const open = async (options) => (visitor = await openAsOperator(browser, server, options));

    for (const javaScriptEnabled of [true, false]) {
        test(`a call is made and shown ${javaScriptEnabled ? 'with' : 'without'} scripts`, async () => {
            const dashboard = await open({ javaScriptEnabled });
            const { page } = dashboard;
            await dashboard.go('/env/dev/connections');
            await page.getByRole('link', { name: 'c1', exact: true }).click();
            await page.getByRole('link', { name: 'Try a call' }).click();
            assert.equal(await page.locator('[name=connection]').inputValue(), 'c1');
            await page.locator('[name=method]').selectOption('POST');
            await dashboard.submit({ path: `/echo?x=${encodeURIComponent(hostile)}`, headers: `X-Note: ${hostile}`, body: hostile }, 'Send');
            const text = await dashboard.text();
            assert.match(text, /What went out/);
            assert.match(text, /POST http:\/\/127/);
            assert.ok(!(await page.content()).includes(secret), 'secrets are masked');
            await page.locator('summary', { hasText: 'cURL' }).click();
            assert.match(await dashboard.text(), /curl --request 'POST'/);
            if (javaScriptEnabled) assert.equal(await page.evaluate(() => window.broken), undefined);
        });
    }

    test('the page is accessible and fits, light and dark, wide and narrow', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go('/env/prod/playground');
        await dashboard.inspect('playground-empty');
        await dashboard.go('/env/dev/playground');
        await dashboard.inspect('playground');
        await page.locator('[name=integration]').selectOption('target');
        await dashboard.submit({ connection: 'c1', path: '/echo?a=1' }, 'Send');
        await dashboard.inspect('playground-answer');
        await dashboard.submit({ connection: 'nobody' }, 'Send');
        await dashboard.inspect('playground-problems');
    });
});
