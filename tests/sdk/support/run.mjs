//! `npm test`: runs every test file with node's own runner, one file at a time (each starts its own server).
//! Uses nothing from node_modules, so that it can say when they are missing.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('..', import.meta.url));

if (!existsSync(join(folder, 'node_modules', '@nangohq', 'node'))) {
    const required = process.env.HITCHPOST_TEST_REQUIRE === 'all';
    console.error(`${required ? 'FAILED' : 'SKIPPED'}: all SDK tests, because node_modules is missing; run \`npm ci\` in tests/sdk first`);
    process.exit(required ? 1 : 0);
}

const wanted = process.argv.slice(2);
const files = readdirSync(folder)
    .filter((name) => name.endsWith('.test.mjs'))
    .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
    .sort();
const runner = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-timeout=600000', '--test-reporter=spec', ...files], { cwd: folder, stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal));
runner.once('exit', (code) => process.exit(code ?? 1));
