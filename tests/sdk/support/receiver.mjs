//! A customer's backend for webhooks: it checks every signature with the published SDK, can be told to fail or to hang, and can
//! be killed and come back on its port.

import { createServer } from 'node:http';
import { Nango } from '@nangohq/node';
import { readBody } from './http.mjs';

export async function startReceiver() {
    const receiver = new Receiver();
    await receiver.open();
    return receiver;
}

class Receiver {
    #server;
    #verifier;

    constructor() {
        this.port = 0;
        /** Every webhook that was answered with 200: `{headers, text, body, isSigned, isSignedTheOldWay}`. */
        this.taken = [];
        /** How many came, whatever they were answered. */
        this.arrivals = 0;
        this.status = 200;
        /** While true, nothing is answered. */
        this.hangs = false;
    }

    get url() {
        return `http://127.0.0.1:${this.port}/webhooks`;
    }

    /** From now on signatures are checked with this key. */
    checkWith(webhookSigningKey) {
        this.#verifier = new Nango({ host: 'http://127.0.0.1:1', secretKey: webhookSigningKey, webhookSigningKey });
    }

    async open() {
        this.#server = createServer((request, response) => this.#answer(request, response));
        await new Promise((resolve, reject) => this.#server.once('error', reject).listen(this.port, '127.0.0.1', resolve));
        this.port = this.#server.address().port;
    }

    async #answer(request, response) {
        const text = (await readBody(request)).toString();
        this.arrivals += 1;
        if (this.hangs) return;
        response.writeHead(this.status).end();
        if (this.status !== 200) return;
        const body = JSON.parse(text);
        this.taken.push({
            headers: request.headers,
            text,
            body,
            isSigned: this.#verifier.verifyIncomingWebhookRequest(text, request.headers),
            isSignedTheOldWay: this.#verifier.verifyWebhookSignature(request.headers['x-nango-signature'], body)
        });
    }

    /** Cuts every connection and refuses new ones, as a killed process does. */
    async close() {
        const closed = new Promise((resolve) => this.#server.close(resolve));
        this.#server.closeAllConnections();
        await closed;
    }
}
