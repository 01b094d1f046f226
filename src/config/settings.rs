//! The table of every setting: the source of `.env.example`, of the README's table and of type checks.

use Kind::*;
use Status::*;

/// How a value must read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// `true 1 yes on y enabled` or `false 0 no off n disabled`, in any case.
    Bool,
    Port,
    Url,
    /// A whole number from 0.
    Int,
    /// A whole number from 1.
    Positive,
    /// Milliseconds.
    Millis,
    /// Bytes, with an optional `kb`, `mb` or `gb` (powers of 1024).
    Size,
    Json,
    List,
    Uuid,
    Path,
    OneOf(&'static [&'static str]),
}

/// What Hitchpost does with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Active,
    /// Type-checked; takes effect with the feature that it belongs to, which this version does not have.
    Reserved,
    /// Belongs to a part of the reference server that one process does not need.
    Ignored,
}

pub struct Setting {
    pub name: &'static str,
    pub kind: Kind,
    /// As text, for the documentation; the code's default is tested against it.
    pub default: &'static str,
    pub meaning: &'static str,
    pub status: Status,
}

pub struct Section {
    pub title: &'static str,
    pub settings: &'static [Setting],
}

const fn active(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, kind, default, meaning, status: Active }
}

const fn reserved(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, kind, default, meaning, status: Reserved }
}

const fn ignored(name: &'static str, meaning: &'static str) -> Setting {
    Setting { name, kind: Text, default: "", meaning, status: Ignored }
}

