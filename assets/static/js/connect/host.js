//! The page that shows this one in an iframe: what is told to it, and what is taken from it.

export class Host {
    /** The origin of the page around this one, once it has spoken. */
    #origin = null;
    #options;

    /** `onToken` and `onSettings` hear what the page around this one says. */
    constructor(options, { onToken, onSettings }) {
        this.#options = options;
        window.addEventListener('message', (event) => {
            // Any window that knows this one can post here: only the page around it is heard, and only from one origin.
            if (!options.isFramed || event.source !== window.parent) return;
            const { data, origin } = event;
            if (typeof data !== 'object' || data === null || (this.#origin !== null && origin !== this.#origin)) return;
            if (data.type === 'session_token' && typeof data.sessionToken === 'string') {
                this.#origin = origin;
                onToken(data.sessionToken);
            }
            if (data.type === 'settings_changed' && options.isPreview && typeof data.payload === 'object' && data.payload !== null) {
                this.#origin = origin;
                onSettings(data.payload);
            }
        });
    }

    /** This page listens; its session may be sent. */
    ready() {
        this.#post({ type: 'ready' });
    }

    connected(result) {
        this.#post({ type: 'connect', payload: result });
    }

    failed(errorType, errorMessage) {
        this.#post({ type: 'error', payload: { errorType, errorMessage } });
    }

    close() {
        this.#post({ type: 'close' });
    }

    #post(message) {
        if (!this.#options.isFramed || (this.#options.isPreview && message.type !== 'ready')) return;
        // A sandboxed page has the origin "null", which cannot be addressed.
        const target = this.#origin && this.#origin !== 'null' ? this.#origin : '*';
        window.parent.postMessage(message, target);
    }
}
