//! The picture of a provider: its initials on a colour that follows from its name. No request, no layout shift.

import { h } from './dom.js';

const TONES = 14;

/** The first letter or digit of the first two words. */
export function initials(title) {
    const words = title.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
    return words.slice(0, 2).map((word) => [...word][0].toUpperCase()).join('');
}

function tone(name) {
    let hash = 2166136261;
    for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
    // The low bits of FNV-1a mix badly.
    return ((hash >>> 16) ^ hash) % TONES;
}

/** `size`: '' in lists, 'large' above forms. */
export function monogram(provider, title, size = '') {
    const index = Math.abs(tone(provider));
    return h('span', { class: `mono tone-${index} ${size}`.trim(), 'aria-hidden': 'true' }, initials(title) || '•');
}
