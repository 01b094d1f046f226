//! Remembers in this browser which links have connected something, for when the server cannot tell: the session has no end
//! user, authorized a connection again, or was deleted since.

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

/** Names of what the link connected. */
export function recall(token) {
    const entry = read()[hash(token)];
    return entry ? [entry.name] : [];
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
