//! Remembers in this browser which links have connected something, so that opening one again can say so.

const NAME = 'hitchpost-connect-used';
const KEPT_MS = 24 * 60 * 60 * 1000;

/** Notes that the link connected `name`. Not the token but a hash of it is kept. */
export function remember(token, name) {
    const known = read();
    known[hash(token)] = { name, at: Date.now() };
    try {
        localStorage.setItem(NAME, JSON.stringify(known));
    } catch {
        // No storage in this frame: the page forgets.
    }
}

/** What the link connected, if it did. */
export function recall(token) {
    return read()[hash(token)]?.name ?? null;
}

function read() {
    try {
        const known = Object.entries(JSON.parse(localStorage.getItem(NAME)) ?? {});
        return Object.fromEntries(known.filter(([, entry]) => Date.now() - entry.at < KEPT_MS));
    } catch {
        return {};
    }
}

/** FNV-1a, twice. Nothing secret rests on it: `crypto.subtle` is missing on plain http. */
function hash(text) {
    const round = (seed) => {
        let value = seed;
        for (const char of text) value = Math.imul(value ^ char.codePointAt(0), 16777619);
        return (value >>> 0).toString(16);
    };
    return round(2166136261) + round(40389);
}
