//! Signs in without a browser: follows redirects with cookies, fills in the provider's forms, delivers the callback.
//! For tests about the server's state, where a browser would only add noise.

/** Cookies of one sign-in, kept per host name as browsers do (ports share them). */
class CookieJar {
    #cookies = new Map();

    keep(url, response) {
        for (const line of response.headers.getSetCookie()) {
            const [pair] = line.split(';');
            const at = pair.indexOf('=');
            const name = `${url.hostname} ${pair.slice(0, at)}`;
            if (/expires=Thu, 01 Jan 1970|max-age=0/i.test(line)) this.#cookies.delete(name);
            else this.#cookies.set(name, pair);
        }
    }

    headerFor(url) {
        const mine = [...this.#cookies].filter(([name]) => name.startsWith(`${url.hostname} `)).map(([, pair]) => pair);
        return mine.length > 0 ? { cookie: mine.join('; ') } : {};
    }
}

/** The address the frontend SDK would send the popup to. */
export function connectUrl(server, { key, token, wsClientId, base = server.url }) {
    const url = new URL(`${base}/oauth/connect/${key}`);
    url.searchParams.set('connect_session_token', token);
    if (wsClientId) url.searchParams.set('ws_client_id', wsClientId);
    return url;
}

/**
 * Walks the whole sign-in and returns the answer of the callback: `{status, html, url}`.
 * `answer` is the button pressed on the provider's pages: 'allow' or 'refuse'.
 */
export async function signInByHand(server, { answer = 'allow', ...session }) {
    const jar = new CookieJar();
    let url = connectUrl(server, session);
    let init = {};
    for (let hop = 0; hop < 20; hop += 1) {
        const response = await fetch(url, { ...init, redirect: 'manual', headers: { ...jar.headerFor(url), ...init.headers, accept: 'text/html' } });
        jar.keep(url, response);
        init = {};
        const location = response.headers.get('location');
        if (location) {
            url = new URL(location, url);
            continue;
        }
        const html = await response.text();
        if (!html.includes('name="answer"')) return { status: response.status, html, url };
        init = { method: 'POST', body: new URLSearchParams({ answer, login: 'ada' }) };
    }
    throw new Error('the sign-in went in circles');
}
