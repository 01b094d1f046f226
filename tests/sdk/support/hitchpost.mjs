//! Starts, kills and restarts the server under test. Each instance has its own ports, data folder and database schema.

import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Nango } from '@nangohq/node';
import { freePort } from './http.mjs';
import { until } from './until.mjs';

const repository = fileURLToPath(new URL('../../../', import.meta.url));

/** The binary under test: HITCHPOST_BIN, else the debug build, else the release build. */
export function findBinary() {
    const candidates = [process.env.HITCHPOST_BIN, join(repository, 'target/debug/hitchpost'), join(repository, 'target/release/hitchpost')];
    const binary = candidates.find((path) => path && existsSync(path));
    if (!binary) throw new Error('no hitchpost binary: run `cargo build` first, or set HITCHPOST_BIN');
    return binary;
}

const openToLoopback = JSON.stringify({ allowLoopback: true, blockPrivateIps: false });

/** Where several replicas keep their state together: pass the same one to each `startHitchpost`. */
export function sharedState() {
    return {
        schema: `hitchpost_sdk_${randomBytes(6).toString('hex')}`,
        secretKey: randomUUID(),
        encryptionKey: randomBytes(32).toString('base64')
    };
}

/**
 * Starts a server with `catalog` (an object in the providers.yaml grammar) and waits until it is ready.
 * With TEST_DATABASE_URL it lives in a schema of its own there, else (or when `embedded`) in its embedded database.
 */
export async function startHitchpost({ catalog, env = {}, state = {}, port, embedded = !process.env.TEST_DATABASE_URL } = {}) {
    const server = new Hitchpost(catalog, env, { ...sharedState(), ...state, embedded }, port ?? (await freePort()));
    try {
        await server.start();
    } catch (error) {
        await server.forget();
        throw error;
    }
    return server;
}

class Hitchpost {
    #child;
    #catalogFile;
    #extraEnv;

    constructor(catalog, extraEnv, state, port) {
        this.port = port;
        this.url = `http://127.0.0.1:${port}`;
        this.state = state;
        this.secretKey = state.secretKey;
        this.dataDir = mkdtempSync(join(tmpdir(), 'hitchpost-sdk-'));
        /** Everything the process ever printed, across restarts. */
        this.log = '';
        this.#extraEnv = extraEnv;
        this.#catalogFile = join(this.dataDir, 'test-catalog.yaml');
        // JSON is YAML, so the catalog needs no YAML writer.
        writeFileSync(this.#catalogFile, JSON.stringify(catalog ?? {}, null, 2));
    }

    /** The published Node SDK, pointed at this server. */
    get sdk() {
        return new Nango({ host: this.url, secretKey: this.secretKey });
    }

    async start() {
        const child = spawn(findBinary(), ['serve'], { env: this.#environment(), stdio: ['ignore', 'pipe', 'pipe'] });
        this.#child = child;
        child.exited = new Promise((resolve) => child.once('close', resolve));
        for (const stream of [child.stdout, child.stderr]) {
            stream.setEncoding('utf8').on('data', (text) => (this.log += text));
        }
        try {
            await until('the server to be ready', () => hasEnded(child) || this.#isReady(), { deadlineMs: 60_000 });
            if (hasEnded(child)) throw new Error('the process ended');
        } catch (error) {
            await this.kill();
            throw new Error(`the server did not start; it printed:\n${this.log}`, { cause: error });
        }
    }

    async #isReady() {
        return (await fetch(`${this.url}/ready`)).ok;
    }

    #environment() {
        const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NANGO|HITCHPOST|FLAG|SERVER)_/.test(name)));
        const database = this.state.embedded ? {} : { NANGO_DATABASE_URL: process.env.TEST_DATABASE_URL, NANGO_DB_SCHEMA: this.state.schema };
        return {
            ...inherited,
            ...database,
            SERVER_PORT: String(this.port),
            NANGO_SERVER_URL: this.url,
            NANGO_CONNECT_UI_PORT: '0',
            NANGO_SECRET_KEY_DEV: this.secretKey,
            NANGO_ENCRYPTION_KEY: this.state.encryptionKey,
            NANGO_OUTBOUND_URL_POLICY: openToLoopback,
            NANGO_OUTBOUND_URL_POLICY_OAUTH: openToLoopback,
            HITCHPOST_DATA_DIR: join(this.dataDir, 'data'),
            HITCHPOST_CATALOG: this.#catalogFile,
            LOG_LEVEL: 'debug',
            ...this.#extraEnv
        };
    }

    /** SIGKILL: nothing is flushed, nobody is told. */
    async kill() {
        this.#child.kill('SIGKILL');
        await this.#child.exited;
    }

    /** Starts again on the same data. */
    async restart() {
        await this.start();
    }

    /** Removes the data folder and the schema. */
    async forget() {
        rmSync(this.dataDir, { recursive: true, force: true });
        if (!this.state.embedded) await dropSchema(this.state.schema);
    }

    /** Polite stop; forgets the data folder and the schema. A server that ignores SIGTERM is killed and reported. */
    async stop() {
        this.#child.kill('SIGTERM');
        const stopped = await Promise.race([this.#child.exited.then(() => true), giveUpAfter(20_000)]);
        if (!stopped) await this.kill();
        await this.forget();
        if (!stopped) throw new Error('the server did not stop within 20 s of SIGTERM');
    }
}

function hasEnded(child) {
    return child.exitCode !== null || child.signalCode !== null;
}

function giveUpAfter(ms) {
    return new Promise((resolve) => setTimeout(resolve, ms, false).unref());
}

async function dropSchema(schema) {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: process.env.TEST_DATABASE_URL });
    await client.connect();
    await client.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    await client.end();
}
