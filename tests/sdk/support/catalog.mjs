//! The test catalog, in the providers.yaml grammar: one entry per kind of sign-in, all pointing into the fake world.

/** Entries for the given fakes; leave one out and its entries are missing. */
export function testCatalog({ oidc, oauth1, tokens, github, target }) {
    return {
        ...(github && appEntries(github)),
        ...(oidc && oidcEntries(oidc, target)),
        ...(oauth1 && oauth1Entries(oauth1)),
        ...(tokens && tokenEntries(tokens, target)),
        ...targetEntries(target)
    };
}

/** The catalog's own entries, pointed at another GitHub. */
function appEntries(github) {
    const app = `${github.url}/app/installations/\${connectionConfig.installation_id}/access_tokens`;
    const common = { proxy: { base_url: github.url }, token_expiration_buffer: 1 };
    return {
        'test-app': { alias: 'github-app', ...common, token_url: app },
        'test-user-app': { alias: 'github-app-oauth', ...common, token_url: { OAUTH2: `${github.url}/login/oauth/access_token`, APP: app } }
    };
}

function oauth1Entries(oauth1) {
    const entry = {
        display_name: 'OAuth 1 provider',
        auth_mode: 'OAUTH1',
        request_url: `${oauth1.url}/request_token`,
        authorization_url: `${oauth1.publicUrl}/authorize`,
        token_url: `${oauth1.url}/access_token`,
        signature_method: 'HMAC-SHA1',
        scope_separator: ',',
        request_params: { x_auth_access_type: 'read & write' },
        authorization_params: { expiration: 'never' },
        proxy: { base_url: oauth1.url },
        docs: 'https://docs.example.test/oauth1'
    };
    return {
        'test-oauth1': entry,
        'test-oauth1-rsa': { ...entry, display_name: 'OAuth 1 provider, RSA', signature_method: 'RSA-SHA1' },
        'test-oauth1-plain': { ...entry, display_name: 'OAuth 1 provider, plain', signature_method: 'PLAINTEXT' },
        'test-tba': {
            display_name: 'Token-based authentication',
            auth_mode: 'TBA',
            proxy: { base_url: oauth1.url, verification: { method: 'GET', endpoints: ['/api/me?a=b%20c'] } },
            connection_config: { accountId: { type: 'string', title: 'Account', description: 'Account ID' } },
            docs: 'https://docs.example.test/tba'
        }
    };
}

function oidcEntries(oidc, target) {
    const entry = {
        display_name: 'Real OAuth server',
        categories: ['dev-tools'],
        auth_mode: 'OAUTH2',
        authorization_url: oidc.authorizationUrl,
        token_url: oidc.tokenUrl,
        default_scopes: ['openid', 'offline_access'],
        authorization_params: { prompt: 'consent' },
        token_expiration_buffer: 1,
        proxy: { base_url: target.url },
        docs: 'https://docs.example.test/oidc'
    };
    return {
        'test-oidc': entry,
        'test-mcp': {
            ...entry,
            display_name: 'MCP server of the catalog',
            auth_mode: 'MCP_OAUTH2',
            client_registration: 'dynamic',
            registration_url: oidc.registrationUrl,
            default_scopes: ['openid', 'offline_access', 'tools'],
            authorization_params: { prompt: 'consent', resource: `${target.url}/mcp` },
            token_params: { grant_type: 'authorization_code' },
            refresh_params: { grant_type: 'refresh_token' }
        },
        'test-mcp-generic': {
            display_name: 'Any MCP server',
            categories: ['mcp'],
            auth_mode: 'MCP_OAUTH2_GENERIC',
            connection_config: { mcp_server_url: { type: 'string', title: 'MCP server URL', description: 'The address of the server' } },
            proxy: { base_url: '${connectionConfig.mcp_server_url}' },
            docs: 'https://docs.example.test/mcp'
        },
        'test-oidc-header': { ...entry, display_name: 'Real OAuth server, secret in a header', authorization_method: 'header' }
    };
}

function tokenEntries(tokens, target) {
    const entry = {
        display_name: 'Scripted OAuth server',
        auth_mode: 'OAUTH2',
        authorization_url: tokens.authorizationUrl,
        token_url: tokens.tokenUrl,
        token_expiration_buffer: 1,
        proxy: { base_url: target.url },
        docs: 'https://docs.example.test/tokens'
    };
    return {
        'test-tokens': entry,
        'test-client-credentials': {
            display_name: 'Client credentials',
            auth_mode: 'OAUTH2_CC',
            token_url: tokens.tokenUrl,
            token_params: { grant_type: 'client_credentials' },
            proxy: { base_url: target.url },
            docs: 'https://docs.example.test/cc'
        }
    };
}

function targetEntries(target) {
    const proxy = { base_url: target.url, retry: { after: ['x-retry-in'] } };
    const key = {
        auth_mode: 'API_KEY',
        credentials: { apiKey: { type: 'string', title: 'API key', description: 'Any key will do', secret: true } },
        docs: 'https://docs.example.test/key'
    };
    return {
        'test-key': { ...key, display_name: 'API key', proxy: { ...proxy, headers: { 'x-api-key': '${apiKey}' } } },
        'test-key-verified': {
            ...key,
            display_name: 'API key, verified',
            proxy: { ...proxy, headers: { 'x-api-key': '${apiKey}' }, verification: { method: 'GET', endpoints: ['/key-check'] } }
        },
        'test-basic': {
            display_name: 'User name and password, verified',
            auth_mode: 'BASIC',
            proxy: { ...proxy, verification: { method: 'GET', endpoints: ['/basic-check'] } },
            docs: 'https://docs.example.test/basic'
        },
        'test-open': { display_name: 'No credentials', auth_mode: 'NONE', proxy, docs: 'https://docs.example.test/open' }
    };
}
