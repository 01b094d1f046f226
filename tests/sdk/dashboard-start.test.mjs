//! The first steps in a real browser: from a fresh server to a sign-in and a proxied call at the demo provider, offline and
//! with the outbound guard as it is.

import assert from 'node:assert/strict';
import { startChromium } from './support/browser.mjs';
import { openAsOperator, startWithPassword } from './support/operator.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';

/** Nothing on this machine can be called. */
const guarded = { NANGO_OUTBOUND_URL_POLICY: '{"mode":"denylist"}', NANGO_OUTBOUND_URL_POLICY_OAUTH: '{"mode":"denylist"}' };

let server;
let browser;
let visitor;

describe('getting started', needs(noChromium), () => {
    before(async () => {
        [server, browser] = await Promise.all([startWithPassword({ env: guarded }), startChromium()]);
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

    test('a newcomer signs in at the demo provider and makes a call', async () => {
        const began = Date.now();
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go('/env/dev');
        await page.keyboard.press('g');
        await page.keyboard.press('g');
        await page.waitForURL('**/start');
        await dashboard.inspect('start');
        await page.getByRole('button', { name: 'Start the demo provider' }).click();
        await page.getByRole('button', { name: 'Make the link' }).click();
        const [connect] = await Promise.all([page.waitForEvent('popup'), page.getByRole('link', { name: 'Open the Connect UI' }).click()]);
        const [consent] = await Promise.all([connect.waitForEvent('popup'), connect.getByRole('button', { name: /connect/i }).last().click()]);
        await consent.getByRole('heading', { name: 'Allow access?' }).waitFor();
        await consent.screenshot({ path: new URL('../../target/dashboard/demo-consent.png', import.meta.url).pathname });
        await consent.getByRole('button', { name: 'Allow' }).click();
        await connect.getByText(/success|connected/i).first().waitFor();
        await connect.close();
        await page.getByRole('link', { name: 'I have connected' }).click();
        await page.getByRole('button', { name: 'Make the call' }).click();
        assert.match(await dashboard.text(), /your code never saw/);
        assert.ok(Date.now() - began < 120_000, 'within two minutes');
        await dashboard.inspect('start-done');
        await page.locator('summary', { hasText: 'End the demo' }).click();
        await page.getByRole('button', { name: 'End the demo' }).click();
        assert.match(await dashboard.text(), /stopped/);
    });

    test('the steps work without scripts', async () => {
        const dashboard = await open({ javaScriptEnabled: false });
        const { page } = dashboard;
        await dashboard.go('/env/dev/start');
        await page.getByRole('button', { name: 'Start the demo provider' }).click();
        await page.getByRole('button', { name: 'Make the link' }).click();
        const link = await page.getByRole('link', { name: 'Open the Connect UI' }).getAttribute('href');
        const token = new URL(link).searchParams.get('session_token');
        await dashboard.go(`/oauth/connect/hitchpost-demo?connect_session_token=${token}`);
        await page.getByRole('button', { name: 'Allow' }).click();
        await dashboard.go('/env/dev/start');
        await page.getByRole('button', { name: 'Make the call' }).click();
        assert.match(await dashboard.text(), /your code never saw/);
        await page.locator('summary', { hasText: 'End the demo' }).click();
        await page.getByRole('button', { name: 'End the demo' }).click();
        assert.match(await dashboard.text(), /stopped/);
    });
});
