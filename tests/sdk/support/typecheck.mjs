//! Compares answers with the types that the published Node SDK promises: each answer becomes a literal in a TypeScript
//! file, declared with the type of its method, and the compiler judges the file.

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

// Inside this package, so that its node_modules are found.
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiler = join(root, 'node_modules/typescript/bin/tsc');

const prelude = `import type { Nango } from '@nangohq/node';
import type { Provider } from '@nangohq/types';
import type { AxiosResponse } from 'axios';
type Body<T> = T extends AxiosResponse<infer Content> ? Content : T;
/** What a method's promise resolves to; of an axios response, the body. */
type Answer<K extends keyof Nango> = Nango[K] extends (...args: any[]) => Promise<infer T> ? Body<T> : never;
`;

/** `answers`: `[{method, value, type}]`; a `type` replaces that of the method. Returns the compiler's complaints, or ''. */
export async function complaintsAbout(answers) {
    const folder = await mkdtemp(join(root, 'node_modules/.typecheck-'));
    const lines = answers.map(({ method, value, type }, index) => {
        return `export const ${method}${index}: ${type ?? `Answer<'${method}'>`} = ${JSON.stringify(value, null, 2)};\n`;
    });
    try {
        const file = join(folder, 'answers.ts');
        await writeFile(file, prelude + lines.join(''));
        return await compile(file);
    } finally {
        await rm(folder, { recursive: true, force: true });
    }
}

async function compile(file) {
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext', '--pretty', 'false'];
    try {
        await promisify(execFile)(process.execPath, [compiler, ...options, file], { maxBuffer: 1 << 24 });
        return '';
    } catch (error) {
        if (!error.stdout) throw error;
        return error.stdout;
    }
}

