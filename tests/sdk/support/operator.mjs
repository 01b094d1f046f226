//! A server whose dashboard asks for one name and password, and who knows them.

import { openDashboard } from './dashboard.mjs';
import { startHitchpost } from './hitchpost.mjs';

export const operator = { username: 'ops', password: 'correct horse battery' };

/** Starts the server; `options` as for `startHitchpost`. */
export function startWithPassword({ env = {}, ...options } = {}) {
    const access = { FLAG_AUTH_ENABLED: 'false', NANGO_DASHBOARD_USERNAME: operator.username, NANGO_DASHBOARD_PASSWORD: operator.password };
    return startHitchpost({ ...options, env: { ...access, ...env } });
}

/** A visitor who knows name and password. */
export function openAsOperator(browser, server, options = {}) {
    return openDashboard(browser, server, { httpCredentials: operator, ...options });
}

/** Calls the API with the key of `dev`. */
export async function api(server, method, path, body) {
    const response = await fetch(server.url + path, {
        method,
        headers: { authorization: `Bearer ${server.secretKey}`, 'content-type': 'application/json' },
        body: body && JSON.stringify(body)
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
}

/** What a page would do if it took a name for markup. */
export const hostile = '"><img src=x onerror="window.broken=1"><script>window.broken=1</script>';
