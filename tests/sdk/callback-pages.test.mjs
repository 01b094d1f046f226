//! The two pages the popup ends on: what they look like, and that they need nothing from elsewhere.
//! Leaves pictures in target/screenshots/.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { answerProvider, startChromium } from './support/browser.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, before, describe, test } from './support/test.mjs';
import { connectUrl } from './support/walker.mjs';
import { oidcIntegration, sessionFor, startWorld } from './support/world.mjs';

const pictures = fileURLToPath(new URL('../../target/screenshots/', import.meta.url));
const sizes = { popup: { width: 500, height: 600 }, phone: { width: 390, height: 844 } };

describe('the page the popup ends on', needs(noChromium), () => {
    let world;
    let browser;
    before(async () => {
        mkdirSync(pictures, { recursive: true });
        world = await startWorld({ oidc: {} });
        browser = world.keep(await startChromium());
        await oidcIntegration(world, 'oidc');
    });
    after(() => world?.close());

    /** Complaints about the server's own pages; the provider's, and a missing icon, are not its business. */
    const isOurs = (message) => message.location().url.startsWith(world.server.url) && !message.location().url.endsWith('/favicon.ico');

    /** Walks to the callback page in a tab that cannot close itself, noting what the page loads and complains about. */
    async function openCallbackPage(button) {
        const context = await browser.newContext({ viewport: sizes.popup });
        context.setDefaultTimeout(20_000);
        await context.addInitScript(() => {
            window.close = () => {};
            const open = window.open.bind(window);
            window.open = (url, name, ...rest) => (name === '_self' ? window : open(url, name, ...rest));
        });
        const page = await context.newPage();
        const notes = { complaints: [], loaded: [] };
        page.on('console', (message) => message.type() === 'error' && isOurs(message) && notes.complaints.push(message.text()));
        page.on('pageerror', (error) => notes.complaints.push(error.message));
        page.on('requestfinished', (request) => notes.loaded.push(request.url()));
        await page.goto(connectUrl(world.server, { key: 'oidc', token: await sessionFor(world, 'oidc') }).href);
        await answerProvider(page, button);
        await page.waitForURL(`${world.server.url}/oauth/callback**`);
        await page.waitForLoadState('networkidle');
        return { page, context, notes };
    }

    async function takePictures(page, name) {
        for (const [size, viewport] of Object.entries(sizes)) {
            for (const colorScheme of ['light', 'dark']) {
                await page.setViewportSize(viewport);
                await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
                await page.screenshot({ path: `${pictures}oauth-${name}-${size}-${colorScheme}.png` });
                const tooWide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
                assert.ok(!tooWide, `${name} page scrolls sideways at ${size} width`);
            }
        }
    }

    for (const [name, button, ownComplaints] of [
        ['success', 'allow', 0],
        // The browser itself reports the page's status 400 as one console error.
        ['error', 'refuse', 1]
    ]) {
        test(`the ${name} page shows in light and dark, popup and phone size, with nothing loaded from elsewhere`, async () => {
            const { page, context, notes } = await openCallbackPage(button);
            try {
                await takePictures(page, name);
                assert.equal(notes.complaints.length, ownComplaints, notes.complaints.join('\n'));
                const foreign = notes.loaded.filter((url) => !url.startsWith(world.server.url) && !url.startsWith(world.oidc.issuer) && !url.startsWith('data:'));
                assert.deepEqual(foreign, []);
                assert.ok(await page.title(), 'the page has a title');
                assert.ok(await page.getAttribute('html', 'lang'), 'the page names its language');
            } finally {
                await context.close();
            }
        });
    }

    test("the error page holds the provider's words, behind a toggle and escaped", async () => {
        const { page, context } = await openCallbackPage('refuse');
        try {
            const words = page.locator('details').getByText(/The user said no to these tests/).first();
            assert.equal(await words.isVisible(), false);
            await page.click('summary');
            await words.waitFor({ state: 'visible' });
            await takePictures(page, 'error-details');
            const wicked = new URL(page.url());
            wicked.searchParams.set('state', 'unknown');
            wicked.searchParams.set('error', '</script><img src=x onerror="window.hurt=1"><b id="injected">');
            await page.goto(wicked.href);
            assert.equal(await page.locator('#injected').count(), 0);
            assert.equal(await page.evaluate(() => window.hurt), undefined);
        } finally {
            await context.close();
        }
    });

    test('the callback pages keep the opener: no Cross-Origin-Opener-Policy: same-origin', async () => {
        const answer = await fetch(`${world.server.url}/oauth/callback?state=unknown`);
        assert.equal(answer.status, 400);
        assert.match(answer.headers.get('content-type'), /^text\/html/);
        assert.notEqual(answer.headers.get('cross-origin-opener-policy'), 'same-origin');
    });
});