pub const SECTIONS: &[Section] = &[
    Section {
        title: "Addresses",
        settings: &[
            active(
                "SERVER_PORT",
                Port,
                "3003",
                "HTTP port. `PORT` and `NANGO_PORT` are read when it is not set.",
            ),
            active("PORT", Port, "", "Second name of SERVER_PORT, set by many platforms."),
            active("NANGO_PORT", Port, "", "Third name of SERVER_PORT."),
            active("HITCHPOST_HOST", Text, "0.0.0.0", "Address to listen on."),
            active(
                "HITCHPOST_ADMIN_PORT",
                Port,
                "",
                "When set, the dashboard, the operator's routes and the metrics answer on this port, and only there.",
            ),
            active(
                "NANGO_SERVER_URL",
                Url,
                "http://localhost:<port>",
                "Public base URL: the OAuth callback is `<url>/oauth/callback`.",
            ),
            active(
                "NANGO_PUBLIC_SERVER_URL",
                Url,
                "NANGO_SERVER_URL",
                "Base URL of dashboard and logos as browsers see it.",
            ),
            active(
                "NANGO_PUBLIC_CONNECT_URL",
                Url,
                "<NANGO_SERVER_URL>/connect-ui/",
                "Where end users reach the Connect UI; the base of `connect_link`.",
            ),
            active(
                "NANGO_SERVER_WEBSOCKETS_PATH",
                Text,
                "/",
                "Path of the websocket that announces the outcome of an OAuth popup.",
            ),
            active(
                "HITCHPOST_TRUSTED_PROXY_HOPS",
                Int,
                "1",
                "How many last entries of X-Forwarded-For were written by proxies in front; 0 ignores the header.",
            ),
            active(
                "NANGO_SERVER_KEEP_ALIVE_TIMEOUT",
                Millis,
                "61000",
                "How long an idle client connection is kept, in milliseconds.",
            ),
            active(
                "HITCHPOST_LANES",
                Int,
                "",
                "Threads that serve connections, each with provider connections of its own; one a core by default. With 0, \
                 everything shares the threads of background work.",
            ),
            active("NANGO_SERVER_PUBLIC_BODY_LIMIT", Size, "75mb", "Largest request body."),
            active(
                "SERVER_SHUTDOWN_DELAY_MS",
                Millis,
                "0",
                "Wait between answering \"not ready\" and closing, in milliseconds.",
            ),
            reserved(
                "NANGO_DASHBOARD_API_URL",
                Text,
                "/",
                "Where the dashboard sends its calls; `/` means the same origin.",
            ),
            active("FLAG_SERVE_CONNECT_UI", Bool, "true", "Serve the Connect UI from this process."),
            active(
                "NANGO_CONNECT_UI_PORT",
                Port,
                "3009",
                "Port of the Connect UI, besides `/connect-ui/` on the main one; 0 switches it off.",
            ),
            active("CONNECT_UI_PORT", Port, "", "Second name of NANGO_CONNECT_UI_PORT."),
            active(
                "HITCHPOST_CONNECT_UI_FRAME_ANCESTORS",
                List,
                "*",
                "Comma list of the origins whose pages may show the Connect UI in an iframe.",
            ),
            active(
                "HITCHPOST_CONNECT_UI_API_ORIGINS",
                List,
                "",
                "Comma list of origins besides the server's own that the Connect UI's `apiURL` may name.",
            ),
            reserved("CSP_REPORT_ONLY", Bool, "false", "Send the content security policy as report-only."),
        ],
    },
    Section {
        title: "Storage",
        settings: &[
            active(
                "HITCHPOST_DATA_DIR",
                Path,
                "./hitchpost-data",
                "Embedded database, generated encryption key, first API keys.",
            ),
            active(
                "NANGO_DATABASE_URL",
                Url,
                "embedded database",
                "PostgreSQL to use; wins over the parts below.",
            ),
            active(
                "HITCHPOST_LOGS_DATABASE_URL",
                Url,
                "main database",
                "PostgreSQL that stores the operation logs instead; schema and pool are set as the main one's.",
            ),
            active(
                "NANGO_DB_HOST",
                Text,
                "localhost",
                "Database host; setting any of these parts turns the embedded database off.",
            ),
            active("NANGO_DB_PORT", Port, "5432", "Database port."),
            active("NANGO_DB_USER", Text, "nango", "Database user."),
            active("NANGO_DB_PASSWORD", Text, "nango", "Database password."),
            active("NANGO_DB_NAME", Text, "nango", "Database name."),
            active(
                "NANGO_DB_SSL",
                OneOf(&["true", "false", "require", "verify-full"]),
                "false",
                "TLS to the database: `true` or `require` encrypts, `verify-full` also checks the certificate.",
            ),
            active("NANGO_DB_SCHEMA", Text, "nango", "Schema of Hitchpost's tables."),
            active("NANGO_DB_ADDITIONAL_SCHEMAS", List, "", "Schemas appended to the search path."),
            active("NANGO_DB_POOL_MIN", Int, "0", "Database connections kept open."),
            active(
                "NANGO_DB_POOL_MAX",
                Positive,
                "30",
                "Most database connections; always 1 with the embedded database.",
            ),
            active("NANGO_DB_APPLICATION_NAME", Text, "hitchpost", "Name shown in pg_stat_activity."),
            active(
                "HITCHPOST_DB_WAIT_SECS",
                Int,
                "60",
                "How long the start waits for PostgreSQL, in seconds.",
            ),
            active(
                "SERVER_RUN_MODE",
                Text,
                "",
                "`DOCKERIZED` changes the default database host to `nango-db`.",
            ),
            active("NANGO_MIGRATE_AT_START", Bool, "true", "Apply migrations at start."),
            active("NANGO_REDIS_URL", Url, "", "Optional Redis; only ever makes things faster."),
            reserved("NANGO_DB_READ_URL", Url, "", "Read replica."),
            reserved("RECORDS_DATABASE_URL", Url, "main database", "Database of the record cache."),
            ignored("NANGO_DB_CLIENT", "The client library is part of the binary."),
        ],
    },
    Section {
        title: "Keys and access",
        settings: &[
            active(
                "NANGO_ENCRYPTION_KEY",
                Text,
                "generated key file",
                "Comma list of base64 keys of 32 bytes: the first encrypts, all decrypt.",
            ),
            active(
                "NANGO_SECRET_KEY_<ENV>",
                Uuid,
                "",
                "Fixed API key (UUID v4) of the environment <env>, for example NANGO_SECRET_KEY_DEV.",
            ),
            active(
                "NANGO_PUBLIC_KEY_<ENV>",
                Uuid,
                "",
                "Fixed public key (UUID v4) of the environment <env>, beside the one that it was made with.",
            ),
            active("FLAG_API_RATE_LIMIT_ENABLED", Bool, "true", "Rate limits on or off."),
            active(
                "DEFAULT_RATE_LIMIT_PER_MIN",
                Positive,
                "3000",
                "Requests per minute and account; `/proxy` is limited only when this is set.",
            ),
            active(
                "NANGO_SERVER_OAUTH2_TOKEN_MAX_LENGTH",
                Positive,
                "16384",
                "Longest OAuth token accepted on import.",
            ),
            active(
                "HITCHPOST_OAUTH_STATE_COOKIE_REQUIRED",
                Bool,
                "true",
                "Refuse an OAuth callback without the state cookie.",
            ),
            active(
                "HITCHPOST_INITIAL_ENVIRONMENTS",
                List,
                "dev,prod",
                "Environments created at the first start.",
            ),
            active(
                "HITCHPOST_SETTINGS",
                Path,
                "",
                "YAML file of environments, keys, variables and integrations, applied at every start.",
            ),
            active(
                "FLAG_AUTH_ENABLED",
                Bool,
                "true",
                "`true`: accounts for the dashboard; `false`: basic auth.",
            ),
            active(
                "HITCHPOST_OPEN_DASHBOARD",
                Bool,
                "false",
                "With FLAG_AUTH_ENABLED=false and no basic auth: a dashboard without login.",
            ),
            active(
                "NANGO_DASHBOARD_USERNAME",
                Text,
                "",
                "Basic auth user of the dashboard and of the JSON routes under `/api/v1`; set both or none.",
            ),
            active("NANGO_DASHBOARD_PASSWORD", Text, "", "Basic auth password of the same."),
            active(
                "HITCHPOST_OIDC_ISSUER",
                Url,
                "",
                "OpenID provider at which members of the dashboard log in; its redirect URI is `/login/oidc/callback`.",
            ),
            active("HITCHPOST_OIDC_CLIENT_ID", Text, "", "Client id at that provider."),
            active("HITCHPOST_OIDC_CLIENT_SECRET", Text, "", "Client secret; unset for a public client."),
            active("HITCHPOST_OIDC_SCOPES", List, "", "Scopes beside `openid`, `email` and `profile`."),
            active("HITCHPOST_OIDC_GROUPS_CLAIM", Text, "groups", "Claim that names the groups of a member."),
            active(
                "HITCHPOST_OIDC_ROLES",
                List,
                "",
                "Roles by group, `admins=administrator,support=production_support`; the first that fits counts.",
            ),
            active("HITCHPOST_OIDC_ONLY", Bool, "false", "Take no passwords any more."),
            reserved("AUTH_ALLOW_SIGNUP", Bool, "false", "Open sign-up."),
            active(
                "DEFAULT_USER_ROLE",
                Text,
                "administrator",
                "Role that invitations propose: administrator, production_support or development_full_access.",
            ),
            reserved(
                "PUBLIC_AUTHENTICATION_DEPRECATION_DATE",
                Text,
                "",
                "Accounts created before it may use public keys.",
            ),
            active("FLAG_ENFORCE_CLI_VERSION", Bool, "false", "Refuse a CLI newer than 0.71."),
            ignored("NANGO_CACHE_ENV_KEYS", "API key look-ups are always cached and invalidated."),
        ],
    },
    Section {
        title: "Outgoing requests and the proxy",
        settings: &[
            active(
                "NANGO_PROXY_BASE_URL_OVERRIDE_ENABLED",
                Bool,
                "true",
                "Allow the Base-Url-Override header.",
            ),
            active(
                "NANGO_PROXY_BASE_URL_OVERRIDE_DENYLIST",
                Json,
                "loopback, localhost, cloud metadata",
                "JSON list of refused hosts; adds to the defaults, `[]` removes all.",
            ),
            active(
                "NANGO_OUTBOUND_URL_POLICY",
                Json,
                "block private addresses, 5 redirects",
                "JSON object: mode, denylist, allowlist, blockPrivateIps, blockLinkLocal, maxRedirects, allowLoopback, allowCidrs.",
            ),
            active(
                "NANGO_OUTBOUND_URL_POLICY_OAUTH",
                Json,
                "private addresses allowed",
                "The same, laid over it for token endpoints.",
            ),
            active(
                "HITCHPOST_PROXY_TIMEOUT_MS",
                Millis,
                "300000",
                "Longest wait for a provider's response headers, in milliseconds.",
            ),
            active(
                "HITCHPOST_PROXY_REFRESH_ON_401",
                Bool,
                "true",
                "On a provider's 401, refresh once and repeat once.",
            ),
            active("HITCHPOST_PROXY_FORWARD_SET_COOKIE", Bool, "false", "Pass a provider's Set-Cookie on."),
            active(
                "HITCHPOST_PROXY_STRICT_BASE_PATH",
                Bool,
                "false",
                "Refuse `..` that leaves the provider's base path.",
            ),
            active(
                "HITCHPOST_PROXY_LEGACY_STATUS",
                Bool,
                "false",
                "Answer 200 for every buffered success, as the reference server does.",
            ),
            active(
                "HITCHPOST_PROXY_LEGACY_ERRORS",
                Bool,
                "false",
                "Answer 500 instead of 502 when a provider cannot be reached.",
            ),
            active(
                "HITCHPOST_PROXY_TRACE_HEADERS",
                Bool,
                "false",
                "Pass the caller's traceparent and tracestate, and the request id, on to providers.",
            ),
            active(
                "NANGO_RETRYABLE_NETWORK_ERRORS",
                List,
                "",
                "More network error codes that are worth a retry.",
            ),
            active("HTTPS_PROXY", Url, "", "Forward proxy for outgoing https requests."),
            active("HTTP_PROXY", Url, "", "Forward proxy for outgoing http requests."),
            active("NO_PROXY", List, "", "Hosts that are reached without the forward proxy."),
            active(
                "NODE_EXTRA_CA_CERTS",
                Path,
                "",
                "PEM file of additional trusted certificate authorities.",
            ),
            active(
                "AWS_ENDPOINT_URL_STS",
                Url,
                "",
                "Address of AWS STS, for VPC endpoints. Not set: the public endpoint of the role's region.",
            ),
        ],
    },
    Section {
        title: "Catalog",
        settings: &[
            active(
                "HITCHPOST_CATALOG",
                List,
                "",
                "Files, folders or https URLs of catalogs laid over the embedded one.",
            ),
            active("PROVIDERS_URL", Url, "", "One more catalog source, polled."),
            active(
                "PROVIDERS_RELOAD_INTERVAL",
                Millis,
                "60000",
                "How often URL sources are polled, in milliseconds.",
            ),
            active(
                "HITCHPOST_CUSTOM_PROVIDERS",
                Bool,
                "true",
                "Administrators may define providers in the dashboard, which say where credentials are sent.",
            ),
        ],
    },
    Section {
        title: "Background work",
        settings: &[
            active(
                "CRON_REFRESH_CONNECTIONS_EVERY_MIN",
                Int,
                "10",
                "Minutes between refreshes of idle connections; 0 switches it off.",
            ),
            active("CRON_REFRESH_CONNECTIONS_LIMIT", Positive, "100", "Connections refreshed in one page."),
            active(
                "CRON_DELETE_OLD_DATA_EVERY_MIN",
                Int,
                "10",
                "Minutes between clean-ups; 0 switches them off.",
            ),
            active(
                "CRON_DELETE_OLD_CONNECTIONS_MAX_DAYS",
                Int,
                "31",
                "Days after which deleted connections are removed.",
            ),
            active(
                "CRON_DELETE_OLD_CONFIGS_MAX_DAYS",
                Int,
                "31",
                "Days after which deleted integrations are removed.",
            ),
            active(
                "CRON_DELETE_OLD_CONNECT_SESSION_MAX_DAYS",
                Int,
                "31",
                "Days after which expired connect sessions are removed.",
            ),
            active(
                "CRON_DELETE_OLD_OAUTH_SESSION_MAX_DAYS",
                Int,
                "2",
                "Days after which OAuth sessions are removed.",
            ),
            active(
                "CRON_DELETE_OLD_ENVIRONMENTS_MAX_DAYS",
                Int,
                "31",
                "Days after which deleted environments are removed.",
            ),
            reserved(
                "CRON_DELETE_OLD_INVITATIONS_MAX_DAYS",
                Int,
                "2",
                "Days after which expired invitations are removed.",
            ),
            reserved("CRON_DELETE_OLD_JOBS_LIMIT", Positive, "1000", "Runs of functions removed at once."),
            reserved("CRON_DELETE_OLD_JOBS_MAX_DAYS", Int, "31", "Days runs of functions are kept."),
            reserved("CRON_DELETE_OLD_SYNCS_LIMIT", Positive, "25", "Deleted syncs removed at once."),
            reserved(
                "CRON_DELETE_OLD_SYNCS_MAX_DAYS",
                Int,
                "1",
                "Days after which deleted syncs are removed.",
            ),
            reserved(
                "CRON_DELETE_OLD_SYNC_CONFIGS_MAX_DAYS",
                Int,
                "31",
                "Days after which deleted functions are removed.",
            ),
            ignored(
                "CRON_DELETE_OLD_PRIVATE_KEYS_MAX_DAYS",
                "Tokens of sessions are removed with their session.",
            ),
            active(
                "CRON_TIMEOUT_LOGS_MINUTES",
                Int,
                "10",
                "Minutes between checks for operations that never ended; 0 switches them off.",
            ),
            active(
                "NANGO_WEBHOOK_TIMEOUT_MS",
                Millis,
                "20000",
                "Time-out of outgoing webhooks, in milliseconds.",
            ),
            active(
                "NANGO_WEBHOOK_RETRY_ATTEMPTS",
                Int,
                "2",
                "Quick retries of outgoing webhooks, 3 s, 6 s, 12 s ... after a failure. Slow ones follow.",
            ),
            active(
                "HITCHPOST_WEBHOOK_MAX_AGE_HOURS",
                Int,
                "24",
                "How long an outgoing webhook is tried again before it is given up.",
            ),
            active(
                "HITCHPOST_WEBHOOK_RETENTION_DAYS",
                Int,
                "7",
                "Days that finished outgoing webhooks can be looked at and sent again.",
            ),
            active(
                "HITCHPOST_WEBHOOK_POLL_MS",
                Millis,
                "1000",
                "How often a replica looks for outgoing webhooks that are due; 0: it sends only what it queued itself.",
            ),
            active(
                "NANGO_WEBHOOK_CIRCUIT_BREAKER_FAILURE_THRESHOLD",
                Int,
                "5",
                "More failures of a webhook address than this within the window pause it.",
            ),
            active("NANGO_WEBHOOK_CIRCUIT_BREAKER_WINDOW_SECS", Int, "10", "The window, in seconds."),
            active(
                "NANGO_WEBHOOK_CIRCUIT_BREAKER_COOLDOWN_DURATION_SECS",
                Int,
                "60",
                "How long the pause is; then one webhook tries.",
            ),
            active(
                "NANGO_WEBHOOK_CIRCUIT_BREAKER_AUTO_RESET_SECS",
                Int,
                "3600",
                "After this time without an attempt the failures of an address are forgotten.",
            ),
            active(
                "NANGO_WEBHOOK_INGRESS_RATE_LIMIT_PER_MIN",
                Int,
                "4000",
                "Webhooks of providers per minute and integration that headers tell of; 0: not counted.",
            ),
            active(
                "NANGO_WEBHOOK_INGRESS_RATE_LIMIT_ENFORCE",
                Bool,
                "false",
                "Refuse webhooks of providers above the limit.",
            ),
        ],
    },
    Section {
        title: "Logs and mail",
        settings: &[
            active(
                "LOG_LEVEL",
                OneOf(&["trace", "debug", "info", "warn", "error"]),
                "info",
                "Detail of the process log.",
            ),
            active(
                "HITCHPOST_LOG_FORMAT",
                OneOf(&["auto", "text", "json"]),
                "auto",
                "`auto`: text on a terminal, else JSON.",
            ),
            active("NANGO_LOGS_ENABLED", Bool, "true", "Store operation logs, in PostgreSQL."),
            active("NANGO_LOGS_ES_RETENTION_DAYS", Positive, "15", "Days operation logs are kept."),
            active(
                "HITCHPOST_LOG_PROXY_SUCCESS_PCT",
                Int,
                "100",
                "Percentage of successful proxied calls that is logged; failed ones always are.",
            ),
            active(
                "HITCHPOST_LOG_PROXY_SUCCESS_RETENTION_DAYS",
                Positive,
                "3",
                "Days that logs of successful proxied calls are kept.",
            ),
            active(
                "HITCHPOST_LOGS_MAX_SIZE",
                Size,
                "20gb",
                "Space for operation logs; beyond it the oldest days go early.",
            ),
            active(
                "NANGO_LOGS_PROVIDER",
                OneOf(&["elasticsearch", "opensearch"]),
                "elasticsearch",
                "What NANGO_LOGS_ES_URL is.",
            ),
            active("NANGO_LOGS_ES_URL", Url, "", "A cluster that gets a copy of the operation logs."),
            active("NANGO_LOGS_ES_USER", Text, "", "Its user; set both or none."),
            active("NANGO_LOGS_ES_PWD", Text, "", "Its password."),
            active("NANGO_LOGS_ES_REQUEST_TIMEOUT_MS", Millis, "5000", "Longest wait for the cluster."),
            active("NANGO_LOGS_ES_MAX_RETRIES", Int, "1", "Further attempts before a batch is dropped."),
            active(
                "NANGO_LOGS_ES_PREFIX",
                Text,
                "",
                "Put before the names of indexes and policies, with a `_`.",
            ),
            active("NANGO_LOGS_ES_INDEX_OPERATIONS", Text, "20250724_operations", "Alias over all days."),
            active("NANGO_LOGS_ES_INDEX_MESSAGES", Text, "20240528_messages", "Alias over all days."),
            active("NANGO_LOGS_ES_SHARD_PER_DAY_OPERATIONS", Positive, "1", "Shards of a day's index."),
            active("NANGO_LOGS_ES_SHARD_PER_DAY_MESSAGES", Positive, "1", "Shards of a day's index."),
            active(
                "NANGO_LOGS_ES_WARM_MIN_AGE",
                Text,
                "48h",
                "Age at which a day's messages become read-only (Elasticsearch).",
            ),
            active(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                Url,
                "",
                "Collector that gets traces of all environments and the metrics, over HTTP.",
            ),
            active(
                "OTEL_EXPORTER_OTLP_HEADERS",
                List,
                "",
                "Headers for it: `name=value`, values percent-encoded.",
            ),
            active(
                "OTEL_LOGS_EXPORTER",
                OneOf(&["otlp", "none"]),
                "otlp",
                "`none`: the messages of operations are not sent to it, traces and metrics only.",
            ),
            active("OTEL_SERVICE_NAME", Text, "hitchpost", "What collectors call this server."),
            active(
                "OTEL_METRIC_EXPORT_INTERVAL",
                Millis,
                "60000",
                "How often metrics are sent, in milliseconds.",
            ),
            active("FLAG_AUDIT_TRAIL_ENABLED", Bool, "true", "Record administrative changes."),
            active(
                "HITCHPOST_AUDIT_RETENTION_DAYS",
                Int,
                "365",
                "Days administrative changes are kept; 0 keeps them for ever.",
            ),
            active(
                "HITCHPOST_METRICS_PORT",
                Port,
                "",
                "A port for Prometheus alone: `/metrics`, `/health` and `/ready`.",
            ),
            active(
                "NANGO_METRICS_INCLUDE_PROVIDER_CONFIG_KEY",
                Bool,
                "false",
                "Tell proxied calls apart by integration in the metrics, too.",
            ),
            active(
                "SMTP_URL",
                Url,
                "",
                "Mail server for invitations and new passwords, `smtp://user:pass@host:port`.",
            ),
            active("SMTP_FROM", Text, "", "Sender of mails; default `hitchpost@` and the server's host."),
            ignored("NANGO_TELEMETRY_SDK", "Nothing is sent anywhere."),
            ignored("TELEMETRY", "Nothing is sent anywhere."),
        ],
    },
    Section {
        title: "Accepted and ignored",
        settings: &[
            ignored("NODE_ENV", "There is no Node."),
            ignored("TZ", "All times are UTC."),
            ignored("NANGO_CLOUD", "There is one edition."),
            ignored("NANGO_ENTERPRISE", "There is one edition."),
            ignored("NANGO_INTEGRATIONS_FULL_PATH", "Function code is stored in the database."),
            ignored("JOBS_SERVICE_URL", "One process does everything."),
            ignored("PERSIST_SERVICE_URL", "One process does everything."),
            ignored("ORCHESTRATOR_SERVICE_URL", "One process does everything."),
            ignored("NANGO_JOBS_PORT", "One process does everything."),
            ignored("NANGO_PERSIST_PORT", "One process does everything."),
            ignored("NANGO_ORCHESTRATOR_PORT", "One process does everything."),
            ignored("NANGO_ADMIN_KEY", "Cloud operations only."),
            ignored("NANGO_ADMIN_UUID", "Cloud operations only."),
            ignored("NANGO_ADMIN_INVITE_TOKEN", "Cloud operations only."),
            ignored("NANGO_INTERNAL_API_KEY", "Cloud operations only."),
        ],
    },
];

