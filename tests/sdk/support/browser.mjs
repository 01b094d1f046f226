//! A real Chromium, and the customer's page open in it.

import { chromium } from 'playwright-core';
import { chromiumPath } from './require.mjs';

export function startChromium() {
    return chromium.launch({
        executablePath: chromiumPath,
        args: [
            '--no-sandbox',
            '--disable-background-networking',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-component-update',
            '--disable-sync'
        ]
    });
}

/** Opens the customer's page in a fresh browser profile. */
export async function openHostPage(browser, hostPage, contextOptions = {}) {
    const context = await browser.newContext(contextOptions);
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    await page.goto(hostPage.url);
    await page.waitForFunction(() => window.sdkLoaded);
    return new HostPage(context, page);
}

class HostPage {
    constructor(context, page) {
        this.context = context;
        this.page = page;
    }

    async #click(server, token, call, args) {
        await this.page.evaluate((job) => (window.job = job), { host: server.sdkHost ?? server.url, token, call, arguments: args });
        await this.page.click('#connect');
    }

    /** What the SDK's promise came to: `{success}` or `{error}`. */
    async outcome() {
        const handle = await this.page.waitForFunction(() => window.outcome);
        return handle.jsonValue();
    }

    /** Calls the SDK where no popup is expected. */
    async call(server, token, call, ...args) {
        await this.#click(server, token, call, args);
        return this.outcome();
    }

    /** Calls `nango.auth` (or another call that opens a popup) and hands over the popup. */
    async openPopup(server, token, key, options = {}, call = 'auth') {
        const [popup] = await Promise.all([this.page.waitForEvent('popup'), this.#click(server, token, call, [key, options])]);
        return popup;
    }

    close() {
        return this.context.close();
    }
}

/**
 * Answers the provider's pages: 'allow', 'refuse' (at the first page) or 'refuse-consent'.
 * A browser that is still logged in at the provider is asked for consent only.
 */
export async function answerProvider(popup, answer = 'allow') {
    await popup.waitForURL(/\/interaction\//);
    if (answer === 'refuse') return popup.click('#refuse');
    if ((await popup.title()) === 'login') await popup.click('#allow');
    await popup.waitForFunction(() => document.title === 'consent');
    await popup.click(answer === 'allow' ? '#allow' : '#refuse');
}
