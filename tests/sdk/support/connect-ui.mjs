//! The Connect UI as end users see it: opened by the published SDK in the customer's page, or as a link.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openHostPage } from './browser.mjs';
import { until } from './until.mjs';

const pictures = fileURLToPath(new URL('../../../target/connect-ui/', import.meta.url));
const axeSource = readFileSync(fileURLToPath(import.meta.resolve('axe-core/axe.min.js')), 'utf8');

/** Opens the Connect UI by `nango.openConnectUI()` in a fresh browser profile. `path` is where the page is served. */
export async function openConnectUi(world, browser, hostPage, { token, base, options = {}, context = {}, prepare } = {}) {
    const host = await openHostPage(browser, hostPage, context);
    const seen = watch(host.context);
    await prepare?.(host.context, host.page);
    const job = { token, options: { baseURL: base ?? `${world.server.url}/connect-ui/`, apiURL: world.server.url, ...options } };
    await host.page.evaluate((value) => (window.job = value), job);
    await host.page.click('#open-connect-ui');
    return new ConnectUi(host.context, host.page, host.page.frameLocator('#connect-ui'), seen, true);
}

/** Opens the Connect UI as a link of its own. */
export async function openLink(browser, url, { context = {}, prepare } = {}) {
    const opened = await browser.newContext(context);
    opened.setDefaultTimeout(20_000);
    const seen = watch(opened);
    const page = await opened.newPage();
    await prepare?.(opened, page);
    await page.goto(url);
    return new ConnectUi(opened, page, page, seen, false);
}

/** Notes what a page must never do: break its policy, throw, or talk to anybody else. */
function watch(context) {
    const seen = { violations: [], requests: [] };
    const note = (page) => {
        page.on('console', (message) => {
            if (/Content Security Policy|TrustedHTML|TrustedScript/.test(message.text())) seen.violations.push(message.text());
        });
        page.on('pageerror', (error) => seen.violations.push(error.stack ?? error.message));
    };
    context.pages().forEach(note);
    context.on('page', note);
    context.on('request', (request) => seen.requests.push(request.url()));
    return seen;
}

export class ConnectUi {
    constructor(context, page, view, seen, isFramed) {
        this.context = context;
        this.page = page;
        /** Where to look for elements of the Connect UI. */
        this.view = view;
        this.seen = seen;
        this.isFramed = isFramed;
    }

    /** The document of the Connect UI, for scripts. */
    get frame() {
        if (!this.isFramed) return this.page.mainFrame();
        return this.page.frames().find((frame) => frame.name() === 'connect-ui' || /session_token|apiURL/.test(frame.url()));
    }

    /** Waits for a screen: `list`, `form`, `waiting`, `success`, `failure`, `expired` ... */
    async screen(name) {
        await this.view.locator(`#panel[data-screen="${name}"]:not([aria-busy])`).waitFor();
    }

    title() {
        return this.view.locator('h1').innerText();
    }

    text() {
        return this.view.locator('#panel').innerText();
    }

    input(name) {
        return this.view.locator(`[data-field="${name}"] .input`);
    }

    /** Fills fields by their names; lists are chosen from. */
    async fill(values) {
        for (const [name, value] of Object.entries(values)) {
            const input = this.input(name);
            if ((await input.evaluate((element) => element.tagName)) === 'SELECT') await input.selectOption(value);
            else await input.fill(value);
        }
    }

    submit() {
        return this.view.locator('.foot .button.primary').click();
    }

    /** Presses the button that opens the provider's window, and hands the window over. */
    async submitToPopup() {
        const [popup] = await Promise.all([this.context.waitForEvent('page'), this.submit()]);
        return popup;
    }

    press(text) {
        return this.view.getByRole('button', { name: text, exact: true }).click();
    }

    /** What the Connect UI has told the customer's page. */
    events() {
        return this.page.evaluate(() => window.events);
    }

    /** The first event of a type, once it is there. */
    event(type) {
        return until(`the event ${type}`, async () => (await this.events()).find((event) => event.type === type));
    }

    /**
     * Does what closes the Connect UI, and waits until the customer's page hears of it. The frame may be gone before the browser
     * has acknowledged the key or the click that it got, so nobody waits for that.
     */
    async leave(act) {
        const closed = this.event('close');
        return Promise.race([closed, act().then(() => closed)]);
    }

    /** Nothing that axe knows is wrong here. */
    async assertAccessible(what) {
        await this.frame.evaluate(axeSource);
        const { violations } = await this.frame.evaluate(() => window.axe.run(document));
        const found = violations.map((violation) => `${violation.id}: ${violation.help}\n${violation.nodes.map((node) => `  ${node.html}\n  ${node.failureSummary}`).join('\n')}`);
        assert.deepEqual(found, [], what);
    }

    /** Keeps a picture under target/connect-ui, once everything has come to rest that comes to rest. */
    async picture(name) {
        mkdirSync(pictures, { recursive: true });
        await this.frame.evaluate(async () => {
            const moving = document.getAnimations().filter((animation) => animation.effect.getComputedTiming().endTime < 2000);
            await Promise.allSettled(moving.map((animation) => animation.finished));
        });
        await this.page.screenshot({ path: join(pictures, `${name}.png`), animations: 'disabled' });
    }

    /** Ends the profile. Nobody else was talked to and no rule was broken. */
    async close({ others = [] } = {}) {
        const { violations, requests } = this.seen;
        await this.context.close();
        assert.deepEqual(violations, []);
        const foreign = requests.filter((url) => !/^(data|blob|about):/.test(url) && !/^http:\/\/(127\.0\.0\.1|localhost):/.test(url) && !others.some((other) => url.startsWith(other)));
        assert.deepEqual(foreign, [], 'requests to other hosts');
    }
}
