//! Catalog entries whose forms have everything that forms can have, one for each mode, and what the operator gives for them.
//! All of them lead into the fake world.

const field = (title, more = {}) => ({ type: 'string', title, description: `About ${title}`, ...more });
const entry = (auth_mode, display_name, more = {}) => ({ auth_mode, display_name, docs: 'https://docs.example.test', docs_connect: 'https://docs.example.test/connect', ...more });

/** The entries of forms, for a world with `tokens`, `aws` and `modes`. */
export function formEntries({ target, tokens, aws, modes }) {
    const behind = (path, more = {}) => ({ base_url: `${modes.url}/${path}`, verification: { method: 'GET', endpoints: ['/me'] }, ...more });
    const credentials = { grant_type: 'client_credentials' };
    return {
        'ui-key': entry('API_KEY', 'Desk', {
            proxy: {
                base_url: target.url,
                headers: { 'x-api-key': '${apiKey}', 'x-site': '${connectionConfig.subdomain} ${connectionConfig.region} ${connectionConfig.version}' },
                verification: { method: 'GET', endpoints: ['/key-check'] }
            },
            connection_config: {
                subdomain: field('Subdomain', { pattern: '^[a-z0-9-]+$', example: 'acme', prefix: 'https://', suffix: '.desk.test', order: 1, doc_section: '#subdomain' }),
                region: field('Region', { enum: ['us', 'eu'], order: 2 }),
                note: field('Note', { optional: true }),
                cell: field('Cell', { automated: true }),
                version: field('Version', { hidden: true, default_value: 'v2' }),
                trace: field('Trace', { hidden: true })
            },
            credentials: { apiKey: field('Access key', { pattern: '^desk_', example: 'desk_123', secret: true }) }
        }),
        'ui-basic': entry('BASIC', 'Ledger', {
            proxy: { base_url: target.url, verification: { method: 'GET', endpoints: ['/basic-check'] } },
            credentials: { username: field('Company'), password: field('Secret word', { secret: true, default_value: '' }) }
        }),
        'ui-cc': entry('OAUTH2_CC', 'Machine', { token_url: tokens.tokenUrl, token_params: credentials, proxy: { base_url: target.url } }),
        'ui-cc-jwt': entry('OAUTH2_CC', 'Machine key', {
            token_url: `${modes.url}/assertion/token`,
            token_params: credentials,
            token_request_auth_method: 'private_key_jwt',
            proxy: { base_url: `${modes.url}/assertion` }
        }),
        'ui-cc-mtls': entry('OAUTH2_CC', 'Machine certificate', {
            token_url: `${modes.bankUrl}/token`,
            token_params: credentials,
            require_client_certificate: true,
            proxy: { base_url: modes.bankUrl }
        }),
        'ui-none': entry('NONE', 'Weather', { proxy: { base_url: target.url, headers: { 'x-city': '${connectionConfig.city}' } }, connection_config: { city: field('City') } }),
        'ui-jwt': entry('JWT', 'Signed', {
            signature: { protocol: 'RSA' },
            token: { signing_key: '${credentials.privateKey}', expires_in_ms: 900_000, header: { alg: 'RS256' }, payload: { iss: '${credentials.issuer}', aud: 'acme' } },
            proxy: behind('jwt'),
            credentials: { privateKey: field('Private key', { secret: true, example: '-----BEGIN PRIVATE KEY-----' }), issuer: field('Issuer', { format: 'uuid' }) }
        }),
        'ui-two-step': entry('TWO_STEP', 'Stairs', {
            token_url: `${modes.url}/steps/token`,
            body_format: 'form',
            token_params: { login: '${credentials.login}', kind: '${credentials.scope} ${credentials.only}', assertion: '${credentials.assertion}' },
            token_response: { token: 'token' },
            assertion: { issuer: 'us', audiences: 'stairs', recipient: `${modes.url}/steps/token`, nameIdentifier: '${assertionOption.subject}' },
            proxy: { base_url: `${modes.url}/steps` },
            credentials: { login: field('Login', { format: 'email' }) },
            integration_config: { scope: field('Kind of scope', { optional: true, enum: ['all', 'some'] }), only: field('Which', { optional: true, visible_when: { field: 'scope', equals: 'some' } }) },
            assertion_option: { subject: field('Subject') }
        }),
        'ui-signature': entry('SIGNATURE', 'Seal', { signature: { protocol: 'WSSE' }, token: { expires_in_ms: 300_000 }, proxy: behind('wsse', { headers: { 'x-wsse': '${accessToken}' } }) }),
        'ui-bill': entry('BILL', 'Billing', { token_url: `${modes.url}/bill/token`, proxy: { base_url: `${modes.url}/bill` } }),
        'ui-aws': entry('AWS_SIGV4', 'Cloud', { proxy: { base_url: aws.url }, credentials: { region: field('Region', { optional: true }) } }),
        'ui-outbound': entry('OAUTH2', 'Market', { installation: 'outbound', authorization_url: `${modes.pages}/authorize`, token_url: `${modes.url}/token` })
    };
}

/** The entries of windows that have no better counterpart in the test catalog. */
export function pluginEntry({ modes }) {
    return {
        'ui-plugin': entry('INSTALL_PLUGIN', 'Plugin', { redirect_uri_metadata: ['website_id'], proxy: { base_url: modes.url, verification: { method: 'GET', endpoints: ['/plugin/${connectionConfig.website_id}'] } } })
    };
}
