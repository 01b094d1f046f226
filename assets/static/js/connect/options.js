//! What the address of the page says, and where the API is.

const TOKEN = /^nango_connect_session_[0-9a-f]{64}$/;
const THEMES = ['light', 'dark', 'system'];

/** Reads the address and the document's own settings. */
export function readOptions() {
    const query = new URLSearchParams(location.search);
    const meta = document.querySelector('meta[name="hitchpost-api"]');
    const { server, trusted } = meta.dataset;
    const own = ownApi(meta.content, server);
    const asked = query.get('apiURL');
    const allowed = [own, server, ...trusted.split(' ').filter(Boolean)].map(originOf);
    const isForeign = Boolean(asked) && !allowed.includes(originOf(asked));
    return {
        api: asked && !isForeign ? base(asked) : own,
        // Named in the details of a failure: it is the usual reason for "unknown session".
        ignoredApi: isForeign ? asked : null,
        // Beacons are accepted from these origins only.
        mayReport: [originOf(own), originOf(meta.dataset.public)].includes(location.origin),
        token: query.get('session_token') ?? query.get('sessionToken'),
        lang: query.get('lang'),
        theme: THEMES.includes(query.get('theme')) ? query.get('theme') : null,
        detectsClosed: query.get('detectClosedAuthWindow') === 'true',
        isEmbedded: query.get('embedded') === 'true',
        isPreview: query.get('preview') === 'true',
        isFramed: window.parent !== window
    };
}

/** Whether a text has the form of a connect session token. */
export function isToken(text) {
    return typeof text === 'string' && TOKEN.test(text);
}

/** Below the API the document is at `<api>/connect-ui/`, whatever a reverse proxy put in front of it. */
function ownApi(content, server) {
    const isBelow = content === '../' && location.pathname.endsWith('/connect-ui/');
    return base(isBelow ? new URL('../', location.href).href : content === '../' ? server : content);
}

/** Without query and fragment, with a slash at the end. */
function base(text) {
    const url = new URL(text);
    url.search = '';
    url.hash = '';
    if (!url.pathname.endsWith('/')) url.pathname += '/';
    return url.href;
}

function originOf(text) {
    try {
        return new URL(text).origin;
    } catch {
        return null;
    }
}