/// Names whose last part is chosen by the operator.
pub const PREFIXES: &[&str] = &["NANGO_SECRET_KEY_", "NANGO_PUBLIC_KEY_"];

/// Prefixes of variables that upstream reads for parts Hitchpost does not have, or has under another form.
pub const IGNORED_PREFIXES: &[&str] = &[
    "NANGO_LOGS_",
    "NANGO_INTERNAL_TLS_",
    "NANGO_PUBSUB_",
    "NANGO_ACTIVEMQ_",
    "NANGO_TASK_DISPATCH_",
    "NANGO_CUSTOMER_REDIS_",
    "NANGO_REDIS_",
    "NANGO_UNLEASH_",
    "NANGO_FEATURE_FLAG_",
    "NANGO_FLAG_PROVIDER",
    "NANGO_AUDIT_",
    "NANGO_MANAGEMENT_MCP_",
    "NANGO_ENCRYPTION_KEY_WRAPPED",
    "NANGO_KMS_",
    "NANGO_IMPERSONATION_",
    "NANGO_SLACK_",
    "HITCHPOST_FUNCTION_",
    "HITCHPOST_ACTION_",
    "HITCHPOST_LOG_",
    "HITCHPOST_LOGS_",
    "HITCHPOST_TEST_",
];

/// The setting of that exact name.
pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}

/// Every setting, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}
