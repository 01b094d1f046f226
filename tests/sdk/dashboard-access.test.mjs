//! Getting into the dashboard in a real browser: the first account, logging in, the team, the second factor, single sign-on.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { startChromium } from './support/browser.mjs';
import { openDashboard, password, setupLink } from './support/dashboard.mjs';
import { startHitchpost } from './support/hitchpost.mjs';
import { freePort } from './support/http.mjs';
import { startOidc } from './support/oidc.mjs';
import { needs, noChromium } from './support/require.mjs';
import { after, afterEach, before, describe, test } from './support/test.mjs';

const email = 'ada@acme.test';

let browser;
let visitor;

before(async () => {
    if (!noChromium) browser = await startChromium();
});
after(() => browser?.close());
afterEach(async () => {
    const leaving = visitor;
    visitor = null;
    await leaving?.close();
});

describe('accounts', needs(noChromium), () => {
    let server;
    before(async () => (server = await startHitchpost()));
    after(() => server?.stop());

    const open = async (options) => (visitor = await openDashboard(browser, server, options));
    const logIn = async (dashboard) => {
        await dashboard.go('/login');
        await dashboard.submit({ email, password }, 'Log in');
    };

    test('the printed link makes the first account, once, without scripts', async () => {
        const link = setupLink(server);
        const dashboard = await open({ javaScriptEnabled: false });
        await dashboard.go('/');
        assert.equal(dashboard.path(), '/login');
        assert.match(await dashboard.text(), /Nobody has an account yet/);
        await dashboard.go(link);
        await dashboard.submit({ name: 'Ada Lovelace', email, password: 'password1234' }, 'Make the account');
        assert.match(await dashboard.text(), /anybody would try/);
        await dashboard.submit({ password }, 'Make the account');
        assert.equal(dashboard.path(), '/env/dev');
        const again = await dashboard.go(link);
        assert.equal(again.status(), 404);
        const log = server.log.split('\n').filter((line) => line.startsWith('{'));
        const token = link.split('/').at(-1);
        assert.ok(log.some((line) => line.includes('/setup/')) && !log.some((line) => line.includes(token)), 'the link is printed, and what it opens is logged without it');
    });

    test('without scripts: log in, make an environment and a key, choose a theme, log out', async () => {
        const dashboard = await open({ javaScriptEnabled: false });
        await logIn(dashboard);
        await dashboard.go('/settings/environments');
        await dashboard.submit({ name: 'staging' }, 'Create environment');
        assert.match(await dashboard.text(), /Environment staging created/);
        await dashboard.go('/env/staging/api-keys');
        await dashboard.submit({ name: '<img src=x onerror=alert(1)>' }, 'Create key');
        assert.match(await dashboard.text(), /Copy it now/);
        const secret = await dashboard.page.locator('.flash code').innerText();
        const answer = await fetch(`${server.url}/connections`, { headers: { authorization: `Bearer ${secret}` } });
        assert.equal(answer.status, 200);
        await dashboard.page.getByText('Revoke', { exact: true }).first().click();
        await dashboard.page.getByRole('button', { name: 'Dark' }).click();
        assert.equal(await dashboard.page.locator('html').getAttribute('data-theme'), 'dark');
        assert.equal(dashboard.path(), '/env/staging/api-keys');
        await dashboard.page.getByRole('button', { name: 'System' }).click();
        await dashboard.page.getByRole('button', { name: 'Log out' }).first().click();
        assert.equal(dashboard.path(), '/login');
    });

    test('every page is accessible in both themes and fits a phone', async () => {
        const dashboard = await open();
        await dashboard.go('/login');
        await dashboard.inspect('login');
        await dashboard.go('/login/forgotten');
        await dashboard.inspect('forgotten');
        await dashboard.go('/setup/nonsense');
        await dashboard.inspect('dead-link');
        await logIn(dashboard);
        for (const [name, path] of [
            ['overview', '/env/dev'],
            ['api-keys', '/env/dev/api-keys'],
            ['environments', '/settings/environments'],
            ['environment', '/settings/environments/staging'],
            ['team', '/settings/team'],
            ['profile', '/me'],
            ['not-found', '/settings/environments/nope']
        ]) {
            await dashboard.go(path);
            await dashboard.inspect(name);
        }
    });

    test('the keyboard reaches everything', async () => {
        const dashboard = await open();
        await logIn(dashboard);
        const { page } = dashboard;
        await page.keyboard.press('g');
        await Promise.all([page.waitForURL('**/env/dev/api-keys'), page.keyboard.press('k')]);
        await page.keyboard.press('?');
        assert.ok(await page.locator('#help').isVisible());
        await page.keyboard.press('Escape');
        assert.ok(!(await page.locator('#help').isVisible()));
        const revoke = page.locator('summary', { hasText: 'Revoke' }).first();
        await revoke.focus();
        await page.keyboard.press('Enter');
        assert.ok(await page.getByRole('button', { name: /^Revoke / }).first().isVisible());
        await page.keyboard.press('Escape');
        assert.ok(!(await page.getByRole('button', { name: /^Revoke / }).first().isVisible()));
        await page.locator('input[name="name"]').focus();
        await page.keyboard.type('g?k/');
        assert.equal(await page.locator('input[name="name"]').inputValue(), 'g?k/', 'typing is typing');
    });

    test('somebody who is invited joins in their role', async () => {
        const dashboard = await open();
        await logIn(dashboard);
        await dashboard.go('/settings/team');
        await dashboard.page.getByLabel('Production support').last().check();
        await dashboard.submit({ email: 'bob@acme.test' }, 'Invite');
        await dashboard.inspect('team-invited');
        const link = await dashboard.page.locator('.flash code').innerText();
        const guest = await openDashboard(browser, server);
        await guest.go(link);
        await guest.inspect('invitation');
        await guest.submit({ name: 'Bob', password }, 'Make the account');
        assert.equal((await guest.go('/env/prod')).status(), 200);
        assert.equal((await guest.go('/env/prod/api-keys')).status(), 403);
        await guest.inspect('forbidden');
        await guest.close();
    });

    test('a second factor is scanned, confirmed and asked for', async () => {
        const dashboard = await open();
        await logIn(dashboard);
        await dashboard.go('/me');
        await dashboard.submit({}, 'Set up an authenticator');
        await dashboard.inspect('second-factor');
        const secret = await dashboard.page.locator('#second-factor ~ p code, section[aria-labelledby="second-factor"] code').first().innerText();
        await dashboard.submit({ code: codeOf(secret, 0) }, 'Turn it on');
        await dashboard.inspect('recovery-codes');
        const recovery = (await dashboard.page.locator('.flash code').innerText()).split(' ');
        assert.equal(recovery.length, 10);
        const phone = await openDashboard(browser, server);
        await logIn(phone);
        assert.equal(phone.path(), '/login/code');
        await phone.inspect('login-code');
        await phone.submit({ code: recovery[0] }, 'Log in');
        assert.equal(phone.path(), '/env/dev');
        await phone.close();
    });
});

