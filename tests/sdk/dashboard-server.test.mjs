//! The dashboard's pages about the server in a real browser: what happened drawn as charts, who changed what, and how the
//! server is, with the test that the browser makes of the public address.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { startChromium } from './support/browser.mjs';
import { openDashboard } from './support/dashboard.mjs';
import { startHitchpost } from './support/hitchpost.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';

const hostile = `<img src=x onerror="document.title='owned'">`;
const catalog = {
    acme: { display_name: 'Acme', docs: 'https://docs.example.com', auth_mode: 'API_KEY', proxy: { base_url: 'http://127.0.0.1:9' } }
};
const open = { FLAG_AUTH_ENABLED: 'false', HITCHPOST_OPEN_DASHBOARD: 'true' };

/** A reverse proxy that forgets what `spoil` takes from requests and answers; websockets pass only if it says so. */
async function startBadProxy({ target, spoil = () => {}, passesSockets = false }) {
    const proxy = createServer(async (request, response) => {
        const answer = await fetch(new URL(request.url, target()), { method: request.method, redirect: 'manual' });
        const headers = Object.fromEntries([...answer.headers].filter(([name]) => !['content-encoding', 'content-length', 'transfer-encoding'].includes(name)));
        spoil(request, headers);
        response.writeHead(answer.status, headers);
        response.end(Buffer.from(await answer.arrayBuffer()));
    });
    proxy.on('upgrade', (request, socket, head) => {
        if (!passesSockets) return socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n');
        const { hostname, port } = new URL(target());
        const upstream = connectSocket(port, hostname, () => {
            const lines = request.rawHeaders.reduce((text, part, index) => text + part + (index % 2 ? '\r\n' : ': '), '');
            upstream.write(`GET ${request.url} HTTP/1.1\r\n${lines}\r\n`);
            upstream.write(head);
            socket.pipe(upstream).pipe(socket);
        });
        for (const one of [socket, upstream]) one.on('error', () => socket.destroy());
    });
    await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    return {
        url: `http://127.0.0.1:${proxy.address().port}`,
        close: () => {
            proxy.closeAllConnections();
            return new Promise((resolve) => proxy.close(resolve));
        }
    };
}

