//! The dashboard in a browser: journeys, accessibility, and a picture of every page under target/dashboard.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const pictures = fileURLToPath(new URL('../../../target/dashboard/', import.meta.url));
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export const password = 'correct horse battery';
const looks = [
    { theme: 'light', size: 'wide', viewport: { width: 1280, height: 800 } },
    { theme: 'dark', size: 'wide', viewport: { width: 1280, height: 800 } },
    { theme: 'light', size: 'phone', viewport: { width: 360, height: 740 } },
    { theme: 'dark', size: 'phone', viewport: { width: 360, height: 740 } }
];

/** The link that the server printed for the first account. */
export function setupLink(server) {
    const links = server.log.match(/http\S+\/setup\/\S+/g);
    assert.ok(links, `no setup link was printed:\n${server.log}`);
    return links.at(-1);
}

/** A visitor with a browser profile of their own. */
export async function openDashboard(browser, server, options = {}) {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(20_000);
    return new Dashboard(context, await context.newPage(), server);
}

class Dashboard {
    #problems = [];

    constructor(context, page, server) {
        this.context = context;
        this.page = page;
        this.server = server;
        page.on('console', (message) => message.type() === 'error' && !/status of 4\d\d/.test(message.text()) && this.#problems.push(message.text()));
        page.on('pageerror', (error) => this.#problems.push(String(error)));
        page.on('request', (request) => {
            if (!/^(data|blob|about):/.test(request.url()) && !/^http:\/\/(127\.0\.0\.1|localhost):/.test(request.url())) this.#problems.push(`asked ${request.url()}`);
        });
    }

    go(path) {
        return this.page.goto(path.startsWith('http') ? path : this.server.url + path);
    }

    /** Fills fields by their names, submits the form that they are in, and waits for the page that answers. */
    async submit(fields, button) {
        for (const [name, value] of Object.entries(fields)) await this.page.locator(`main [name="${name}"]:visible`).first().fill(value);
        // Scripts run before a page has loaded: what is pressed then is heard.
        await Promise.all([this.page.waitForNavigation(), this.page.locator('main').getByRole('button', { name: button }).first().click()]);
    }

    path() {
        return new URL(this.page.url()).pathname;
    }

    text() {
        return this.page.locator('main').innerText();
    }

    /** Nothing is wrong with the page for people who use other senses, whatever the theme and the size. Needs scripts. */
    async inspect(name) {
        for (const { theme, size, viewport } of looks) {
            await this.page.setViewportSize(viewport);
            await this.page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
            await this.page.evaluate(axeSource);
            const { violations } = await this.page.evaluate(() => window.axe.run(document));
            const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map((node) => `  ${node.html}\n  ${node.failureSummary}`).join('\n')}`);
            assert.deepEqual(found, [], `${name}, ${theme}, ${size}`);
            const excess = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            assert.ok(excess <= 0, `${name} is ${excess} pixels too wide (${theme}, ${size})`);
            mkdirSync(pictures, { recursive: true });
            await this.page.screenshot({ path: join(pictures, `${name}-${theme}-${size}.png`), fullPage: true, animations: 'disabled' });
        }
        await this.page.setViewportSize(looks[0].viewport);
    }

    /** Ends the visit. No rule of the pages was broken, and nobody else was asked for anything. */
    async close() {
        await this.context.close();
        assert.deepEqual(this.#problems, []);
    }
}
