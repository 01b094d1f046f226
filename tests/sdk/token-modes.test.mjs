//! The published frontend SDK connects by every mode whose tokens are not OAuth's; the tokens and assertions that are signed
//! here are verified by other libraries (jose, xml-crypto).

import assert from 'node:assert/strict';
import { createHash, createHmac, generateKeyPairSync } from 'node:crypto';
import Nango from '@nangohq/frontend';
import { DOMParser } from '@xmldom/xmldom';
import { importSPKI, jwtVerify } from 'jose';
import { SignedXml } from 'xml-crypto';
import { startHitchpost } from './support/hitchpost.mjs';
import { listen, readBody, sendJson } from './support/http.mjs';
import { after, before, describe, test } from './support/test.mjs';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');
const pem = (key, type = 'pkcs8') => key.privateKey.export({ type, format: 'pem' });
const publicPem = (key) => key.publicKey.export({ type: 'spki', format: 'pem' });

/** Answers logins and remembers every request. */
class Provider {
    requests = [];
    answers = {};

    async start() {
        const server = await listen(async (request, response) => {
            const seen = { method: request.method, url: request.url, headers: request.headers, body: (await readBody(request)).toString() };
            this.requests.push(seen);
            const [status, body] = (await this.answers[new URL(request.url, 'http://p').pathname]?.(seen)) ?? [200, {}];
            sendJson(response, status, body);
        });
        this.url = `http://127.0.0.1:${server.port}`;
        this.close = server.close;
    }

    get last() {
        return this.requests.at(-1);
    }
}

const text = { type: 'string', title: 'Field', description: 'A field' };

function catalog(url) {
    const docs = 'https://docs.example.test/modes';
    const jwt = (alg, protocol, header = {}) => ({
        display_name: `JWT ${alg}`,
        docs,
        auth_mode: 'JWT',
        signature: { protocol },
        token: {
            signing_key: '${credentials.privateKey}',
            expires_in_ms: 900_000,
            header: { alg, kid: '${credentials.privateKeyId}', ...header },
            payload: { iss: '${credentials.issuerId}', aud: 'acme', scope: ['${credentials.scope}'] }
        },
        proxy: { base_url: url, verification: { endpoints: [`/verify`] } },
        credentials: { privateKeyId: text, issuerId: text, privateKey: { ...text, secret: true }, scope: { ...text, optional: true } }
    });
    return {
        'two-step': {
            display_name: 'Two step',
            docs,
            auth_mode: 'TWO_STEP',
            token_url: `${url}/\${connectionConfig.tenant}/login`,
            token_params: { user: '${credentials.username}', secret: '${credentials.password}' },
            token_response: { token: 'session.id', token_expiration: 'session.ttl', token_expiration_strategy: 'expireIn' },
            proxy: { base_url: url },
            credentials: { username: text, password: { ...text, secret: true } }
        },
        'two-step-saml': {
            display_name: 'SAML bearer',
            docs,
            auth_mode: 'TWO_STEP',
            token_url: `${url}/saml`,
            body_format: 'form',
            token_params: { grant_type: 'urn:ietf:params:oauth:grant-type:saml2-bearer', assertion: '${credentials.assertion}' },
            token_response: { token: 'access_token' },
            assertion: {
                issuer: '${credentials.clientId}',
                audiences: 'www.acme.test, second.test',
                recipient: `${url}/saml?a=1&b="2"`,
                nameIdentifier: '${assertionOption.userId}',
                attributes: { api_key: '${credentials.clientId}', roles: ['a', 'b & <c>'] },
                lifetimeInSeconds: '600',
                key: '${credentials.privateKey}'
            },
            proxy: { base_url: url },
            credentials: { clientId: text, privateKey: { ...text, secret: true } },
            assertion_option: { userId: text }
        },
        rs256: jwt('RS256', 'RSA'),
        ps256: jwt('PS256', 'RSA'),
        es256: jwt('ES256', 'EC'),
        eddsa: jwt('EdDSA', 'EC', { typ: 'JWT' }),
        ghost: {
            display_name: 'Ghost alike',
            docs,
            auth_mode: 'JWT',
            signature: { protocol: 'HMAC' },
            token: {
                signing_key: '${credentials.privateKey.secret}',
                expires_in_ms: 300_000,
                header: { alg: 'HS256', typ: 'JWT', kid: '${credentials.privateKey.id}' },
                payload: { aud: '/admin/' }
            },
            proxy: { base_url: url, headers: { authorization: 'Ghost ${accessToken}' } },
            credentials: { privateKey: { ...text, secret: true } }
        },
        wsse: {
            display_name: 'WSSE',
            docs,
            auth_mode: 'SIGNATURE',
            signature: { protocol: 'WSSE' },
            token: { expires_in_ms: 300_000 },
            proxy: { base_url: url, headers: { 'x-wsse': '${accessToken}' }, verification: { endpoints: ['/wsse'] } }
        },
        bill: { display_name: 'Bill', docs, auth_mode: 'BILL', token_url: `${url}/bill`, proxy: { base_url: url } }
    };
}

