//! Which route connects an account of a mode, and with what. Nothing here touches the document.

/** Routes that take fields, and the fields that each takes; `null` takes whatever the form has. */
const ROUTES = {
    API_KEY: ['api-auth/api-key', ['apiKey']],
    BASIC: ['api-auth/basic', ['username', 'password']],
    OAUTH2_CC: ['oauth2/auth', ['client_id', 'client_secret', 'client_certificate', 'client_private_key']],
    TBA: ['auth/tba', ['token_id', 'token_secret', 'oauth_client_id_override', 'oauth_client_secret_override']],
    JWT: ['auth/jwt', null],
    TWO_STEP: ['auth/two-step', null],
    BILL: ['auth/bill', ['username', 'password', 'organization_id', 'dev_key']],
    SIGNATURE: ['auth/signature', ['username', 'password', 'type']],
    AWS_SIGV4: ['auth/aws-sigv4', ['role_arn', 'region']]
};
const POPUP_MODES = ['OAUTH1', 'OAUTH2', 'CUSTOM', 'APP', 'MCP_OAUTH2', 'MCP_OAUTH2_GENERIC', 'INSTALL_PLUGIN'];
/** Wire: these bodies say their mode, as the browser SDK does. */
const TYPED = ['JWT', 'TWO_STEP', 'SIGNATURE'];

/** How accounts of this provider are connected: `popup`, `form`, `outbound`, `none`, or null when nobody here knows. */
export function wayOf(provider) {
    const mode = provider.auth_mode;
    if (mode === 'OAUTH2' && provider.installation === 'outbound') return 'outbound';
    if (POPUP_MODES.includes(mode)) return 'popup';
    if (mode === 'NONE') return 'none';
    return mode in ROUTES ? 'form' : null;
}

/** Sorts what was filled in by where it goes. `entries` are pairs of field and value. */
export function collect(entries) {
    const sections = { credentials: {}, params: {}, assertion: {} };
    for (const [field, value] of entries) {
        // An empty value says something only where the template has an empty default.
        if (value === '' && !(field.section === 'credentials' && (field.hasDefault || field.isRequired))) continue;
        sections[field.section][field.name] = value;
    }
    return sections;
}

/** Sends a form. The answer has `connectionId` and `providerConfigKey`. */
export async function send(api, provider, key, { credentials, params, assertion }) {
    const way = wayOf(provider);
    if (way === 'none') return api.connect('auth/unauthenticated', key, params, null);
    if (way === 'outbound') return api.connect('auth/oauth-outbound', key, params, null);
    const [path, names] = ROUTES[provider.auth_mode];
    const typed = TYPED.includes(provider.auth_mode) ? { ...credentials, type: provider.auth_mode } : credentials;
    const fields = names === null ? typed : pick(typed, names);
    // Wire: both are required, also where a template asks for one of them only.
    if (provider.auth_mode === 'BASIC') Object.assign(fields, { username: '', password: '', ...fields });
    if (Object.keys(assertion).length > 0) fields.assertionOption = assertion;
    return api.connect(path, key, params, fields);
}

function pick(values, names) {
    return Object.fromEntries(names.filter((name) => name in values).map((name) => [name, values[name]]));
}
