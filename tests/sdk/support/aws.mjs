//! AWS as far as a journey needs it: an STS that hands out keys for a role, and an API that wants calls signed with them.
//! Signature Version 4 is computed anew here, from the documentation alone:
//! https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

import { createHash, createHmac, randomBytes } from 'node:crypto';
import { listen, readBody, sendJson } from './http.mjs';

const REGION = 'eu-west-1';
const SERVICE = 'execute-api';

export async function startAws() {
    const aws = new Aws();
    await aws.start();
    return aws;
}

class Aws {
    #server;
    /** Access key id to secret. */
    #secrets = new Map();

    constructor() {
        this.role = 'arn:aws:iam::123456789012:role/reader';
        /** The parameters of every AssumeRole that was signed as it must be. */
        this.assumed = [];
        this.operator = this.#issue('AKIA');
    }

    async start() {
        this.#server = await listen((request, response) => this.#answer(request, response));
        this.url = `http://127.0.0.1:${this.#server.port}`;
    }

    /** What an integration needs to assume roles here. */
    get custom() {
        return { service: SERVICE, stsMode: 'builtin', awsAccessKeyId: this.operator.id, awsSecretAccessKey: this.operator.secret, defaultRegion: REGION };
    }

    #issue(prefix) {
        const pair = { id: `${prefix}${randomBytes(8).toString('hex').toUpperCase()}`, secret: randomBytes(20).toString('base64') };
        this.#secrets.set(pair.id, pair.secret);
        return pair;
    }

    async #answer(request, response) {
        const url = new URL(request.url, this.url);
        const seen = { method: request.method, url, headers: request.headers, body: await readBody(request) };
        const isApi = url.pathname.startsWith('/api/');
        const problem = this.#problem(seen, isApi ? SERVICE : 'sts');
        if (problem) return sendText(response, 403, `<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>${problem}</Message></Error></ErrorResponse>`);
        if (isApi) return sendJson(response, 200, { welcome: true });
        const params = Object.fromEntries([...url.searchParams, ...new URLSearchParams(seen.body.toString())]);
        if (params.Action === 'AssumeRole') return this.#assumeRole(params, response);
        sendJson(response, 200, { GetCallerIdentityResponse: { GetCallerIdentityResult: { Arn: 'arn:aws:sts::123456789012:assumed-role/reader/x' } } });
    }

    #assumeRole(params, response) {
        this.assumed.push(params);
        if (params.RoleArn !== this.role) {
            return sendText(response, 403, '<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform sts:AssumeRole</Message></Error></ErrorResponse>');
        }
        const { id, secret } = this.#issue('ASIA');
        const ends = new Date(Date.now() + 3_600_000).toISOString();
        sendText(
            response,
            200,
            `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>${id}</AccessKeyId>` +
                `<SecretAccessKey>${secret}</SecretAccessKey><SessionToken>session-of-${id}</SessionToken><Expiration>${ends}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`
        );
    }

    /** What is wrong with the signature, if anything. */
    #problem(seen, service) {
        const [, id, scope, signed, signature] = /^AWS4-HMAC-SHA256 Credential=(\w+)\/([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)$/.exec(seen.headers.authorization ?? '') ?? [];
        const secret = this.#secrets.get(id);
        const date = seen.headers['x-amz-date'] ?? '';
        const expected = `${date.slice(0, 8)}/${REGION}/${service}/aws4_request`;
        if (!secret || scope !== expected) return `unknown key, or a scope that is not ${expected}`;
        if (id.startsWith('ASIA') && seen.headers['x-amz-security-token'] !== `session-of-${id}`) return 'no session token';
        const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical(seen, signed))}`;
        const key = scope.split('/').reduce(hmac, `AWS4${secret}`);
        return hmac(key, text).toString('hex') === signature ? undefined : 'wrong signature';
    }

    close() {
        return this.#server.close();
    }
}

function canonical({ method, url, headers, body }, signed) {
    const path = url.pathname.split('/').map(encode).join('/');
    const query = [...url.searchParams].map(([name, value]) => `${encode(name)}=${encode(value)}`).sort().join('&');
    const lines = signed.split(';').map((name) => `${name}:${headers[name].trim().replace(/\s+/g, ' ')}\n`);
    return [method, path, query, lines.join(''), signed, sha256(body)].join('\n');
}

function encode(text) {
    return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(data) {
    return createHash('sha256').update(data).digest('hex');
}

function hmac(key, text) {
    return createHmac('sha256', key).update(text).digest();
}

function sendText(response, status, text) {
    response.writeHead(status, { 'content-type': 'text/xml' }).end(text);
}
