//! How good the Connect UI is: accessibility, keyboard, languages, sizes, speed. Pictures are kept under target/connect-ui.

import assert from 'node:assert/strict';
import { answerProvider, startChromium } from './support/browser.mjs';
import { openConnectUi, openLink } from './support/connect-ui.mjs';
import { startHostPage } from './support/host-page.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';
import { until } from './support/until.mjs';
import { oidcIntegration, plainIntegration, sessionFor, startWorld } from './support/world.mjs';

const languages = { en: 'ltr', de: 'ltr', fr: 'ltr', es: 'ltr', ja: 'ltr', ar: 'rtl' };
const sizes = { wide: { width: 1280, height: 800 }, popup: { width: 500, height: 600 }, phone: { width: 360, height: 740 }, narrow: { width: 320, height: 568 } };
const names = 'Airtable Asana Box Calendly Discord Dropbox Figma GitHub Gmail HubSpot Intercom Jira Linear Notion Outlook Pipedrive Salesforce Shopify Slack Stripe Trello Xero Zendesk Zoom'.split(' ');

/** As many integrations as the largest installations have. */
const eightHundred = Array.from({ length: 800 }, (_, index) => ({
    unique_key: `entry-${index}`,
    provider: `provider-${index}`,
    display_name: index < names.length ? names[index] : `${names[index % names.length]} ${index}`
}));

let world;
let browser;
let hostPage;
let ui;

