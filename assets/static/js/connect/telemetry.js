//! What people do here, told to this server only: it is added to the log of their session.

export class Telemetry {
    #url = null;
    #token = null;

    /** Nothing is sent before this, nor in a preview. */
    start(options, token) {
        const isHeard = options.mayReport && !options.isPreview && typeof navigator.sendBeacon === 'function';
        this.#url = isHeard ? new URL('connect/telemetry', options.api).href : null;
        this.#token = token;
    }

    report(event, integration) {
        if (!this.#url || !this.#token) return;
        const report = { token: this.#token, event, timestamp: new Date().toISOString() };
        if (integration) report.dimensions = { integration };
        navigator.sendBeacon(this.#url, new Blob([JSON.stringify(report)], { type: 'application/json' }));
    }
}
