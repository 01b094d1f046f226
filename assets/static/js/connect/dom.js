//! Builds elements. Text only ever becomes text nodes: nothing here parses HTML.

const SVG = 'http://www.w3.org/2000/svg';

/** Line icons on a 24 by 24 grid. */
const ICONS = {
    back: 'M15 5l-7 7 7 7',
    close: 'M6 6l12 12M18 6L6 18',
    next: 'M9 5l7 7-7 7',
    search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14M16 16l4.5 4.5',
    help: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M9.6 9.4a2.5 2.5 0 0 1 4.9.6c0 1.7-2.5 2-2.5 3.7M12 17v.1',
    link: 'M10 14l4-4M8.2 11.3l-2 2a4 4 0 0 0 5.6 5.6l2-2M15.8 12.7l2-2a4 4 0 0 0-5.6-5.6l-2 2',
    lock: 'M6.5 11h11a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1h-11a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1M8 11V8a4 4 0 0 1 8 0v3',
    show: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6',
    hide: 'M4 4l16 16M9.9 5.8A9.6 9.6 0 0 1 12 5.5c6 0 9.5 6.5 9.5 6.5a16 16 0 0 1-3 3.7M6.3 7.3A16 16 0 0 0 2.5 12S6 18.5 12 18.5c1.8 0 3.3-.5 4.7-1.3M9.9 9.9a3 3 0 0 0 4.2 4.2',
    copy: 'M9 9h10v11H9zM15 9V4H5v11h4',
    check: 'M5 12.5l4.5 4.5L19 7.5',
    alert: 'M12 6v8M12 18v.1',
    warning: 'M12 4l9 16H3zM12 10v4M12 17v.1',
    clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M12 7v5l3.5 2',
    broken: 'M8.2 11.3l-2 2a4 4 0 0 0 5.6 5.6l2-2M15.8 12.7l2-2a4 4 0 0 0-5.6-5.6l-2 2M8 4v2.5M4 8h2.5M16 20v-2.5M20 16h-2.5',
    offline: 'M3 9.5a13 13 0 0 1 18 0M6.5 13a8 8 0 0 1 11 0M10 16.5a3 3 0 0 1 4 0M12 20v.1M4 4l16 16',
    out: 'M13 5h6v6M19 5l-8 8M17 14v5H5V7h5',
    window: 'M4 5h16v14H4zM4 9h16M7 7v.1',
    empty: 'M4 13l3-8h10l3 8v6H4zM4 13h5l1 2.5h4L15 13h5'
};

/**
 * An element. `props`: `class`, listeners as functions (`onclick`), attributes; `true` is an empty attribute; null, undefined
 * and false leave one out. Children: nodes and texts; null, undefined and false are left out.
 */
export function h(tag, props = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(props)) {
        if (value === null || value === undefined || value === false) continue;
        if (typeof value === 'function') element.addEventListener(name.slice(2), value);
        else element.setAttribute(name, value === true ? '' : String(value));
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return element;
}

/** A decorative icon; what it means is said by the text beside it. */
export function icon(name, extra = '') {
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('viewBox', '0 0 24 24');
    svg.setAttribute('class', `icon ${extra}`.trim());
    svg.setAttribute('aria-hidden', 'true');
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', ICONS[name]);
    svg.append(path);
    return svg;
}

/** A link to another site, in a new tab, which learns neither who opened it nor from which address. */
export function outside(href, props, ...children) {
    return h('a', { href, target: '_blank', rel: 'noopener noreferrer', ...props }, ...children);
}

/** The address as given when it is a web address, else null: a catalog must not bring `javascript:` links. */
export function webAddress(text) {
    try {
        return /^https?:$/.test(new URL(text).protocol) ? text : null;
    } catch {
        return null;
    }
}

let ids = 0;

/** An id that no other element has. */
export function freshId() {
    ids += 1;
    return `f${ids}`;
}
