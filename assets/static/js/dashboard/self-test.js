//! Asks the public address from this browser what the browsers of end users will ask it, and says in a sentence what is
//! wrong. Every check says how it ended; none throws.

const PATIENCE_MS = 8000;
const GREETING_MS = 5000;
const WORDS = { good: 'Works', bad: 'Does not work', warn: 'Look at it', calm: 'Testing' };

const section = document.querySelector('[data-self-test]');
if (section) offer(section);

function offer(section) {
    const button = section.querySelector('[data-run]');
    button.hidden = false;
    section.querySelector('[data-without-script]').remove();
    section.querySelector('[data-commands]').open = false;
    button.addEventListener('click', () => run(section, button));
}

async function run(section, button) {
    button.disabled = true;
    const checks = [...section.querySelectorAll('[data-check]')];
    for (const check of checks) tell(check, { state: 'calm', says: 'Testing.' });
    const outcomes = await Promise.all(
        checks.map(async (check) => {
            const outcome = await CHECKS[check.dataset.check](section.dataset);
            tell(check, outcome);
            return outcome;
        })
    );
    const failures = outcomes.filter(({ state }) => state === 'bad').length;
    const summary = section.querySelector('[data-summary]');
    summary.classList.remove('hidden');
    summary.textContent = failures === 0 ? 'The public address is reached as it must be.' : `${failures} of ${checks.length} checks found something to fix.`;
    if (outcomes.some(({ isProxy }) => isProxy)) section.querySelector('[data-proxy]').open = true;
    button.disabled = false;
}

function tell(check, { state, says }) {
    const badge = check.querySelector('.badge');
    badge.className = `badge ${state}`;
    badge.textContent = WORDS[state];
    check.querySelector('[data-says]').textContent = says;
}

const good = (says) => ({ state: 'good', says });
/** `isProxy`: the configuration of the reverse proxy would help. */
const bad = (says, isProxy = false) => ({ state: 'bad', says, isProxy });
const isOwn = (url) => new URL(url).origin === location.origin;

const CHECKS = {
    async callback({ callback }) {
        const asked = await ask(callback);
        if (asked.problem) return bad(asked.problem);
        const { response, text } = asked;
        if (response.redirected) return bad(`${callback} is redirected to ${response.url}. Set NANGO_SERVER_URL to the address after the redirect: providers compare addresses letter by letter.`);
        if (text.includes('state_err')) return good('It answers. Providers can send browsers back to it.');
        if (response.status === 401 || response.status === 403) return bad(`Something in front of this server answers ${response.status}. Let /oauth/ through without a password: providers send the browsers of your users there.`, true);
        return bad(`Something else than this server answers, with status ${response.status}. Let the reverse proxy pass every path below ${new URL(callback).origin} on to this server.`, true);
    },

    async cors({ server }) {
        return isOwn(server) ? ownCors(server) : foreignCors(server);
    },

    async websocket({ websocket }) {
        const { greeting, isOpen } = await greetingOf(websocket);
        if (greeting) return good('It opens, and this server greets. Popups can report how they ended.');
        if (isOpen) return bad('It opens, but nothing is heard. The reverse proxy holds the answer back: switch buffering off for websockets.', true);
        if (location.protocol === 'https:' && websocket.startsWith('ws:')) return bad('This page came over https, so the browser refuses a websocket without TLS. Set NANGO_SERVER_URL to the https address.');
        return bad(`Your reverse proxy does not pass on the Upgrade headers for ${new URL(websocket).pathname}. Sign-ins end at the provider, and the page that waits never hears of it.`, true);
    },

    async connect({ connect }) {
        const asked = await ask(connect, isOwn(connect) ? {} : { mode: 'no-cors' });
        if (asked.problem) return bad(`${asked.problem} NANGO_PUBLIC_CONNECT_URL says where the Connect UI is.`);
        if (isOwn(connect) && !asked.response.ok) return bad(`${connect} answers with status ${asked.response.status}. Let the reverse proxy pass /connect-ui/ on, with the slash at the end.`, true);
        return good('It answers.');
    }
};

/** Of one's own origin the headers can be read, even where a browser would refuse another page. */
async function ownCors(server) {
    const asked = await ask(`${server}/health`);
    if (asked.problem) return bad(asked.problem);
    const origin = asked.response.headers.get('access-control-allow-origin');
    if (origin === null) return bad('The header Access-Control-Allow-Origin is missing in answers. Something in front removes it, or answers itself.', true);
    if (origin !== '*') return bad(`Access-Control-Allow-Origin is "${origin}", where this server says "*" once. Do not add CORS headers in the reverse proxy: this server does.`, true);
    const preflight = await ask(`${server}/connections`, { method: 'OPTIONS' });
    if (preflight.problem) return bad(preflight.problem);
    const allowed = preflight.response.headers.get('access-control-allow-headers') ?? '';
    if (!/\bauthorization\b/i.test(allowed)) return bad(`The answer to OPTIONS (status ${preflight.response.status}) does not allow the header Authorization. Let the reverse proxy pass OPTIONS on to this server.`, true);
    return good('Answers allow every origin, once, and the headers that the SDK sends.');
}

/** The browser itself compares: a header that needs leave makes it ask first. */
async function foreignCors(server) {
    const asked = await ask(`${server}/connections`, { headers: { authorization: 'Bearer self-test' } });
    if (asked.problem) return bad(`The browser was not allowed to read an answer, or got none. ${asked.problem} Do not add CORS headers in the reverse proxy, and let it pass OPTIONS on.`, true);
    if (asked.response.status !== 401) return bad(`Something else than this server answers, with status ${asked.response.status}.`, true);
    return good('A page of another origin, this one, was allowed to call and to read the answer.');
}

/** An answer with its text, or why there is none. */
async function ask(url, options = {}) {
    if (location.protocol === 'https:' && url.startsWith('http:') && !isOwn(url)) {
        return { problem: `This page came over https, so the browser asks nothing of ${url}. Set NANGO_SERVER_URL to the https address.` };
    }
    try {
        const response = await fetch(url, { cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(PATIENCE_MS), ...options });
        return { response, text: await response.text() };
    } catch (error) {
        const why = error.name === 'TimeoutError' ? 'does not answer in time' : 'cannot be reached from this browser';
        return { problem: `${new URL(url).origin} ${why}. Check the name, the port, the certificate and the firewall, and that NANGO_SERVER_URL is the address that browsers use.` };
    }
}

function greetingOf(url) {
    return new Promise((resolve) => {
        let socket;
        let isOpen = false;
        const end = (greeting) => {
            clearTimeout(timer);
            socket?.close();
            resolve({ greeting, isOpen });
        };
        const timer = setTimeout(end, GREETING_MS, false);
        try {
            socket = new WebSocket(url);
        } catch {
            end(false);
            return;
        }
        socket.onopen = () => (isOpen = true);
        socket.onerror = () => end(false);
        socket.onclose = () => end(false);
        socket.onmessage = ({ data }) => end(String(data).includes('connection_ack'));
    });
}