describe('the quality of the Connect UI', needs(noChromium), () => {
    before(async () => {
        world = await startWorld({ oidc: {} });
        hostPage = world.keep(await startHostPage());
        browser = world.keep(await startChromium());
        await oidcIntegration(world, 'oidc');
        await plainIntegration(world, 'test-key');
        await plainIntegration(world, 'test-basic');
        await plainIntegration(world, 'test-open');
    });
    after(() => world?.close());
    afterEach(async () => {
        await ui?.close();
        ui = null;
    });

    const session = (more) => sessionFor(world, 'test-key', more);
    const all = () => session({ allowed_integrations: ['test-key', 'test-basic', 'oidc', 'test-open'] });
    const still = { reducedMotion: 'reduce' };
    const many = (context) => context.route('**/integrations', (route) => route.fulfill({ headers: { 'access-control-allow-origin': '*' }, json: { data: eightHundred } }));
    const open = async (options) => (ui = await openConnectUi(world, browser, hostPage, { ...options, context: { ...still, ...options.context } }));

    for (const theme of ['light', 'dark']) {
        for (const [size, viewport] of Object.entries(sizes)) {
            test(`${theme}, ${size}: list, form and success are accessible and fit`, async () => {
                const options = { options: { themeOverride: theme }, context: { viewport, colorScheme: theme } };
                await open({ token: await session({ allowed_integrations: [] }), prepare: many, ...options });
                await ui.screen('list');
                await check(`list-${theme}-${size}`);
                await ui.close();
                await open({ token: await session(), ...options });
                await ui.screen('form');
                await check(`form-${theme}-${size}`);
                await ui.fill({ apiKey: 'any' });
                await ui.submit();
                await ui.screen('success');
                await check(`success-${theme}-${size}`);
            });
        }
    }

    async function check(name) {
        await ui.assertAccessible(name);
        await ui.picture(name);
        const tooWide = await ui.frame.evaluate(() => {
            const view = document.querySelector('.view');
            return [document.documentElement.scrollWidth - innerWidth, view.scrollWidth - view.clientWidth].some((excess) => excess > 0);
        });
        assert.equal(tooWide, false, `${name} scrolls sideways`);
    }

    for (const [lang, direction] of Object.entries(languages)) {
        const openIn = (token, more = {}) => open({ token, options: { lang, ...more }, context: { viewport: sizes.popup } });
        const checkTexts = async (screen) => {
            await check(`lang-${lang}-${screen}`);
            assert.doesNotMatch(await ui.text(), /\b(nav|list|form|field|invalid|notice|wait|success|failure|session|confirm)\.[a-z_]+\b|[{}]/);
        };

        test(`${lang}: list, form, mistakes, the question before leaving, success`, async () => {
            await openIn(await all());
            await ui.screen('list');
            assert.deepEqual(await ui.frame.evaluate(() => [document.documentElement.lang, document.documentElement.dir]), [lang, direction]);
            await checkTexts('list');
            await ui.view.locator('[data-key="test-key"]').click();
            await ui.screen('form');
            await ui.submit();
            await ui.view.locator('.error:not([hidden])').waitFor();
            await checkTexts('form');
            await ui.fill({ apiKey: 'any' });
            await ui.view.locator('.bar-button').first().click();
            await ui.view.getByRole('alertdialog').waitFor();
            await checkTexts('leaving');
            await ui.page.keyboard.press('Escape');
            await ui.submit();
            await ui.screen('success');
            await checkTexts('success');
        });

        test(`${lang}: the window, a refusal, a link that does not work`, async () => {
            await openIn(await session({ allowed_integrations: ['oidc'] }));
            await ui.screen('form');
            await checkTexts('window');
            const popup = await ui.submitToPopup();
            await ui.screen('waiting');
            await checkTexts('waiting');
            await answerProvider(popup, 'refuse');
            await ui.screen('failure');
            await ui.view.locator('summary').click();
            await checkTexts('failure');
            await ui.close();
            await openIn(`nango_connect_session_${'0'.repeat(64)}`);
            await ui.screen('unknown');
            await checkTexts('unknown');
        });
    }

    test('the language of the browser is used when none is asked for', async () => {
        await open({ token: await all(), context: { locale: 'fr-CA' } });
        await ui.screen('list');
        assert.equal(await ui.title(), 'Connecter un compte');
    });

    test('the keyboard is enough, and never leaves the dialog', async () => {
        await open({ token: await session({ allowed_integrations: [] }), prepare: async (context) => {
            const entries = eightHundred.map((entry, index) => (index === 7 ? { unique_key: 'test-key', provider: 'test-key', display_name: 'GitHub' } : entry));
            await context.route('**/integrations', (route) => route.fulfill({ json: { data: entries } }));
        } });
        await ui.screen('list');
        const keyboard = ui.page.keyboard;
        await keyboard.type('github');
        await keyboard.press('ArrowDown');
        await keyboard.press('Enter');
        await ui.screen('form');
        assert.equal(await ui.title(), 'Connect GitHub');
        const stops = new Set();
        for (let step = 0; step < 12; step += 1) {
            await keyboard.press('Tab');
            const inside = await ui.frame.evaluate(() => document.hasFocus() && document.querySelector('#panel').contains(document.activeElement) && document.activeElement.outerHTML);
            assert.ok(inside, 'the focus left the dialog');
            stops.add(inside);
        }
        assert.ok(stops.size >= 4, 'every control can be reached');
        await ui.input('apiKey').focus();
        await keyboard.type('typed');
        await keyboard.press('Enter');
        await ui.screen('success');
        await ui.leave(() => keyboard.press('Enter'));
    });

    test('going back finds the search as it was', async () => {
        await open({ token: await session({ allowed_integrations: [] }), prepare: async (context) => {
            await many(context);
            await context.route('**/providers/*', (route) => route.fulfill({ json: { data: { name: 'x', auth_mode: 'NONE', display_name: 'X' } } }));
        } });
        await ui.screen('list');
        await ui.view.getByRole('searchbox').fill('stripe');
        await ui.view.locator('.row').first().click();
        await ui.screen('form');
        assert.equal(await ui.title(), 'Connect Stripe');
        await ui.view.getByRole('button', { name: 'Back' }).click();
        await ui.screen('list');
        assert.equal(await ui.view.getByRole('searchbox').inputValue(), 'stripe');
        await ui.view.getByRole('searchbox').fill('zzzz');
        await ui.view.getByText('Nothing matches “zzzz”').waitFor();
        await ui.picture('list-nothing');
        await ui.assertAccessible('nothing found');
        await ui.page.keyboard.press('Escape');
        assert.equal(await ui.view.getByRole('searchbox').inputValue(), '');
        assert.equal(await ui.view.locator('.row').count(), 800);
        await ui.leave(() => ui.page.keyboard.press('Escape'));
    });

    test('eight hundred entries: only those in sight are drawn, and the search answers at once', async (t) => {
        await open({ token: await session({ allowed_integrations: [] }), prepare: many });
        await ui.screen('list');
        const measured = await ui.frame.evaluate(async () => {
            const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));
            await nextFrame();
            const rows = [...document.querySelectorAll('.row')];
            const drawn = rows.filter((row) => row.checkVisibility({ contentVisibilityAuto: true })).length;
            const view = document.querySelector('.view');
            const times = [];
            let last = await nextFrame();
            for (let step = 0; step < 60; step += 1) {
                view.scrollTop += 240;
                const now = await nextFrame();
                times.push(now - last);
                last = now;
            }
            const search = document.querySelector('[type=search]');
            search.value = 'zoom';
            const start = performance.now();
            search.dispatchEvent(new Event('input', { bubbles: true }));
            document.body.getBoundingClientRect();
            return { rows: rows.length, drawn, frame: times.sort((a, b) => a - b)[Math.floor(times.length / 2)], search: performance.now() - start };
        });
        t.diagnostic(JSON.stringify(measured));
        assert.equal(measured.rows, 800);
        assert.ok(measured.drawn < 60, `${measured.drawn} rows are drawn`);
        assert.ok(measured.frame < 34, `half of all frames took ${measured.frame} ms or more`);
        assert.ok(measured.search < 200, `the search took ${measured.search} ms`);
    });

    test('nothing jumps, little is loaded, and all of it from here', async (t) => {
        const token = await all();
        const before = Date.now();
        ui = await openLink(browser, `${world.server.url}/connect-ui/?session_token=${token}`, {
            prepare: (context) =>
                context.addInitScript(() => {
                    window.shift = 0;
                    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shift += entry.value))).observe({ type: 'layout-shift', buffered: true });
                })
        });
        await ui.screen('list');
        const page = await ui.frame.evaluate(() => ({
            shift: window.shift,
            paint: performance.getEntriesByType('paint').find((entry) => entry.name === 'first-contentful-paint')?.startTime,
            requests: performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname),
            bytes: performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.encodedBodySize, 0)
        }));
        t.diagnostic(`list after ${Date.now() - before} ms; ${JSON.stringify({ ...page, requests: page.requests.length })}`);
        assert.equal(page.shift, 0);
        assert.ok(page.requests.length < 30, page.requests.join('\n'));
        assert.ok(page.bytes < 60_000, `${page.bytes} bytes`);
        assert.ok(!page.requests.some((path) => /logo|\.png|\.woff/.test(path)), 'icons are made here');
    });

    test('a provider has one colour, here and in its picture', async () => {
        await open({ token: await all() });
        await ui.screen('list');
        const shown = await ui.frame.evaluate(() => [...document.querySelectorAll('.row')].map((row) => [row.dataset.key, getComputedStyle(row.querySelector('.mono')).backgroundColor]));
        assert.equal(shown.length, 4);
        for (const [key, colour] of shown) {
            const picture = await fetch(`${world.server.url}/images/template-logos/${key === 'oidc' ? 'test-oidc' : key}.svg`);
            const [, hex] = /fill="#([0-9a-f]{6})"/.exec(await picture.text());
            assert.equal(colour, `rgb(${hex.match(/../g).map((part) => parseInt(part, 16)).join(', ')})`, key);
        }
    });

    test('the colours of the environment are kept readable', async () => {
        for (const primary of ['#ffffff', '#ffff00', '#00B2E3', '#5b3df5', '#000000', 'oklch(0.7 0.15 200)', 'nonsense']) {
            for (const theme of ['light', 'dark']) {
                const settings = { theme: { light: { primary }, dark: { primary } }, defaultTheme: theme, showWatermark: true, borderRadius: '4px', fontFamily: 'Georgia' };
                const prepare = (context) =>
                    context.route('**/connect/session', async (route) => {
                        const answer = await route.fetch();
                        const body = await answer.json();
                        body.data.connectUISettings = settings;
                        await route.fulfill({ response: answer, json: body });
                    });
                await open({ token: await session(), prepare });
                await ui.screen('form');
                assert.equal(await ui.frame.evaluate(() => document.documentElement.dataset.theme), theme);
                await ui.assertAccessible(`${primary} in ${theme}`);
                if (primary === '#5b3df5') await ui.picture(`brand-${theme}`);
                await ui.close();
            }
        }
        ui = null;
    });

    test('motion is left out for people who asked for that', async () => {
        await open({ token: await session() });
        await ui.screen('form');
        const moving = await ui.frame.evaluate(() => document.getAnimations().filter((animation) => animation.playState === 'running').length);
        assert.equal(moving, 0);
    });

    test('the address with the session is told to nobody', async () => {
        await open({ token: await session() });
        await ui.screen('form');
        const popup = await until('a link', () => ui.frame.evaluate(() => document.referrer));
        assert.ok(!popup.includes('session'), 'the page around it sends its origin only');
        assert.equal(await ui.frame.evaluate(() => document.querySelector('meta[name=referrer]')), null);
    });
});
