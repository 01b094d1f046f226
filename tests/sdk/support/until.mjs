//! Waiting with a deadline. Every wait of these tests goes through here; nothing sleeps for a fixed time.

import { setTimeout as pause } from 'node:timers/promises';

/**
 * Calls `probe` until it answers something truthy and returns that.
 * Errors of the probe count as "not yet"; the last one is named when the deadline passes.
 */
export async function until(what, probe, { deadlineMs = 15_000, everyMs = 50 } = {}) {
    const end = Date.now() + deadlineMs;
    let lastError;
    for (;;) {
        try {
            const answer = await probe();
            if (answer) return answer;
        } catch (error) {
            lastError = error;
        }
        if (Date.now() > end) {
            throw new Error(`gave up after ${deadlineMs} ms waiting for: ${what}`, { cause: lastError });
        }
        await pause(everyMs);
    }
}

/** Resolves once the wall clock has passed `moment` (a date text or milliseconds). */
export async function untilPast(moment) {
    const end = new Date(moment).getTime();
    await until(`the clock to pass ${moment}`, () => Date.now() > end, { deadlineMs: end - Date.now() + 5_000 });
}

/** Rejects when `promise` has not settled after `deadlineMs`. */
export async function within(what, promise, deadlineMs = 15_000) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`gave up after ${deadlineMs} ms waiting for: ${what}`)), deadlineMs);
    });
    try {
        return await Promise.race([promise, late]);
    } finally {
        clearTimeout(timer);
    }
}
