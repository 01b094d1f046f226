//! From the template of a provider to the fields of its form. Nothing here touches the document.

import { has, t } from './i18n.js';
import { webAddress } from './dom.js';

/** Credentials that a mode asks for by itself. */
const BASE = {
    API_KEY: ['apiKey'],
    BASIC: ['username', 'password'],
    SIGNATURE: ['username', 'password'],
    TBA: ['oauth_client_id_override', 'oauth_client_secret_override', 'token_id', 'token_secret'],
    BILL: ['username', 'password', 'organization_id', 'dev_key'],
    AWS_SIGV4: ['role_arn']
};
const SECRETS = /^(apiKey|password|token_id|token_secret|dev_key|client_secret|client_private_key|oauth_client_secret_override|oauth_refresh_token_override)$/;
/** Keys and certificates have lines, which a password input would glue together. */
const LINES = /^(client_certificate|client_private_key|private_?key)$/i;
const OVERRIDES = ['oauth_client_id_override', 'oauth_client_secret_override', 'oauth_refresh_token_override'];
/** Positions of fields that name none (`spec` providers, section 7.2). */
const AT = { credentials: 100, params: 200, assertion: 300 };

/** One field: `section` says where its value goes. `value` is what it starts with. */
export class Field {
    constructor(section, name, schema, more = {}) {
        this.section = section;
        this.name = name;
        this.title = schema.title || builtInTitle(name);
        this.description = schema.description ?? '';
        this.example = schema.example ?? '';
        this.isSecret = schema.secret === true || (section === 'credentials' && SECRETS.test(name));
        this.hasLines = LINES.test(name) || /-----BEGIN/.test(`${schema.example} ${schema.description}`);
        this.isOptional = schema.optional === true;
        this.isHidden = schema.hidden === true;
        this.choices = schema.enum ?? [];
        this.prefix = schema.prefix ?? '';
        this.suffix = schema.suffix ?? '';
        this.format = schema.format ?? '';
        this.pattern = compile(schema.pattern);
        this.hasDefault = schema.default_value !== undefined && schema.default_value !== null;
        this.visibleWhen = schema.visible_when ?? null;
        this.warnings = schema.warnings ?? {};
        this.order = schema.order;
        this.docSection = schema.doc_section ?? '';
        this.help = null;
        this.isPreset = false;
        this.isCopied = false;
        this.value = this.hasDefault ? String(schema.default_value) : '';
        Object.assign(this, more);
        if (this.value === '' && this.choices.length > 0 && !this.isOptional && !this.hasDefault) this.value = this.choices[0];
    }

    get isRequired() {
        return !this.isOptional && !this.hasDefault && !(this.isHidden && !this.isPreset);
    }
}

/** What the session says about one integration. */
export function sessionPart(session, key) {
    const defaults = session.integrations_config_defaults?.[key] ?? {};
    return { config: defaults.connection_config ?? {}, docs: session.overrides?.[key]?.docs_connect, isReconnecting: session.isReconnecting === true };
}

/** The fields of a form, in order. */
export function buildFields(provider, integration, part) {
    const fields = [...credentialFields(provider, integration), ...configFields(provider, part), ...optionFields(provider), ...overrideFields(provider, part), ...externalId(provider, part)];
    const placed = fields.map((field, index) => [field.order ?? AT[field.section] + index / 1000, field]);
    const docs = docsAddress(provider, part);
    for (const field of fields) field.help = helpAddress(field, docs, part);
    return placed.sort(([one], [other]) => one - other).map(([, field]) => field);
}

/** The guide for the whole form. */
export function docsAddress(provider, part) {
    return webAddress(part.docs || provider.docs_connect);
}

function helpAddress(field, docs, part) {
    if (!docs || !field.docSection || field.isHidden) return null;
    return part.docs ? docs : webAddress(`${docs}${field.docSection}`);
}

function baseCredentials(provider) {
    if (provider.auth_mode !== 'OAUTH2_CC') return BASE[provider.auth_mode] ?? [];
    const signs = provider.token_request_auth_method === 'private_key_jwt';
    const proof = signs ? ['client_private_key'] : ['client_secret'];
    const certificate = provider.require_client_certificate ? ['client_certificate', 'client_private_key'] : [];
    return [...new Set(['client_id', ...proof, ...certificate])];
}

function credentialFields(provider, integration) {
    const schemas = new Map(baseCredentials(provider).map((name) => [name, {}]));
    for (const [name, schema] of Object.entries(provider.credentials ?? {})) {
        // Set by the server: not asked for, even where the mode would.
        if (schema.automated) schemas.delete(name);
        else schemas.set(name, schema);
    }
    if (provider.auth_mode === 'TWO_STEP') {
        for (const [name, schema] of Object.entries(provider.integration_config ?? {})) {
            if (!schema.automated && !schemas.has(name)) schemas.set(name, { ...schema, optional: false });
        }
    }
    for (const name of integration.preconfigured_credentials ?? []) schemas.delete(name);
    return [...schemas].map(([name, schema]) => {
        const label = integration.credentials_label?.[name];
        return new Field('credentials', name, schema, label ? { title: label, description: '', example: '' } : {});
    });
}

function configFields(provider, part) {
    const shown = Object.entries(provider.connection_config ?? {}).filter(([, schema]) => !schema.automated);
    return shown.map(([name, schema]) => {
        const preset = part.config[name];
        const isPreset = preset !== undefined && preset !== null;
        return new Field('params', name, schema, isPreset ? { isPreset, isHidden: true, value: String(preset) } : {});
    });
}

function optionFields(provider) {
    const shown = Object.entries(provider.assertion_option ?? {}).filter(([, schema]) => !schema.automated);
    return shown.map(([name, schema]) => new Field('assertion', name, schema));
}

/** The customer lets end users bring a client of their own by presetting these names to nothing. */
function overrideFields(provider, part) {
    if (provider.auth_mode !== 'OAUTH2') return [];
    const asked = OVERRIDES.filter((name) => part.config[name] === '');
    return asked.map((name) => new Field('credentials', name, { optional: true }));
}

/** AWS wants this id in the role's trust policy before the role can be assumed, so people must see it first. */
function externalId(provider, part) {
    if (provider.auth_mode !== 'AWS_SIGV4' || part.isReconnecting) return [];
    const value = part.config.external_id ?? randomId();
    const schema = { description: t('field.external_id_text'), order: 0 };
    return [new Field('params', 'external_id', schema, { isCopied: true, value })];
}

/** A UUID v4; `crypto.randomUUID` is missing on plain http. */
function randomId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** A pattern that no browser understands counts as absent. */
function compile(pattern) {
    try {
        return pattern ? new RegExp(pattern) : null;
    } catch {
        return null;
    }
}

function builtInTitle(name) {
    const key = `field.${name}`;
    if (has(key)) return t(key);
    const words = name.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/[_.-]+/g, ' ').toLowerCase();
    return words.charAt(0).toUpperCase() + words.slice(1);
}
