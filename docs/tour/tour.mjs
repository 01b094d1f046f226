// Five minutes with Hitchpost and the published Node SDK. Run it next to a started server:
//   npm install @nangohq/node && node docs/tour/tour.mjs
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { Nango } from '@nangohq/node';

// A third-party API that only answers to its key.
const api = createServer((request, response) => {
    const allowed = request.headers.authorization === 'Bearer tour-key';
    response.writeHead(allowed ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify(allowed ? { hello: 'Ada', path: request.url } : { error: 'wrong key' }));
}).listen(4001, '127.0.0.1');

const host = process.env.NANGO_SERVER_URL ?? 'http://localhost:3003';
const keys = readFileSync(`${process.env.HITCHPOST_DATA_DIR ?? 'hitchpost-data'}/api-keys.env`, 'utf8');
const secretKey = process.env.NANGO_SECRET_KEY_DEV ?? keys.match(/NANGO_SECRET_KEY_DEV=(\S+)/)[1];
const nango = new Nango({ host, secretKey });

// 1. An integration: which provider your product talks to.
const { configs } = await nango.listIntegrations();
if (!configs.some((integration) => integration.unique_key === 'tour')) {
    await nango.createIntegration({ provider: 'tour-api', unique_key: 'tour' });
}

// 2. Your backend opens a session for one of your users ...
const { data: session } = await nango.createConnectSession({
    end_user: { id: 'user-1', email: 'ada@example.com' },
    allowed_integrations: ['tour']
});

// 3. ... and the browser connects with it. There, @nangohq/frontend does this call.
const connect = await fetch(`${host}/api-auth/api-key/tour?connect_session_token=${session.token}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ apiKey: 'tour-key' })
});
const { connectionId } = await connect.json();
console.log('connected as', connectionId);

// 4. Read the connection ...
const connection = await nango.getConnection('tour', connectionId);
console.log('stored for', connection.end_user.id, 'with credentials of type', connection.credentials.type);

// 5. ... and call the API. Your code never touches the key.
const answer = await nango.get({ endpoint: '/contacts?limit=1', providerConfigKey: 'tour', connectionId });
console.log(answer.status, answer.data);

await nango.deleteConnection('tour', connectionId);
api.close();
