#!/usr/bin/env node
//! How fast the Connect UI is in a real Chromium: cold loads of a link, and a list of 800 entries that is scrolled and searched.
//! Needs the packages of tests/sdk and a Chromium; HITCHPOST_BIN names the binary, TEST_DATABASE_URL a PostgreSQL.
//! Prints the tables of docs/BENCHMARKS.md. A measurement, not a test: nothing here fails because a machine is slow.

import { parseArgs } from 'node:util';
import { startChromium } from '../tests/sdk/support/browser.mjs';
import { listen } from '../tests/sdk/support/http.mjs';
import { sessionFor, startWorld } from '../tests/sdk/support/world.mjs';

const { values } = parseArgs({ options: { loads: { type: 'string', default: '15' }, entries: { type: 'string', default: '800' } } });
const loads = Number(values.loads);
const entries = Number(values.entries);

const median = (numbers) => percentile(numbers, 0.5);
const percentile = (numbers, part) => [...numbers].sort((one, other) => one - other)[Math.min(numbers.length - 1, Math.floor(numbers.length * part))];
const ms = (number) => `${number.toFixed(number < 10 ? 1 : 0)} ms`;

/** A page of the same bones and nothing else: what the browser and the machine take by themselves. */
const BARE = '<!doctype html><title>Bare</title><link rel="stylesheet" href="bare.css"><div id="panel" data-screen="bare">Bare</div>';

async function startBare() {
    const server = await listen((request, response) => {
        const isStyle = request.url.endsWith('.css');
        response.writeHead(200, { 'content-type': isStyle ? 'text/css' : 'text/html' }).end(isStyle ? '#panel { background: #eee }' : BARE);
    });
    return { url: `http://127.0.0.1:${server.port}/`, close: server.close };
}

/** Runs in the page before anything else: notes shifts and the moment at which the first screen is there. */
function observe() {
    window.seen = { shift: 0, screen: null };
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.seen.shift += entry.value))).observe({ type: 'layout-shift', buffered: true });
    const look = () => {
        const panel = document.querySelector('#panel[data-screen]');
        if (!panel) return requestAnimationFrame(look);
        window.seen.screen = performance.now();
    };
    requestAnimationFrame(look);
}

/** One load with an empty cache. */
async function load(browser, url) {
    const context = await browser.newContext();
    await context.addInitScript(observe);
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForFunction(() => window.seen.screen !== null);
    await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length > 0);
    const seen = await page.evaluate(() => {
        const resources = [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')];
        const paint = performance.getEntriesByType('paint').find((entry) => entry.name === 'first-paint');
        // What the API answers is not the page's own weight.
        const own = resources.filter((entry) => !/\/(connect\/session|integrations|providers\/[^/]*)$/.test(entry.name));
        return { ...window.seen, paint: paint.startTime, requests: resources.length, bytes: own.reduce((sum, entry) => sum + entry.encodedBodySize, 0) };
    });
    await context.close();
    return seen;
}

async function showLoads(browser, name, url) {
    await load(browser, url());
    const rounds = [];
    for (let round = 0; round < loads; round += 1) rounds.push(await load(browser, url()));
    const of = (what) => rounds.map((round) => round[what]);
    const { requests, bytes } = rounds[0];
    const shift = Math.max(...of('shift'));
    console.log(`| ${name} | ${ms(median(of('paint')))} | ${ms(percentile(of('paint'), 0.9))} | ${ms(median(of('screen')))} | ${requests} | ${(bytes / 1000).toFixed(1)} KB | ${shift.toFixed(3)} |`);
}

/** How long the frames took while `act` went on. */
async function framesDuring(page, act) {
    await page.evaluate(() => {
        window.frameTimes = [];
        let last = performance.now();
        const tick = (now) => {
            window.frameTimes.push(now - last);
            last = now;
            window.ticking = requestAnimationFrame(tick);
        };
        window.ticking = requestAnimationFrame(tick);
    });
    await act();
    return page.evaluate(() => {
        cancelAnimationFrame(window.ticking);
        // The first says when the clock was started.
        return window.frameTimes.slice(1);
    });
}

/** Turns the wheel for some seconds, as a hand does. */
async function scroll(page) {
    const box = await page.locator('.view').boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    for (let turn = 0; turn < 180; turn += 1) {
        await page.mouse.wheel(0, turn < 120 ? 240 : -360);
        await page.evaluate(() => new Promise(requestAnimationFrame));
    }
}

/** The same errands, with nothing moving. */
async function rest(page) {
    for (let turn = 0; turn < 180; turn += 1) {
        await page.mouse.move(turn % 2, 0);
        await page.evaluate(() => new Promise(requestAnimationFrame));
    }
}

function showFrames(name, frames) {
    const late = frames.filter((frame) => frame > 1000 / 60 + 4).length;
    console.log(`| ${name} | ${ms(median(frames))} | ${ms(percentile(frames, 0.95))} | ${ms(percentile(frames, 0.99))} | ${late} of ${frames.length} |`);
}

/** From the key to the frame that shows its effect. */
async function search(page) {
    const times = [];
    for (const letter of 'entry 42') {
        const time = await page.evaluate(async (key) => {
            const input = document.querySelector('[type=search]');
            const start = performance.now();
            input.value += key;
            input.dispatchEvent(new Event('input', { bubbles: true }));
            await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
            return performance.now() - start;
        }, letter);
        times.push(time);
    }
    return times;
}

async function showList(browser, url) {
    const page = await browser.newPage();
    await page.goto(url());
    await page.locator('.row').nth(entries - 1).waitFor({ state: 'attached' });
    console.log(`\n| list of ${entries} | median | 95th | 99th | late |\n| --- | --- | --- | --- | --- |`);
    showFrames('frame at rest, to compare', await framesDuring(page, () => rest(page)));
    showFrames('frame while scrolling', await framesDuring(page, () => scroll(page)));
    const keys = await search(page);
    await page.close();
    console.log(`| search, from a key to the next frame | ${ms(median(keys))} | ${ms(percentile(keys, 0.95))} | | |`);
}

async function main() {
    const world = await startWorld({ env: { LOG_LEVEL: 'warn', DEFAULT_RATE_LIMIT_PER_MIN: '1000000' } });
    try {
        const browser = world.keep(await startChromium());
        for (let index = 0; index < entries; index += 1) {
            await world.sdk.createIntegration({ provider: 'test-key', unique_key: `entry-${index}`, display_name: `Entry ${index}` });
        }
        const link = (token) => () => `${world.server.url}/connect-ui/?session_token=${token}`;
        const form = link(await sessionFor(world, 'entry-0'));
        const list = link(await sessionFor(world, 'entry-0', { allowed_integrations: [] }));
        console.log('| cold load | first paint, median | 90th | first screen, median | requests | weight | layout shift |\n| --- | --- | --- | --- | --- | --- | --- |');
        const bare = world.keep(await startBare());
        await showLoads(browser, 'a bare page, to compare', () => bare.url);
        await showLoads(browser, 'a form', form);
        await showLoads(browser, `a list of ${entries}`, list);
        await showList(browser, list);
    } finally {
        await world.close();
    }
}

await main();
