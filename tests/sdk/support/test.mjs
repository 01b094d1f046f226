//! node's own test functions, with a deadline for each test and hook, far below that of a whole file: what hangs is named.

import * as node from 'node:test';

const deadline = { timeout: 120_000 };
const bounded = (hook) => (body, options) => hook(body, { ...deadline, ...options });

export const { describe } = node;
export const before = bounded(node.before);
export const after = bounded(node.after);
export const beforeEach = bounded(node.beforeEach);
export const afterEach = bounded(node.afterEach);

/** `test(name, body)` or `test(name, options, body)`. */
export function test(name, ...rest) {
    const body = rest.pop();
    return node.test(name, { ...deadline, ...rest[0] }, body);
}
