//! The dashboard's integrations in a real browser: from the catalog to a working integration, and providers of one's own.

import assert from 'node:assert/strict';
import { startChromium } from './support/browser.mjs';
import { hostile, openAsOperator, startWithPassword } from './support/operator.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';

const catalog = {
    'acme-crm': {
        display_name: 'Acme CRM', docs: 'https://docs.test', categories: ['crm'], auth_mode: 'OAUTH2', default_scopes: ['read'],
        authorization_url: 'https://acme.test/a', token_url: 'https://acme.test/t', webhook_routing_script: 'acme'
    },
    'acme-app': { display_name: 'Acme App', docs: 'https://docs.test', auth_mode: 'APP', token_url: 'https://acme.test/t' },
    hostile: { display_name: hostile, docs: 'https://docs.test', categories: [hostile], auth_mode: 'API_KEY', integration_config: { note: { type: 'string', title: hostile, description: hostile } } }
};

let server;
let browser;
let visitor;

describe('integrations', needs(noChromium), () => {
    before(async () => {
        [server, browser] = await Promise.all([startWithPassword({ catalog }), startChromium()]);
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
        test(`added, changed, revealed and deleted ${javaScriptEnabled ? 'with' : 'without'} scripts`, async () => {
            const key = `crm-${javaScriptEnabled}`;
            const dashboard = await open({ javaScriptEnabled });
            const { page } = dashboard;
            await dashboard.go('/env/dev/catalog');
            await dashboard.submit({ q: 'acme c' }, 'Search');
            await page.getByRole('link', { name: 'Acme CRM' }).click();
            assert.match(await dashboard.text(), /\/oauth\/callback/);
            const fields = { unique_key: key, 'credentials.client_id': 'the-id', 'credentials.client_secret': 'pl4nted-s3cret', 'credentials.scopes': 'a b' };
            await dashboard.submit({ ...fields, unique_key: 'not/valid' }, 'Add Acme CRM');
            assert.equal(await page.locator('[name=unique_key]').getAttribute('aria-invalid'), 'true');
            await dashboard.submit(fields, 'Add Acme CRM');
            assert.match(await dashboard.text(), /is ready/);
            await dashboard.submit({ display_name: 'Customers' }, 'Save');
            assert.equal((await page.locator('h1').innerText()).trim(), 'Customers');
            assert.ok(!(await page.content()).includes('pl4nted-s3cret'));
            await page.getByRole('button', { name: 'Reveal' }).click();
            assert.match(await dashboard.text(), /pl4nted-s3cret/);
            await dashboard.submit({ confirmation: key }, 'Delete integration');
            assert.match(await dashboard.text(), /deleted/);
        });

        test(`a provider is defined ${javaScriptEnabled ? 'with' : 'without'} scripts`, async () => {
            const dashboard = await open({ javaScriptEnabled });
            const { page } = dashboard;
            await dashboard.go('/env/dev/provider-editor');
            await page.getByRole('button', { name: 'Check and preview' }).click();
            assert.match(await dashboard.text(), /Acme CRM[^]*Subdomain/);
            await dashboard.submit({ definition: `x: {auth_mode: NOPE, display_name: '${hostile.replaceAll("'", '')}'}` }, 'Check and preview');
            assert.match(await dashboard.text(), /Mistake/);
        });
    }

    test('every page is accessible and fits, light and dark, wide and narrow', async () => {
        const dashboard = await open();
        const { page } = dashboard;
        await dashboard.go('/env/dev/integrations');
        await dashboard.inspect('integrations-empty');
        await dashboard.go('/env/dev/catalog');
        await dashboard.inspect('catalog');
        for (const name of ['acme-crm', 'acme-app', 'hostile']) {
            await dashboard.go(`/env/dev/catalog/${name}`);
            await dashboard.inspect(`integration-new-${name}`);
        }
        // What the server says to forms that a browser would not send.
        await page.locator('main form').evaluateAll((forms) => forms.forEach((form) => (form.noValidate = true)));
        await dashboard.submit({ unique_key: 'odd ~:.@ one' }, 'Add');
        await dashboard.inspect('integration-new-problems');
        await dashboard.submit({ 'integration_config.note': hostile }, 'Add');
        assert.match(await dashboard.text(), /is ready/);
        await dashboard.inspect('integration-hostile');
        await dashboard.go('/env/dev/catalog/acme-crm');
        await dashboard.submit({ unique_key: 'crm', 'credentials.client_id': 'id', 'credentials.client_secret': 's' }, 'Add Acme CRM');
        await dashboard.inspect('integration');
        await dashboard.go('/env/dev/integrations');
        await dashboard.inspect('integrations');
        await dashboard.go('/env/dev/provider-editor');
        await page.getByRole('button', { name: 'Check and preview' }).click();
        await dashboard.inspect('provider-editor');
        await dashboard.submit({ definition: 'x: {auth_mode: NOPE}' }, 'Check and preview');
        await dashboard.inspect('provider-editor-mistakes');
        assert.equal(await page.evaluate(() => window.broken), undefined);
    });
});
