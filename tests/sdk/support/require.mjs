//! What a test needs from the machine, and how loudly it says that it is missing.

import { existsSync } from 'node:fs';

export const everythingRequired = process.env.HITCHPOST_TEST_REQUIRE === 'all';

/**
 * Options of a test that needs something. Missing: a loud skip, or a failure under HITCHPOST_TEST_REQUIRE=all.
 * Use: `test('sentence', needs(chromium), async () => ...)`.
 */
export function needs(...missing) {
    const reason = missing.find(Boolean);
    if (!reason) return {};
    if (everythingRequired) throw new Error(`HITCHPOST_TEST_REQUIRE=all, but ${reason}`);
    console.error(`SKIPPED: tests of ${process.argv[1]?.split('/').pop() ?? 'this file'} because ${reason}`);
    return { skip: `SKIPPED: because ${reason}` };
}

export const chromiumPath = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

/** A reason when there is no browser to drive, else false. */
export const noChromium = !existsSync(chromiumPath) && `there is no Chromium at ${chromiumPath} (set CHROMIUM_BIN)`;

/** A reason when there is no PostgreSQL two servers could share, else false. */
export const noSharedDatabase = !process.env.TEST_DATABASE_URL && 'TEST_DATABASE_URL is not set';
