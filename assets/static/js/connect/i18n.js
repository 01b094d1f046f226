//! The texts of the page, one data file per language.

const LANGUAGES = ['en', 'ar', 'de', 'es', 'fr', 'ja'];
const RIGHT_TO_LEFT = ['ar'];

let texts = {};
let language = 'en';

/** The best language for what was asked for, else for what the browser prefers. */
export function chooseLanguage(asked, preferred = navigator.languages) {
    const wanted = [asked, ...preferred].filter(Boolean).map((tag) => tag.toLowerCase().split(/[-_]/)[0]);
    return wanted.find((tag) => LANGUAGES.includes(tag)) ?? 'en';
}

/** Loads the texts and tells the document its language. */
export async function loadLanguage(chosen) {
    // Names of texts are better than a page that never starts.
    texts = await fetchTexts(chosen)
        .catch(() => fetchTexts('en'))
        .catch(() => ({}));
    language = chosen;
    document.documentElement.lang = chosen;
    document.documentElement.dir = RIGHT_TO_LEFT.includes(chosen) ? 'rtl' : 'ltr';
}

async function fetchTexts(name) {
    const response = await fetch(new URL(`../../i18n/connect/${name}.json`, import.meta.url));
    if (!response.ok) throw new Error(`no texts for ${name}`);
    return response.json();
}

/** Whether there is such a text. */
export function has(key) {
    return key in texts;
}

/** A text, with `{name}` replaced. Values are isolated, so that a name in Latin letters does not turn an Arabic sentence. */
export function t(key, values = {}) {
    const text = texts[key] ?? key;
    const isolates = document.documentElement.dir === 'rtl';
    return text.replace(/\{(\w+)\}/g, (whole, name) => {
        if (!(name in values)) return whole;
        return isolates ? `\u2068${values[name]}\u2069` : String(values[name]);
    });
}

/** A number as the language writes it. */
export function number(value) {
    return new Intl.NumberFormat(language).format(value);
}

/** Names in one sentence, as the language joins them. */
export function inWords(names) {
    return new Intl.ListFormat(language).format(names);
}
