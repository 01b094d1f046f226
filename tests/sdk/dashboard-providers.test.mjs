//! Providers of one's own in a real browser: defined, previewed while they are typed, saved, used, changed and deleted.

import assert from 'node:assert/strict';
import { startChromium } from './support/browser.mjs';
import { api, hostile, openAsOperator, startWithPassword } from './support/operator.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';

const definition = (name, title = 'Mine') => `${name}:
  display_name: ${JSON.stringify(title)}
  docs: https://docs.mine.example
  auth_mode: API_KEY
  proxy: {base_url: 'https://api.mine.example'}
  credentials:
    apiKey: {type: string, title: Secret word, description: From the settings}
`;

let server;
let browser;
let visitor;

describe('providers', needs(noChromium), () => {
    before(async () => {
        [server, browser] = await Promise.all([startWithPassword(), startChromium()]);
    });
    after(async () => {
        await browser?.close();
        await server?.stop();
    });
    afterEach(async () => {
        const leaving = visitor;
        visitor = null;
        await leaving?.close();
    });

    const open = async (options) => (visitor = await openAsOperator(browser, server, options));

    for (const javaScriptEnabled of [true, false]) {
        test(`saved, used, changed and deleted ${javaScriptEnabled ? 'with' : 'without'} scripts`, async () => {
            const name = `mine-${javaScriptEnabled}`;
            const dashboard = await open({ javaScriptEnabled });
            const { page } = dashboard;
            await dashboard.go('/settings/providers');
            await page.getByRole('link', { name: 'Define a provider' }).first().click();
            await dashboard.submit({ definition: `${name}: {auth_mode: NOPE}` }, 'Save provider');
            assert.match(await dashboard.text(), /Nothing was saved: mend the mistakes first/);
            assert.equal(await page.locator('[name=definition]').inputValue(), `${name}: {auth_mode: NOPE}`);
            await dashboard.submit({ definition: definition(name) }, 'Save provider');
            assert.match(await dashboard.text(), /is saved/);
            await page.getByRole('link', { name: 'Add an integration with it' }).click();
            await dashboard.submit({ unique_key: name }, 'Add Mine');
            assert.match(await dashboard.text(), /is ready/);

            await dashboard.go('/settings/providers');
            await page.getByRole('link', { name }).click();
            await dashboard.submit({ definition: definition(name, 'Ours') }, 'Save provider');
            await dashboard.go(`/env/dev/integrations/${name}`);
            assert.equal((await page.locator('h1').innerText()).trim(), 'Ours', 'at once');

            await api(server, 'DELETE', `/integrations/${name}`);
            await dashboard.go('/settings/providers');
            await page.locator('tr', { hasText: name }).locator('summary').click();
            await page.locator('tr', { hasText: name }).getByLabel(/to confirm/).fill(name);
            await page.getByRole('button', { name: `Delete ${name}` }).click();
            assert.match(await dashboard.text(), /deleted\./);
        });
    }

    test('the preview follows what is typed', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go('/env/dev/provider-editor');
        await page.locator('[name=definition]').fill(definition('typed', 'While typing'));
        await page.getByRole('heading', { name: 'While typing' }).waitFor();
        await page.locator('[name=definition]').fill('typed: {auth_mode: NOPE}');
        await page.getByRole('heading', { name: /mistake/ }).waitFor();
        assert.match(await page.locator('[data-outcome-told]').textContent(), /mistake/);
        assert.equal(await page.locator('[name=definition]').inputValue(), 'typed: {auth_mode: NOPE}');
    });

    test('every page is accessible and fits, with hostile names', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go('/settings/providers');
        await dashboard.inspect('providers-empty');
        await dashboard.go('/env/dev/provider-editor');
        await dashboard.submit({ definition: definition('hostile-one', hostile) }, 'Save provider');
        assert.match(await dashboard.text(), /is saved/);
        await dashboard.inspect('provider-saved');
        await dashboard.submit({ definition: 'x: {auth_mode: NOPE}' }, 'Save provider');
        await dashboard.inspect('provider-refused');
        await dashboard.go('/settings/providers');
        await page.locator('tbody summary').click();
        await dashboard.inspect('providers');
        await dashboard.go('/env/dev/settings');
        await dashboard.submit({ header_name: 'x-team', header_value: 's3cret' }, 'Save headers');
        await dashboard.inspect('settings-headers');
        assert.equal(await page.evaluate(() => window.broken), undefined);
    });
});
