//! The window in which people sign in at the provider, and the socket that tells how it ended.

const WIDTH = 500;
const HEIGHT = 640;
const LOOK_EVERY_MS = 500;
const GREETING_MS = 15_000;
/** The outcome may be on its way when the window closes. */
const LAST_WORDS_MS = 1_500;
const PATIENCE_MS = 30 * 60 * 1000;
/** The socket knows more than the window's own message: it may catch up. */
const SOCKET_FIRST_MS = 600;

/** A sign-in that failed; `type` is one of the protocol's words. */
export class SignInFailure extends Error {
    constructor(type, message = '') {
        super(message);
        this.type = type;
    }
}

/**
 * Opens the window. Must be called straight from a click, or browsers block it.
 * Null when it was blocked.
 */
export function openWindow(title) {
    const left = Math.max(0, Math.round(window.screenX + (window.outerWidth - WIDTH) / 2));
    const top = Math.max(0, Math.round(window.screenY + (window.outerHeight - HEIGHT) / 2));
    const popup = window.open('', '_blank', `popup,width=${WIDTH},height=${HEIGHT},left=${left},top=${top}`);
    if (!popup || popup.closed) return null;
    greet(popup, title);
    return popup;
}

/** Something to look at until the provider's page is there. */
function greet(popup, title) {
    try {
        popup.document.title = title;
        const text = popup.document.createElement('p');
        text.textContent = title;
        Object.assign(text.style, { font: '16px system-ui, sans-serif', textAlign: 'center', marginTop: '40vh', color: '#6b7280' });
        popup.document.body.append(text);
    } catch {
        // It is only a courtesy.
    }
}

export class SignIn {
    #popup;
    #socket;
    #settle;
    #timers = [];
    #onclosed;
    #isOver = false;

    /** `onclosed` hears that the window seems to be gone, which some providers' pages feign. */
    constructor(popup, { socketUrl, address, apiOrigin, detectsClosed, onclosed }) {
        this.#popup = popup;
        this.#onclosed = onclosed;
        this.outcome = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
        this.#listen(apiOrigin);
        this.#openSocket(socketUrl, address);
        this.#watch(detectsClosed);
        this.#after(PATIENCE_MS, () => this.fail('timeout'));
    }

    focus() {
        this.#popup.focus();
    }

    get isClosed() {
        return this.#popup.closed;
    }

    /** Gives up. The promise stays open: nobody waits for it any more. */
    abandon() {
        this.#end();
        this.#popup.close();
    }

    fail(type, message) {
        if (this.#end()) this.#settle.reject(new SignInFailure(type, message));
    }

    #succeed(result) {
        if (this.#end()) this.#settle.resolve(result);
    }

    /** Whether this was the first end. */
    #end() {
        if (this.#isOver) return false;
        this.#isOver = true;
        this.#timers.forEach((timer) => clearTimeout(timer));
        window.removeEventListener('message', this.#hear);
        this.#socket?.close();
        // The window's own page closes it too, when it still can.
        setTimeout(() => this.#popup.close(), LOOK_EVERY_MS);
        return true;
    }

    #after(milliseconds, action) {
        const timer = setTimeout(action, milliseconds);
        this.#timers.push(timer);
    }

    #openSocket(url, address) {
        const socket = new WebSocket(url);
        this.#socket = socket;
        this.#after(GREETING_MS, () => !socket.greeted && this.fail('no_answer'));
        socket.addEventListener('message', (event) => this.#read(parse(event.data), address));
        socket.addEventListener('close', () => {
            if (!socket.greeted) this.fail('no_answer');
            // Later on, the window may still tell the end itself.
            socket.isLost = true;
        });
    }

    #read(frame, address) {
        if (frame.message_type === 'connection_ack') {
            this.#socket.greeted = true;
            address.searchParams.set('ws_client_id', frame.ws_client_id);
            if (!this.#popup.closed) this.#popup.location.replace(address);
        }
        if (frame.message_type === 'success') {
            this.#succeed({ providerConfigKey: frame.provider_config_key, connectionId: frame.connection_id, isPending: frame.is_pending === true });
        }
        if (frame.message_type === 'error') this.fail(frame.error_type || 'unknown_error', frame.error_desc);
    }

    #listen(apiOrigin) {
        this.#hear = (event) => {
            const type = event.data?.type;
            if (event.origin !== apiOrigin || event.source !== this.#popup) return;
            if (type !== 'nango_oauth_callback_success' && type !== 'nango_oauth_callback_error') return;
            event.source.postMessage({ type: 'nango_oauth_callback_ack' }, event.origin);
            const { message, errorType } = event.data.payload ?? {};
            this.#after(SOCKET_FIRST_MS, () => {
                if (type === 'nango_oauth_callback_success') this.#succeed({ isPending: false });
                else this.fail(errorType ?? 'connection_validation_failed', message);
            });
        };
        window.addEventListener('message', this.#hear);
    }

    #hear = () => {};

    #watch(detectsClosed) {
        const look = () => {
            if (!this.#popup.closed) return this.#after(LOOK_EVERY_MS, look);
            this.#after(LAST_WORDS_MS, () => {
                if (detectsClosed || this.#socket.isLost) this.fail('window_closed');
                else this.#onclosed();
            });
        };
        this.#after(LOOK_EVERY_MS, look);
    }
}

function parse(text) {
    try {
        return JSON.parse(text) ?? {};
    } catch {
        return {};
    }
}