const provider = new Provider();
let server;
let sdk;

before(async () => {
    await provider.start();
    server = await startHitchpost({ catalog: catalog(provider.url) });
    sdk = server.sdk;
    for (const key of Object.keys(catalog(''))) await sdk.createIntegration({ provider: key, unique_key: key });
});
after(async () => {
    await server?.stop();
    await provider.close?.();
});

/** The published browser SDK; these modes open no popup, so it works here as well. */
async function frontend(key) {
    const { data } = await sdk.createConnectSession({ end_user: { id: 'user-1' }, allowed_integrations: [key] });
    return new Nango({ host: server.url, connectSessionToken: data.token });
}

async function connect(key, options) {
    const success = await (await frontend(key)).auth(key, options);
    assert.equal(success.providerConfigKey, key);
    return success.connectionId;
}

const refused = async (key, options) => {
    const client = await frontend(key);
    return client.auth(key, options).then(
        () => assert.fail('expected a refusal'),
        (error) => ({ type: error.type, message: error.message })
    );
};

const call = (key, connectionId) => sdk.get({ providerConfigKey: key, connectionId, endpoint: '/me' });

describe('the published SDK connects', () => {
    test('TWO_STEP, and the proxied call carries the token of the login', async () => {
        let logins = 0;
        provider.answers['/acme/login'] = () => [200, { session: { id: `session-${++logins}`, ttl: '1h' } }];
        const id = await connect('two-step', { params: { tenant: 'acme' }, credentials: { type: 'TWO_STEP', username: 'ada', password: 'lovelace' } });
        assert.deepEqual(JSON.parse(provider.last.body), { user: 'ada', secret: 'lovelace' });
        const { credentials } = await sdk.getConnection('two-step', id);
        const { expires_at, ...rest } = credentials;
        assert.deepEqual(rest, { type: 'TWO_STEP', username: 'ada', password: 'lovelace', token: 'session-1', raw: { session: { id: 'session-1', ttl: '1h' } } });
        assert.ok(Math.abs(Date.parse(expires_at) - Date.now() - 3_600_000) < 60_000);
        await call('two-step', id);
        assert.equal(provider.last.headers.authorization, 'Bearer session-1');
        assert.equal((await sdk.getConnection('two-step', id, true)).credentials.token, 'session-2');
    });

    test('TWO_STEP, and a refused login rejects with the words of the provider', async () => {
        provider.answers['/bad/login'] = () => [401, { error: 'invalid_login', error_description: 'lovelace is not the password of ada' }];
        const error = await refused('two-step', { params: { tenant: 'bad' }, credentials: { type: 'TWO_STEP', username: 'ada', password: 'lovelace' } });
        assert.equal(error.type, 'two_step_credentials_fetch_error');
        assert.match(error.message, /401 invalid_login: REDACTED is not the password of ada/);
    });

    test('TWO_STEP with a SAML assertion whose signature another library verifies', async () => {
        provider.answers['/saml'] = () => [200, { access_token: 'saml-token' }];
        const credentials = { type: 'TWO_STEP', clientId: 'client <1>', privateKey: Buffer.from(pem(rsa)).toString('base64') };
        const id = await connect('two-step-saml', { credentials, assertionOption: { userId: 'jane "quoted" & co' } });
        const xml = Buffer.from(new URLSearchParams(provider.last.body).get('assertion'), 'base64').toString();
        const document = new DOMParser().parseFromString(xml, 'text/xml');
        const signature = document.getElementsByTagNameNS('http://www.w3.org/2000/09/xmldsig#', 'Signature')[0];
        const verifier = new SignedXml({ publicCert: publicPem(rsa) });
        verifier.loadSignature(signature);
        assert.ok(verifier.checkSignature(xml), 'the signature is good');
        const [signed] = verifier.getSignedReferences();
        assert.match(signed, /jane "quoted" &amp; co<\/saml:NameID>/);
        assert.match(signed, /<saml:Audience>second\.test<\/saml:Audience>/);
        assert.match(signed, /<saml:AttributeValue>b &amp; &lt;c&gt;<\/saml:AttributeValue>/);
        const tampered = xml.replace('second.test', 'evil.test');
        const judge = new SignedXml({ publicCert: publicPem(rsa) });
        judge.loadSignature(new DOMParser().parseFromString(tampered, 'text/xml').getElementsByTagNameNS('http://www.w3.org/2000/09/xmldsig#', 'Signature')[0]);
        assert.throws(() => {
            if (!judge.checkSignature(tampered)) throw new Error('bad signature');
        });
        const stored = (await sdk.getConnection('two-step-saml', id)).credentials;
        assert.deepEqual(Object.keys(stored).sort(), ['assertion', 'clientId', 'expires_at', 'privateKey', 'raw', 'token', 'type']);
    });

    for (const [key, alg, pair, form] of [
        ['rs256', 'RS256', rsa, pem(rsa)],
        ['rs256', 'RS256', rsa, pem(rsa, 'pkcs1').replaceAll('\n', '\\n')],
        ['ps256', 'PS256', rsa, pem(rsa)],
        ['es256', 'ES256', ec, pem(ec)],
        ['es256', 'ES256', ec, pem(ec, 'sec1').replaceAll('\n', '\r\n')],
        ['eddsa', 'EdDSA', ed, pem(ed)]
    ]) {
        test(`JWT with ${alg} and a key that begins with ${form.slice(0, 24)}, verified by jose`, async () => {
            const verified = [];
            provider.answers['/verify'] = async ({ headers }) => {
                const token = headers.authorization.replace('Bearer ', '');
                const result = await jwtVerify(token, await importSPKI(publicPem(pair), alg), { audience: 'acme' }).catch(() => undefined);
                if (result) verified.push(result);
                return [result ? 200 : 401, {}];
            };
            const credentials = { privateKeyId: 'kid-1', issuerId: 'me', privateKey: form, scope: 'a, b' };
            const id = await connect(key, { credentials });
            assert.equal(verified[0].protectedHeader.kid, 'kid-1');
            assert.deepEqual([verified[0].payload.iss, verified[0].payload.scope], ['me', ['a', 'b']]);
            assert.equal(verified[0].payload.exp - verified[0].payload.iat, 900);
            const stored = (await sdk.getConnection(key, id)).credentials;
            assert.equal(stored.privateKey, form);
            await call(key, id);
            await jwtVerify(provider.last.headers.authorization.replace('Bearer ', ''), await importSPKI(publicPem(pair), alg));
        });
    }

    test('JWT with a key that is not the one the provider knows is connection_test_failed', async () => {
        provider.answers['/verify'] = () => [401, { error: 'unknown key' }];
        const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
        const error = await refused('rs256', { credentials: { privateKeyId: 'k', issuerId: 'me', privateKey: pem(other) } });
        assert.equal(error.type, 'connection_test_failed');
    });

    test('JWT with an id and a secret, in both forms that the SDK has', async () => {
        const secret = '00112233445566778899aabbccddeeff';
        for (const privateKey of [`key-1:${secret}`, { id: 'key-1', secret }]) {
            const id = await connect('ghost', { credentials: { type: 'JWT', privateKey } });
            await call('ghost', id);
            const token = provider.last.headers.authorization.replace('Ghost ', '');
            const { protectedHeader } = await jwtVerify(token, Buffer.from(secret, 'hex'), { audience: '/admin/' });
            assert.equal(protectedHeader.kid, 'key-1');
            const [head, body, signature] = token.split('.');
            assert.equal(createHmac('sha256', Buffer.from(secret, 'hex')).update(`${head}.${body}`).digest('base64url'), signature);
        }
    });

    test('SIGNATURE, and the header proves the password', async () => {
        const proves = ({ headers }) => {
            const [, username, digest, nonce, created] = /^UsernameToken Username="(.*)", PasswordDigest="(.*)", Nonce="(.*)", Created="(.*)"$/.exec(headers['x-wsse']);
            const hash = createHash('sha1').update(`${nonce}${created}lovelace`).digest('hex');
            return username === 'ada' && digest === Buffer.from(hash).toString('base64');
        };
        provider.answers['/wsse'] = (seen) => [proves(seen) ? 200 : 401, {}];
        const id = await connect('wsse', { credentials: { type: 'SIGNATURE', username: 'ada', password: 'lovelace' } });
        await call('wsse', id);
        assert.ok(proves(provider.last));
        const wrong = await refused('wsse', { credentials: { type: 'SIGNATURE', username: 'ada', password: 'byron' } });
        assert.equal(wrong.type, 'connection_test_failed');
    });

    test('BILL, and the proxied call carries the session', async () => {
        provider.answers['/bill'] = ({ body }) => {
            const { username, password, organizationId, devKey } = JSON.parse(body);
            const isGood = username === 'ada' && password === 'lovelace' && devKey === 'dev-1';
            return isGood ? [200, { sessionId: 'session-b', organizationId, userId: 'u' }] : [401, [{ code: 'BDC_1109' }]];
        };
        const credentials = { username: 'ada', password: 'lovelace', organization_id: 'org', dev_key: 'dev-1' };
        const id = await connect('bill', { credentials });
        await call('bill', id);
        assert.deepEqual([provider.last.headers.sessionid, provider.last.headers.devkey], ['session-b', 'dev-1']);
        const wrong = await refused('bill', { credentials: { ...credentials, password: 'byron' } });
        assert.equal(wrong.type, 'bill_tokens_fetch_error');
        assert.match(wrong.message, /BDC_1109/);
    });
});