describe('what happened, who did it, and how the server is', needs(noChromium), () => {
    let browser;
    let server;
    let visitor;

    const call = async (method, path, body, headers = {}) => {
        const response = await fetch(server.url + path, {
            method,
            headers: { authorization: `Bearer ${server.secretKey}`, 'content-type': 'application/json', ...headers },
            body: body && JSON.stringify(body)
        });
        return { status: response.status, text: await response.text() };
    };
    const visit = async (options) => (visitor = await openDashboard(browser, server, options));

    before(async () => {
        browser = await startChromium();
        server = await startHitchpost({ catalog, env: open });
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

    test('home: a new server says what will be here, a used one draws it', async () => {
        const dashboard = await visit();
        await dashboard.go('/env/prod');
        assert.match(await dashboard.text(), /Nothing happened here yet/);
        await dashboard.inspect('home-new');

        assert.equal((await call('POST', '/integrations', { provider: 'acme', unique_key: 'acme', display_name: hostile })).status, 200);
        const made = await call('POST', '/connections', { provider_config_key: 'acme', connection_id: 'cust-1', tags: { note: hostile }, credentials: { type: 'API_KEY', apiKey: 'k' } });
        assert.equal(made.status, 201, made.text);
        for (let number = 0; number < 3; number++) await call('GET', `/proxy/${encodeURIComponent(hostile)}`, undefined, { 'provider-config-key': 'acme', 'connection-id': 'cust-1' });
        await until('the calls to be counted', async () => {
            await dashboard.go('/env/dev');
            return /3 proxied calls/.test(await dashboard.text());
        });
        assert.match(await dashboard.text(), /1 connections? now/);
        for (const summary of await dashboard.page.getByText('As a table').all()) await summary.click();
        await dashboard.inspect('home');
        for (const period of ['7 days', '30 days']) {
            await dashboard.page.getByRole('link', { name: period }).click();
            assert.match(await dashboard.text(), /3 proxied calls/);
        }
        await dashboard.inspect('home-month');
        assert.notEqual(await dashboard.page.title(), 'owned');
    });

    test('audit trail: filtered, opened, followed and taken along', async () => {
        await call('PATCH', '/integrations/acme', { display_name: 'Acme, renamed' });
        const dashboard = await visit();
        await dashboard.go('/settings/audit-trail');
        const renamed = dashboard.page.locator('.trail summary', { hasText: 'Integration updated' }).first();
        await renamed.click();
        await dashboard.page.locator('del', { hasText: hostile }).waitFor();
        await dashboard.page.locator('ins', { hasText: 'Acme, renamed' }).waitFor();
        await dashboard.inspect('audit-trail');
        const [download] = await Promise.all([dashboard.page.waitForEvent('download'), dashboard.page.getByRole('link', { name: 'Download CSV' }).click()]);
        assert.equal(download.suggestedFilename(), 'audit-trail.csv');
        await dashboard.page.getByLabel('What', { exact: true }).selectOption('integration:created');
        await dashboard.page.getByRole('button', { name: 'Filter' }).click();
        await dashboard.page.waitForURL(/action=integration%3Acreated/);
        assert.equal(await dashboard.page.locator('.trail > li').count(), 1);
        await dashboard.page.locator('.trail summary').click();
        await dashboard.page.locator('.trail-body a').first().click();
        assert.equal(dashboard.path(), '/env/dev/integrations/acme');
        assert.notEqual(await dashboard.page.title(), 'owned');
    });

    test('health: the public address is tested, and a good one passes', async () => {
        const dashboard = await visit();
        await dashboard.go('/settings/health');
        await dashboard.page.getByRole('button', { name: 'Test from this browser' }).click();
        await dashboard.page.getByText('The public address is reached as it must be.').waitFor();
        assert.equal(await dashboard.page.locator('.checks .badge.good').count(), 4);
        await dashboard.inspect('health');
    });

    test('health: without scripts there are commands', async () => {
        const dashboard = await visit({ javaScriptEnabled: false });
        await dashboard.go('/settings/health');
        const text = await dashboard.text();
        assert.match(text, /needs a script/);
        assert.ok(text.includes(`curl -i ${server.url}/oauth/callback`), text);
        assert.ok(!text.includes('Test from this browser'));
    });

    test('health: what a reverse proxy gets wrong is named', async () => {
        for (const [spoil, passesSockets, expected] of [
            [() => {}, false, /does not pass on the Upgrade headers for \//],
            [(_, headers) => delete headers['access-control-allow-origin'], true, /Access-Control-Allow-Origin is missing/],
            [(_, headers) => (headers['access-control-allow-origin'] = ['*', '*']), true, /where this server says "\*" once/]
        ]) {
            let behind;
            const proxy = await startBadProxy({ target: () => behind.url, spoil, passesSockets });
            behind = await startHitchpost({ catalog, env: { ...open, NANGO_SERVER_URL: proxy.url } });
            const dashboard = await openDashboard(browser, { url: proxy.url });
            try {
                await dashboard.go('/settings/health');
                await dashboard.page.getByRole('button', { name: 'Test from this browser' }).click();
                await dashboard.page.getByText(/found something to fix/).waitFor();
                assert.match(await dashboard.text(), expected);
                assert.ok(await dashboard.page.getByText('proxy_set_header Upgrade').isVisible(), 'what helps is open');
                if (!passesSockets) await dashboard.inspect('health-bad');
            } finally {
                // The browser reports refused sockets as errors of its own.
                await dashboard.context.close();
                await behind.stop();
                await proxy.close();
            }
        }
    });
});
