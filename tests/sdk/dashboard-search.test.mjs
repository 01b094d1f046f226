//! Search and the palette in a real browser: by keyboard, without scripts, with hostile names.

import assert from 'node:assert/strict';
import { startChromium } from './support/browser.mjs';
import { api, hostile, openAsOperator, startWithPassword } from './support/operator.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';

const catalog = {
    plain: { display_name: 'Plain Desk', docs: 'https://docs.test', auth_mode: 'API_KEY', proxy: { base_url: 'https://api.plain.test' } },
    hostile: { display_name: hostile, docs: 'https://docs.test', auth_mode: 'API_KEY' }
};

let server;
let browser;
let visitor;

describe('search', needs(noChromium), () => {
    before(async () => {
        [server, browser] = await Promise.all([startWithPassword({ catalog }), startChromium()]);
        await api(server, 'POST', '/integrations', { provider: 'plain', unique_key: 'help-desk' });
        const credentials = { type: 'API_KEY', apiKey: 'k' };
        for (const [connection_id, display_name] of [['cust-ann', 'Ann'], ['cust-bob', hostile]]) {
            await api(server, 'POST', '/connections', { provider_config_key: 'help-desk', connection_id, credentials, end_user: { id: connection_id, display_name } });
        }
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
    const palette = (page) => page.locator('#palette');
    const chosen = (page) => palette(page).locator('[role=option][aria-selected=true] .hit-title');

    test('the palette finds a connection by keyboard alone and goes there', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go('/env/dev/logs');
        await page.keyboard.press('Control+k');
        await page.getByRole('option', { name: 'Create API key' }).waitFor();
        await page.keyboard.type('cust-');
        await page.getByRole('option', { name: 'cust-bob' }).waitFor();
        assert.equal(await chosen(page).innerText(), 'cust-bob', 'the newest first');
        await page.keyboard.press('ArrowDown');
        assert.equal(await chosen(page).innerText(), 'cust-ann');
        await page.keyboard.press('ArrowUp');
        await page.keyboard.press('ArrowUp');
        const last = palette(page).getByRole('option').last();
        assert.equal(await last.getAttribute('aria-selected'), 'true', 'around the end');
        assert.equal(await page.evaluate(() => document.activeElement.name), 'q', 'the focus stays in the field');
        const active = await page.evaluate(() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.getAttribute('aria-selected'));
        assert.equal(active, 'true');
        await page.keyboard.press('ArrowDown');
        await page.keyboard.press('ArrowDown');
        await page.keyboard.press('Enter');
        await page.waitForURL(/\/connections\/\d+$/);
        assert.match(await dashboard.text(), /cust-ann/);
    });

    test('whoever types fast gets what they typed, and Escape gives the focus back', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go('/env/dev');
        const opener = page.getByRole('button', { name: 'Search Ctrl K' });
        await opener.focus();
        await page.keyboard.press('Enter');
        await palette(page).waitFor();
        await page.keyboard.press('Escape');
        await palette(page).waitFor({ state: 'hidden' });
        assert.ok(await opener.evaluate((button) => button === document.activeElement));
        await page.keyboard.press('/');
        await page.keyboard.type('switch to prod');
        await page.keyboard.press('Enter');
        await page.waitForURL('**/env/prod');
        await opener.waitFor();
        await page.keyboard.press('Control+k');
        await page.keyboard.type('dark theme');
        await page.keyboard.press('Enter');
        await page.locator('html[data-theme=dark]').waitFor();
        await opener.waitFor();
        await page.keyboard.press('Control+k');
        await page.keyboard.type('nothing is called like this');
        await palette(page).getByText('Nothing found.').waitFor();
        await page.keyboard.press('Enter');
        await page.waitForURL('**/search?q=nothing**');
        assert.match(await dashboard.text(), /Nothing here is called “nothing is called like this”/);
        await opener.waitFor();
        await page.keyboard.press('Control+k');
        await palette(page).waitFor();
        await page.keyboard.press('Control+k');
        await palette(page).waitFor({ state: 'hidden' });
    });

    test('a place on the same page closes the palette', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go('/env/dev/settings');
        await page.keyboard.press('Control+k');
        await page.keyboard.type('set a variable');
        await page.getByRole('option', { name: 'Set a variable' }).waitFor();
        await page.keyboard.press('Enter');
        await palette(page).waitFor({ state: 'hidden' });
        assert.equal(new URL(page.url()).hash, '#variables');
    });

    test('without scripts there is a field and a page', async () => {
        const dashboard = await open({ javaScriptEnabled: false });
        const { page } = dashboard;
        await dashboard.go('/env/dev');
        await page.getByRole('searchbox', { name: 'Search everything' }).fill('ann');
        await page.keyboard.press('Enter');
        await page.waitForURL('**/search?q=ann');
        await page.getByRole('link', { name: 'cust-ann' }).click();
        assert.match(await dashboard.text(), /cust-ann/);
        await dashboard.go('/env/dev/search?q=dark');
        await page.getByRole('button', { name: 'Dark theme' }).click();
        await page.locator('html[data-theme=dark]').waitFor();
    });

    test('hostile names stay text, and everything is accessible and fits', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go(`/env/dev/search?q=${encodeURIComponent(hostile)}`);
        assert.match(await dashboard.text(), /cust-bob[^]*onerror/);
        await dashboard.inspect('search');
        await dashboard.go('/env/dev/search');
        await dashboard.inspect('search-empty');
        await page.keyboard.press('Control+k');
        await page.keyboard.type('<img');
        await page.getByRole('option', { name: 'cust-bob' }).waitFor();
        await dashboard.inspect('palette');
        await page.keyboard.press('Control+a');
        await page.keyboard.press('Delete');
        await page.getByRole('option', { name: 'Create API key' }).waitFor();
        await dashboard.inspect('palette-empty');
        await page.keyboard.type('no such thing');
        await palette(page).getByText('Nothing found.').waitFor();
        await dashboard.inspect('palette-nothing');
        await dashboard.go('/guide/catalog');
        await dashboard.inspect('guide');
        assert.equal(await page.evaluate(() => window.broken), undefined);
    });
});