describe('single sign-on', needs(noChromium), () => {
    let server;
    let oidc;
    before(async () => {
        const port = await freePort();
        oidc = await startOidc({ redirectUris: [`http://127.0.0.1:${port}/login/oidc/callback`], dashboard: true });
        server = await startHitchpost({
            port,
            env: {
                HITCHPOST_OIDC_ISSUER: oidc.issuer,
                HITCHPOST_OIDC_CLIENT_ID: `${oidc.client.id}-basic`,
                HITCHPOST_OIDC_CLIENT_SECRET: oidc.client.secret,
                HITCHPOST_OIDC_SCOPES: 'groups',
                HITCHPOST_OIDC_ROLES: 'support=production_support',
                HITCHPOST_OIDC_ONLY: 'true',
                DEFAULT_USER_ROLE: 'development_full_access'
            }
        });
    });
    after(async () => {
        await server?.stop();
        await oidc?.close();
    });

    async function signOn(login) {
        visitor = await openDashboard(browser, server);
        const { page } = visitor;
        await visitor.go('/env/dev');
        await page.getByRole('link', { name: 'Continue with single sign-on' }).click();
        await page.locator('input[name="login"]').fill(login);
        await page.locator('#allow').click();
        await page.locator('#allow').click();
        await page.waitForURL(`${server.url}/**`);
        return visitor;
    }

    test('the first who comes is administrator, the others have the role of their group', async () => {
        const ada = await signOn('ada');
        assert.equal(ada.path(), '/env/dev');
        await ada.go('/me');
        assert.match(await ada.text(), /Administrator/);
        await ada.close();
        const sue = await signOn('support-sue');
        await sue.go('/me');
        assert.match(await sue.text(), /Production support/);
        await sue.close();
        const dev = await signOn('dev');
        await dev.go('/me');
        assert.match(await dev.text(), /Development, full access/);
    });

    test('an address that nobody verified opens nothing', async () => {
        const mallory = await signOn('unverified');
        assert.equal(mallory.path(), '/login');
        assert.match(await mallory.text(), /does not say that your e-mail address is verified/);
        await mallory.inspect('single-sign-on-refused');
    });

    test('an answer that another browser asked for is refused', async () => {
        visitor = await openDashboard(browser, server);
        await visitor.go('/login/oidc/callback?code=x&state=y');
        assert.match(await visitor.text(), /begun in another browser/);
    });

    test('passwords are not taken', async () => {
        for (const path of ['/login/forgotten', '/setup/x', '/invitation/x', '/reset/x']) {
            assert.equal((await fetch(server.url + path)).status, 404, path);
        }
        const answer = await fetch(`${server.url}/login`, { method: 'POST', body: new URLSearchParams({ email, password }) });
        assert.equal(answer.status, 404);
    });
});

/** The code of an authenticator (RFC 6238), some steps away from now. */
function codeOf(secret, steps) {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    const bits = [...secret.replace(/=+$/, '')].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, '0')).join('');
    const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
    const digest = createHmac('sha1', key).update(counter).digest();
    const offset = digest.at(-1) & 15;
    return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}
