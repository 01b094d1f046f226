//! The dashboard's connections in a real browser: finding, reading, changing and deleting them, and links for end users.

import assert from 'node:assert/strict';
import { startChromium } from './support/browser.mjs';
import { api, hostile, openAsOperator, startWithPassword } from './support/operator.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';

const list = '/env/dev/connections';
const secret = 'pl4nted-s3cret';
const catalog = {
    plain: { display_name: 'Plain', docs: 'https://docs.test', auth_mode: 'API_KEY', proxy: { base_url: 'https://api.plain.test' } },
    signin: {
        display_name: 'Sign-in', docs: 'https://docs.test', auth_mode: 'OAUTH2', authorization_url: 'https://signin.test/a', token_url: 'https://signin.test/t'
    }
};

let server;
let browser;
let visitor;

describe('connections', needs(noChromium), () => {
    before(async () => {
        [server, browser] = await Promise.all([startWithPassword({ catalog }), startChromium()]);
        await api(server, 'POST', '/integrations', { provider: 'plain', unique_key: 'plain' });
        const credentials = { type: 'OAUTH2', client_id: 'id', client_secret: 'secret', scopes: 'read' };
        await api(server, 'POST', '/integrations', { provider: 'signin', unique_key: 'signin', credentials });
        for (let number = 0; number < 60; number += 1) await importOne(`customer-${String(number).padStart(3, '0')}`);
        await importOne('ann', { end_user: { id: 'u-ann', display_name: 'Ann Example', email: 'ann@acme.test' }, tags: { plan: 'pro', team: 'red' }, metadata: { seats: 5 } });
        await importOne(`eve"'\\\${x}`, { end_user: { id: hostile, display_name: hostile }, tags: { note: hostile }, metadata: { [hostile]: hostile } });
        const expires_at = new Date(Date.now() + 3_000_000).toISOString();
        await api(server, 'POST', '/connections', {
            provider_config_key: 'signin', connection_id: 'token-holder', credentials: { type: 'OAUTH2', access_token: secret, refresh_token: `${secret}-2`, expires_at }
        });
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

    const importOne = (connection_id, more = {}) =>
        api(server, 'POST', '/connections', { provider_config_key: 'plain', connection_id, credentials: { type: 'API_KEY', apiKey: secret }, ...more });
    const open = async (options) => (visitor = await openAsOperator(browser, server, options));

    for (const javaScriptEnabled of [true, false]) {
        test(`found, paged, opened, changed and deleted ${javaScriptEnabled ? 'with' : 'without'} scripts`, async () => {
            const id = `journey-${javaScriptEnabled}`;
            await importOne(id);
            const dashboard = await open({ javaScriptEnabled });
            const { page } = dashboard;
            await dashboard.go(list);
            assert.equal(await page.locator('tbody tr').count(), 50);
            await page.getByRole('link', { name: 'Next' }).click();
            assert.ok((await page.locator('tbody tr').count()) >= 10);
            await page.getByRole('link', { name: 'Previous' }).click();
            await dashboard.submit({ q: 'ANN@acme' }, 'Search');
            assert.equal(await page.locator('tbody tr').count(), 1);
            await dashboard.go(`${list}?q=${id}`);
            await page.getByRole('link', { name: id }).click();
            assert.ok(!(await page.content()).includes(secret));
            await page.getByRole('button', { name: 'Reveal' }).click();
            assert.match(await dashboard.text(), new RegExp(secret));
            await dashboard.submit({ metadata: '{"a": ' }, 'Save metadata');
            assert.match(await dashboard.text(), /not a JSON object \(line 1/);
            await dashboard.submit({ metadata: '{"a": [1]}' }, 'Save metadata');
            assert.match(await dashboard.text(), /Metadata saved/);
            await dashboard.submit({ tags: 'plan=free\nteam=blue' }, 'Save tags');
            assert.match(await dashboard.text(), /plan=free/);
            await page.locator('summary', { hasText: 'Python' }).click();
            await page.locator('pre', { hasText: 'import requests' }).waitFor();
            await page.locator('summary', { hasText: 'Delete connection' }).click();
            await page.getByRole('button', { name: `Delete ${id}` }).click();
            assert.match(await dashboard.text(), /deleted/);
        });

        test(`chosen ones are deleted together ${javaScriptEnabled ? 'with' : 'without'} scripts`, async () => {
            for (const name of ['one', 'two']) await importOne(`bulk-${javaScriptEnabled}-${name}`);
            const dashboard = await open({ javaScriptEnabled });
            const { page } = dashboard;
            await dashboard.go(`${list}?q=bulk-${javaScriptEnabled}`);
            if (javaScriptEnabled) {
                await page.getByRole('checkbox', { name: 'Choose all' }).check();
                await page.getByText('2 chosen').waitFor();
            } else {
                for (const box of await page.locator('tbody input[type=checkbox]').all()) await box.check();
            }
            await page.locator('summary', { hasText: 'Delete chosen' }).click();
            await page.getByRole('button', { name: 'Delete the chosen connections' }).click();
            assert.match(await dashboard.text(), /2 connections deleted/);
        });

        test(`a link for an end user is made ${javaScriptEnabled ? 'with' : 'without'} scripts`, async () => {
            const dashboard = await open({ javaScriptEnabled });
            const { page } = dashboard;
            await dashboard.go(list);
            await page.getByRole('link', { name: 'Connect an end user' }).click();
            await page.getByRole('checkbox', { name: 'plain' }).check();
            await dashboard.submit({ 'end_user.id': 'u-1' }, 'Make the link');
            const link = await page.getByRole('link', { name: 'Open the Connect UI' }).getAttribute('href');
            const shown = await fetch(link);
            assert.equal(shown.status, 200);
        });
    }

    test('keyboard: / searches, g c comes here, seconds are counted', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go('/env/dev');
        await page.keyboard.press('g');
        await page.keyboard.press('c');
        await page.waitForURL(`**${list}`);
        await page.keyboard.press('/');
        await page.keyboard.type('token-holder');
        await page.keyboard.press('Enter');
        await page.getByRole('link', { name: 'token-holder' }).click();
        await page.getByText(/in \d+ min \d+ s/).waitFor();
    });

    test('hostile names stay text', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        for (const path of [list, `${list}?q=${encodeURIComponent(hostile)}&tag=${encodeURIComponent(hostile)}&user=${encodeURIComponent(hostile)}`, `${list}?user=${encodeURIComponent(hostile)}`]) {
            await dashboard.go(path);
            assert.equal(await page.evaluate(() => window.broken), undefined, path);
        }
        await page.locator('tbody th a').click();
        assert.ok((await dashboard.text()).includes('onerror'));
        assert.equal(await page.evaluate(() => window.broken), undefined);
    });

    test('every page is accessible and fits, light and dark, wide and narrow', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go(list);
        await dashboard.inspect('connections');
        await dashboard.go(`${list}?q=nothing-like-this`);
        await dashboard.inspect('connections-none-match');
        await dashboard.go('/env/prod/connections');
        await dashboard.inspect('connections-empty');
        await dashboard.go(`${list}?q=ann`);
        await page.locator('tbody th a').first().click();
        await dashboard.inspect('connection');
        await dashboard.go(`${list}?q=eve`);
        await page.locator('tbody th a').first().click();
        await dashboard.inspect('connection-hostile');
        await dashboard.go(`${list}?q=token-holder`);
        await page.locator('tbody th a').first().click();
        await page.getByRole('button', { name: 'Reveal' }).click();
        await dashboard.inspect('connection-revealed');
        await dashboard.go(`${list}/invite`);
        await dashboard.inspect('invitation');
        await dashboard.submit({ 'end_user.id': 'u', 'end_user.email': 'a@b' }, 'Make the link');
        await dashboard.inspect('invitation-problems');
    });
});
