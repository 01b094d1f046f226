//! The customer's web page: another origin, loading the published frontend SDK as it comes from npm.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listen } from './http.mjs';

const sdkFolder = dirname(fileURLToPath(import.meta.resolve('@nangohq/frontend')));

const page = `<!doctype html><meta charset="utf-8"><title>A customer's page</title><link rel="icon" href="data:,">
<h1>A customer's page</h1><button id="connect">Connect</button> <button id="open-connect-ui">Open the Connect UI</button>
<script type="module">
import Nango from '/sdk/index.js';
// The test sets window.job = {host, token, call, arguments} and clicks; the outcome is left in window.outcome.
document.querySelector('#connect').addEventListener('click', () => {
    const { host, token, call, arguments: args } = window.job;
    window.outcome = undefined;
    const nango = new Nango({ host, connectSessionToken: token });
    nango[call](...args).then(
        (success) => { window.outcome = { success }; },
        (error) => { window.outcome = { error: { type: error.type, message: error.message, name: error.name } }; }
    );
});
// Here the test sets window.job = {token, options}; what the Connect UI says is left in window.events.
document.querySelector('#open-connect-ui').addEventListener('click', () => {
    const { token, options } = window.job;
    window.events = [];
    window.connectUI = new Nango({ connectSessionToken: token }).openConnectUI({ ...options, onEvent: (event) => window.events.push(event) });
});
window.sdkLoaded = true;
</script>`;

export async function startHostPage() {
    const server = await listen(async (request, response) => {
        const path = new URL(request.url, 'http://host').pathname;
        if (path === '/') return void response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
        const name = /^\/sdk\/([A-Za-z]+\.js)$/.exec(path)?.[1];
        if (!name) return void response.writeHead(404).end();
        response.writeHead(200, { 'content-type': 'text/javascript' }).end(await readFile(join(sdkFolder, name)));
    });
    return { url: `http://localhost:${server.port}/`, close: server.close };
}
