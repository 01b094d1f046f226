//! The list of what can be connected, with search.

import { h, icon } from './dom.js';
import { number, t } from './i18n.js';
import { monogram } from './monogram.js';

/** From this many entries on there is a search. */
const SEARCH_FROM = 6;
/** A finger would bring up the keyboard, which hides the list. */
const hasKeyboard = window.matchMedia('(pointer: fine)');

/** Lower case, without accents. */
function plain(text) {
    return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}

/** How well an entry matches, 0 best; null when it does not. */
function rank(entry, wanted) {
    if (entry.name.startsWith(wanted)) return 0;
    if (entry.name.includes(` ${wanted}`)) return 1;
    return entry.text.includes(wanted) ? 2 : null;
}

/** Shows the list; `onchoose` is called with an integration and its row. */
export function showList(shell, integrations, { query = '', onchoose, onquery }) {
    const twins = twinTitles(integrations);
    const entries = sorted(integrations).map((integration) => buildEntry(integration, twins.has(integration.display_name), onchoose));
    const list = h('ul', { class: 'rows' }, entries.map((entry) => entry.row));
    const count = h('p', { class: 'unseen', role: 'status' });
    const nothing = h('div', { class: 'nothing', hidden: true });
    const search = h('input', {
        type: 'search',
        class: 'input',
        'aria-label': t('list.search'),
        placeholder: t('list.search_many', { count: number(entries.length) }),
        autocomplete: 'off',
        spellcheck: 'false',
        enterkeyhint: 'search'
    });
    search.value = query;

    function filter() {
        const wanted = plain(search.value.trim());
        const found = wanted ? entries.map((entry) => [rank(entry, wanted), entry]).filter(([place]) => place !== null) : entries.map((entry) => [0, entry]);
        found.sort(([one], [other]) => one - other);
        place(list, found.map(([, entry]) => entry.row));
        nothing.hidden = found.length > 0;
        if (found.length === 0) nothing.replaceChildren(h('p', { class: 'strong' }, t('list.none', { query: search.value.trim() })), h('p', {}, t('list.none_text')), h('button', { type: 'button', class: 'button quiet', onclick: clear }, t('list.clear')));
        count.textContent = wanted ? t('list.results', { count: number(found.length) }) : '';
        onquery(search.value);
    }
    function clear() {
        search.value = '';
        filter();
        search.focus();
    }

    search.addEventListener('input', filter);
    const searchBox = h('div', { class: 'search' }, icon('search'), search);
    const body = h('div', { class: 'list', onkeydown: (event) => walk(event, search, list) }, entries.length >= SEARCH_FROM && searchBox, count, nothing, list);
    const hasSearch = entries.length >= SEARCH_FROM;
    shell.show({ name: 'list', title: t('list.title'), text: t('list.text'), body: [body], focus: hasSearch && hasKeyboard.matches ? search : null });
    if (query) filter();
}

/** Nothing to choose from. */
export function showEmpty(shell, onclose) {
    const close = onclose && h('button', { type: 'button', class: 'button', onclick: onclose }, t('nav.close'));
    const hero = h('div', { class: 'sign' }, icon('empty'));
    shell.show({ name: 'empty', title: t('list.empty_title'), text: t('list.empty_text'), hero, foot: [close], isCentred: true });
}

/** Moving hundreds of rows costs a frame, and a letter that all of them have moves none. */
function place(list, rows) {
    const isSame = rows.length === list.children.length && rows.every((row, index) => row === list.children[index]);
    if (!isSame) list.replaceChildren(...rows);
}

function sorted(integrations) {
    const collator = new Intl.Collator(document.documentElement.lang, { sensitivity: 'base', numeric: true });
    return [...integrations].sort((one, other) => collator.compare(one.display_name, other.display_name));
}

/** Titles that several have: these can only be told apart by their keys. */
function twinTitles(integrations) {
    const once = new Set();
    const titles = integrations.map((integration) => integration.display_name);
    return new Set(titles.filter((title) => once.has(title) || !once.add(title)));
}

function buildEntry(integration, isTwin, onchoose) {
    const { display_name: title, provider, unique_key: key } = integration;
    const label = h('span', { class: 'row-text' }, h('span', { class: 'row-name' }, title), isTwin && h('span', { class: 'row-note' }, key));
    const button = h('button', { type: 'button', class: 'row', 'data-key': key }, monogram(provider, title), label, icon('next', 'turns'));
    button.addEventListener('click', () => onchoose(integration, button));
    return { row: h('li', {}, button), name: plain(title), text: plain(`${title} ${provider} ${key}`) };
}

/** The arrow keys go from the search into the list and through it; Enter takes the only result. */
function walk(event, search, list) {
    const buttons = [...list.querySelectorAll('button')];
    const at = buttons.indexOf(document.activeElement);
    if (event.key === 'Enter' && event.target === search && buttons.length === 1) {
        event.preventDefault();
        buttons[0].click();
    }
    // The first Escape empties the search, the next one leaves.
    if (event.key === 'Escape' && event.target === search && search.value !== '') {
        event.preventDefault();
        search.value = '';
        search.dispatchEvent(new Event('input'));
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || buttons.length === 0) return;
    event.preventDefault();
    const next = at + step;
    if (next < 0) search.focus();
    else buttons[Math.min(next, buttons.length - 1)].focus();
}
