//! The websocket the frontend SDK opens, as a raw client.

import WebSocket from 'ws';
import { within } from './until.mjs';

/** Connects and waits for the handshake; `wsClientId` is what the popup's address must carry. */
export async function openSocket(url) {
    const socket = new ResultSocket(url);
    const hello = await within('the websocket handshake', socket.next());
    if (hello.message_type !== 'connection_ack') throw new Error(`unexpected first frame: ${JSON.stringify(hello)}`);
    socket.wsClientId = hello.ws_client_id;
    return socket;
}

class ResultSocket {
    #socket;
    #frames = [];
    #waiting = [];

    constructor(url) {
        this.#socket = new WebSocket(url.replace(/^http/, 'ws'));
        this.#socket.on('message', (data) => this.#arrived({ frame: JSON.parse(data.toString()) }));
        this.#socket.on('error', (error) => this.#arrived({ error }));
        this.#socket.on('close', () => this.#arrived({ error: new Error('the websocket was closed') }));
    }

    #arrived(event) {
        const waiter = this.#waiting.shift();
        if (waiter) waiter(event);
        else this.#frames.push(event);
    }

    async next() {
        const event = this.#frames.shift() ?? (await new Promise((resolve) => this.#waiting.push(resolve)));
        if (event.error) throw event.error;
        return event.frame;
    }

    /** The `success` or `error` frame of the sign-in. */
    outcome(deadlineMs = 15_000) {
        return within('the outcome of the sign-in on the websocket', this.next(), deadlineMs);
    }

    /** Says goodbye as browsers do; resolves with the code of the server's answer, 1006 when it gave none. */
    sayGoodbye() {
        const closed = new Promise((resolve) => this.#socket.once('close', resolve));
        this.#socket.close(1000);
        return within('the websocket to close', closed);
    }

    close() {
        this.#socket.terminate();
    }
}
