//! Light and dark, and the colours of the environment.

const WHITE = [255, 255, 255];
const INK = [11, 18, 32];
/** What the page is painted on; the same as in tokens.css. */
const SURFACE = { light: WHITE, dark: [22, 25, 31] };
/** Contrast of text (WCAG 2.2, criterion 1.4.3). */
const READABLE = 4.5;

const prefersDark = window.matchMedia('(prefers-color-scheme: dark)');
let current = { settings: {}, forced: null };

/** Applies the settings of the environment; `forced` (from the address) beats their theme. */
export function applyTheme(settings, forced) {
    current = { settings, forced };
    paint();
}

prefersDark.addEventListener('change', () => paint());

function paint() {
    const { settings, forced } = current;
    const wanted = forced ?? settings.defaultTheme ?? 'system';
    const name = wanted === 'system' ? (prefersDark.matches ? 'dark' : 'light') : wanted;
    const root = document.documentElement;
    root.dataset.theme = name === 'dark' ? 'dark' : 'light';
    // Browsers put a frame on an opaque ground when its scheme is not that of the page around it. A page that asks for dark is
    // dark itself; of any other page the usual scheme is the best guess.
    root.style.colorScheme = forced === 'dark' ? 'dark' : '';
    setColours(root.style, settings.theme?.[root.dataset.theme]?.primary, SURFACE[root.dataset.theme]);
    setOrRemove(root.style, '--font-own', settings.fontFamily);
    setOrRemove(root.style, '--radius', settings.borderRadius);
}

function setColours(style, text, surface) {
    const primary = parseColour(text);
    if (!primary) {
        for (const name of ['--primary', '--on-primary', '--accent']) style.removeProperty(name);
        return;
    }
    // The reference page chooses by brightness and so puts white on its light blue: 2.4 to 1. Here what can be read wins.
    const isWhiteReadable = contrast(primary, WHITE) >= READABLE || contrast(primary, WHITE) > contrast(primary, INK);
    style.setProperty('--primary', css(primary));
    style.setProperty('--on-primary', css(isWhiteReadable ? WHITE : INK));
    style.setProperty('--accent', css(readableOn(primary, surface)));
}

/** The colour, moved towards black or white until it can be read on the surface. */
function readableOn(colour, surface) {
    const target = luminance(surface) > 0.5 ? INK : WHITE;
    for (let step = 0; step <= 20; step += 1) {
        const mixed = colour.map((part, index) => Math.round(part + ((target[index] - part) * step) / 20));
        if (contrast(mixed, surface) >= READABLE) return mixed;
    }
    return target;
}

function contrast(one, other) {
    const [darker, lighter] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (lighter + 0.05) / (darker + 0.05);
}

/** Relative luminance, WCAG 2.2. */
function luminance(colour) {
    const [red, green, blue] = colour.map((part) => {
        const share = part / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Red, green and blue of any CSS colour; null when the browser does not know it. */
function parseColour(text) {
    if (typeof text !== 'string' || !CSS.supports('color', text)) return null;
    const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    if (!context) return null;
    context.fillStyle = text;
    const hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/.exec(context.fillStyle);
    if (hex) return hex.slice(1).map((part) => parseInt(part, 16));
    // Not in sRGB hex, such as `oklch()`: painted, and looked at.
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

function css(colour) {
    return `rgb(${colour.join(' ')})`;
}

function setOrRemove(style, name, value) {
    if (value) style.setProperty(name, value);
    else style.removeProperty(name);
}
