//! The keys of the catalog's grammar as data (`docs/CATALOG.md` explains each; `spec` providers, sections 4, 5 and 7).

use self::Kind::{
    Address, Any, Fields, Flag, Link, ManyOf, Number, OneOf, OneOrMany, Script, Section, Sections,
    SectionsByName, Template, Templates, Text, Texts, TokenAddress, Tree, WordOrSections,
};
use crate::auth::AuthMode as M;

/// What a value looks like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// The name of a built-in hook, and how such names end.
    Script(&'static str),
    /// A page for people.
    Link,
    Flag,
    Number,
    /// A list of texts.
    Texts,
    /// One text or a list of them.
    OneOrMany,
    OneOf(&'static [&'static str]),
    ManyOf(&'static [&'static str]),
    Template,
    /// A template that becomes an address.
    Address,
    /// One address, or one for each auth mode.
    TokenAddress,
    /// Name to template.
    Templates,
    /// Name to template, number, flag, or a tree of these.
    Tree,
    /// Name to form field.
    Fields,
    /// A mapping of known keys.
    Section(&'static [Key]),
    /// A list of such mappings.
    Sections(&'static [Key]),
    /// Any name to such a mapping.
    SectionsByName(&'static [Key]),
    /// A list of such mappings, or one word.
    WordOrSections(&'static str, &'static [Key]),
    /// Not looked into.
    Any,
}

/// One key of a mapping.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// The modes that read it; empty: every mode, or no particular one.
    pub modes: &'static [M],
}

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, modes: &[] }
}

const fn of(name: &'static str, kind: Kind, modes: &'static [M]) -> Key {
    Key { name, kind, modes }
}

const REDIRECTING: &[M] = &[M::OAuth2, M::OAuth1, M::App, M::Custom, M::McpOAuth2, M::McpOAuth2Generic];
const TOKEN_CALLING: &[M] = &[
    M::OAuth2,
    M::OAuth1,
    M::OAuth2Cc,
    M::TwoStep,
    M::App,
    M::Custom,
    M::Bill,
    M::McpOAuth2,
    M::McpOAuth2Generic,
];
const REFRESHING: &[M] = &[M::OAuth2, M::OAuth2Cc, M::TwoStep, M::Custom, M::McpOAuth2, M::McpOAuth2Generic];
const OAUTH2: &[M] = &[M::OAuth2, M::Custom, M::McpOAuth2, M::McpOAuth2Generic];
const OAUTH1: &[M] = &[M::OAuth1];
const MCP: &[M] = &[M::McpOAuth2, M::McpOAuth2Generic];
const CC: &[M] = &[M::OAuth2Cc];
const TWO_STEP: &[M] = &[M::TwoStep];
const SIGNING: &[M] = &[M::Jwt, M::TwoStep, M::Signature];

pub(super) const CATEGORIES: &[&str] = &[
    "accounting",
    "analytics",
    "ats",
    "banking",
    "cms",
    "communication",
    "crm",
    "design",
    "dev-tools",
    "e-commerce",
    "erp",
    "gaming",
    "hr",
    "iam",
    "invoicing",
    "knowledge-base",
    "legal",
    "marketing",
    "mcp",
    "other",
    "payment",
    "popular",
    "productivity",
    "search",
    "social",
    "sports",
    "storage",
    "support",
    "surveys",
    "ticketing",
    "video",
];
const BODY_FORMATS: &[&str] = &["form", "json", "query", "xml"];
const SKIP_ENCODE: &[&str] = &["scopes", "base_url"];

/// The keys of an entry.
pub(super) const ENTRY: &[Key] = &[
    key("display_name", Text),
    key("auth_mode", Text),
    key("alias", Text),
    key("categories", ManyOf(CATEGORIES)),
    key("docs", Link),
    key("docs_connect", Link),
    key("setup_guide_url", Link),
    key("installation", OneOf(&["outbound"])),
    // Authorize step.
    of("authorization_url", Address, REDIRECTING),
    of("authorization_params", Tree, REDIRECTING),
    of(
        "scope_separator",
        Text,
        &[M::OAuth2, M::OAuth2Cc, M::OAuth1, M::Custom, M::McpOAuth2, M::McpOAuth2Generic],
    ),
    key("default_scopes", Texts),
    of("disable_pkce", Flag, OAUTH2),
    of("authorization_url_skip_encode", ManyOf(SKIP_ENCODE), REDIRECTING),
    of("authorization_url_skip_empty", Flag, REDIRECTING),
    of("authorization_url_fragment", Text, REDIRECTING),
    of("authorization_url_replacements", Templates, REDIRECTING),
    of("authorization_code_param_in_callback", Text, REDIRECTING),
    of("redirect_uri_metadata", Texts, REDIRECTING),
    of("request_url", Address, OAUTH1),
    of("request_params", Tree, OAUTH1),
    of("request_http_method", OneOf(&["GET", "POST"]), OAUTH1),
    of("token_http_method", OneOf(&["GET", "POST"]), OAUTH1),
    of("signature_method", OneOf(&["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT", "RSA-SHA1"]), OAUTH1),
    of("client_registration", OneOf(&["dynamic", "static", "cimd"]), MCP),
    of("registration_url", Address, MCP),
    of("registration_params", Any, MCP),
    // Token step.
    of("token_url", TokenAddress, TOKEN_CALLING),
    of("token_url_skip_encode", ManyOf(SKIP_ENCODE), OAUTH2),
    of("token_params", Tree, TOKEN_CALLING),
    of("token_headers", Templates, &[M::TwoStep, M::OAuth2Cc]),
    of("token_request_method", OneOf(&["GET"]), TWO_STEP),
    of("body_format", OneOf(BODY_FORMATS), TOKEN_CALLING),
    of(
        "token_request_auth_method",
        OneOf(&["basic", "custom", "private_key_jwt"]),
        &[M::OAuth2, M::OAuth2Cc, M::Custom, M::McpOAuth2, M::McpOAuth2Generic],
    ),
    of("authorization_method", OneOf(&["header", "body"]), OAUTH2),
    of("require_client_certificate", Flag, CC),
    of("additional_steps", Sections(STEP), TWO_STEP),
    of("assertion", Tree, TWO_STEP),
    of("signature", Section(SIGNATURE), SIGNING),
    of("token", Section(TOKEN), SIGNING),
    of("access_token_url", Address, &[M::Tba]),
    of("auth_type", OneOf(&["BASIC"]), &[M::InstallPlugin]),
    // Token response, expiry, refresh. `token_response` is told apart by mode.
    key("token_response", Any),
    key("token_expires_in_ms", Number),
    of("token_response_headers", Texts, TWO_STEP),
    of("token_response_metadata", Texts, TOKEN_CALLING),
    key("refresh_token_response_metadata", Texts),
    of("alternate_access_token_response_path", Text, OAUTH2),
    of("expires_in_unit", OneOf(&["seconds", "milliseconds"]), &[M::OAuth2Cc, M::OAuth2]),
    of("refresh_params", Tree, REFRESHING),
    of("refresh_url", Address, REFRESHING),
    of("refresh_token_params", Tree, TWO_STEP),
    of("refresh_token_headers", Templates, TWO_STEP),
    key("token_expiration_buffer", Number),
    // Ours: how a token call differs from the generic one.
    of("token_request", Any, OAUTH2),
    of("refresh_request", Any, OAUTH2),
    of("then", Any, OAUTH2),
    // Hooks and incoming webhooks. `webhook` is ours.
    key("webhook", Section(WEBHOOK)),
    key("webhook_routing_script", Script("WebhookRouting")),
    key("webhook_user_defined_secret", Flag),
    key("webhook_allowed_query_params", Texts),
    key("webhook_response_metadata", Texts),
    key("authorization_code_param_in_webhook", Text),
    key("post_connection_script", Script("PostConnection")),
    key("pre_connection_deletion_script", Script("PreConnectionDeletion")),
    key("credentials_verification_script", Script("CredentialsVerification")),
    key("connection_configuration", Texts),
    key("post_connection", Sections(HOOK_STEP)),
    key("pre_deletion", Sections(HOOK_STEP)),
    // Sections.
    key("proxy", Section(PROXY)),
    key("connection_config", Fields),
    key("credentials", Fields),
    key("integration_config", Fields),
    of("assertion_option", Fields, TWO_STEP),
    // Known to the published catalog; nothing reads them.
    key("auth", Any),
    key("decode_url", Any),
    key("pre_connection_creation_script", Any),
    key("proxy_header_authorization", Any),
    key("available_scopes", Texts),
];

const WEBHOOK: &[Key] = &[
    key("verify", Sections(CHECK)),
    key("answers", Sections(REPLY)),
    key("form_field", Text),
    key("wrapped_in", Text),
    key("events", Text),
    key("skip", Section(CONDITION)),
    key("connections", WordOrSections("all", MATCH)),
    key("event_type", OneOrMany),
    key("event_id", Template),
    key("payload", OneOf(&["body", "headers"])),
    key("completes", OneOf(&["approval", "outbound"])),
];

const CHECK: &[Key] = &[
    key("when", Section(CONDITION)),
    key("signature", Template),
    key("separator", Text),
    key("prefix", OneOrMany),
    key("algorithm", OneOf(ALGORITHMS)),
    key("encoding", OneOf(&["hex", "base64"])),
    key("signed", Template),
    key("body_digest", Template),
    key("key", OneOrMany),
    key("agreed", Flag),
    key("key_encoding", OneOf(&["utf8", "hex", "base64", "sha256"])),
    key("key_prefix", Text),
    key("key_document", Section(&[key("url", Template), key("origins", Texts), key("member", Text)])),
    key("timestamp", Section(TIMESTAMP)),
    key("jwt", Section(&[key("keys", Link), key("issuer", Text), key("audience", OneOrMany)])),
    key("optional", Flag),
];

const ALGORITHMS: &[&str] = &[
    "hmac-sha1",
    "hmac-sha256",
    "hmac-sha512",
    "sha1",
    "sha256",
    "rsa-sha256",
    "ecdsa-sha256",
    "ed25519",
    "token",
    "jwt",
];

const TIMESTAMP: &[Key] = &[
    key("value", Template),
    key("prefix", Text),
    key("unit", OneOf(&["seconds", "milliseconds"])),
    key("tolerance", Number),
    key("optional", Flag),
];

const CONDITION: &[Key] = &[key("value", Template), key("equals", Text)];

const REPLY: &[Key] = &[
    key("when", Section(CONDITION)),
    key("text", Template),
    key("json", Any),
    key("signed", Flag),
    key("forward", Flag),
    key("show", Template),
    key("agrees", Template),
    key("token", Template),
    key("headers", Templates),
];

const MATCH: &[Key] = &[
    key("value", OneOrMany),
    key("when", Section(CONDITION)),
    key("pattern", Text),
    key("form", OneOrMany),
    key("field", Text),
    key("decides", Flag),
    key("missing", OneOf(&["connection_id", "nango_connection_id", "shop_domain"])),
];

const PROXY: &[Key] = &[
    key("base_url", Address),
    key("headers", Templates),
    key("query", Templates),
    key("body", Tree),
    key("retry", Section(RETRY)),
    key("paginate", Section(PAGINATE)),
    key("verification", Section(VERIFICATION)),
    key("decompress", Flag),
    key("forward_headers_on_redirect", Flag),
    key("connection_config", Templates),
];

const RETRY: &[Key] = &[
    key("at", OneOrMany),
    key("after", OneOrMany),
    key("remaining", Text),
    key("error_code", Any),
    key(
        "in_body",
        Section(&[key("path", Text), key("value", Text), key("strategy", OneOf(&["at", "after"]))]),
    ),
];

const PAGINATE: &[Key] = &[
    key("type", OneOf(&["link", "cursor", "offset"])),
    key("limit_name_in_request", Text),
    key("response_path", Text),
    key("cursor_path_in_response", Text),
    key("cursor_name_in_request", Text),
    key("link_rel_in_response_header", Text),
    key("link_path_in_response_body", Text),
    key("offset_name_in_request", Text),
    key("offset_start_value", Number),
    key("offset_calculation_method", OneOf(&["by-response-size", "per-page"])),
    key("in_body", Flag),
];

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"];

const VERIFICATION: &[Key] = &[
    key("endpoints", Texts),
    key("method", OneOf(METHODS)),
    key("headers", Templates),
    key("data", Any),
    key("json", Any),
    key("form", Tree),
    key("xml", Tree),
    key("base_url_override", Address),
    key(
        "valid_when",
        Section(&[
            key("status", Any),
            key("equals", Tree),
            key("present", OneOrMany),
            key("absent", OneOrMany),
            key("body_lacks", Any),
        ]),
    ),
];

/// A step of `post_connection` or `pre_deletion`. What is wrong in it, the loader tells.
const HOOK_STEP: &[Key] = &[
    key("when", Section(HOOK_CONDITION)),
    key("unless", Section(HOOK_CONDITION)),
    of("during_sign_in", Flag, &[M::Custom]),
    key(
        "request",
        Section(&[
            key("method", OneOf(METHODS)),
            key("url", Text),
            key("headers", Templates),
            key("json", Any),
            key("form", Tree),
            key("without_credentials", Flag),
        ]),
    ),
    key("source", OneOf(&["answer", "picked", "jwt", "raw_token", "credentials", "config"])),
    key("select", Section(&[key("path", Text), key("pick", Any)])),
    key("set", SectionsByName(HOOK_VALUE)),
    key("set_metadata", SectionsByName(HOOK_VALUE)),
    key("unset", Texts),
    key("overwrite", Flag),
];

const HOOK_CONDITION: &[Key] =
    &[key("unset", OneOrMany), key("set", OneOrMany), key("equals", Tree), key("contains", Templates)];

const HOOK_VALUE: &[Key] = &[
    key("path", OneOrMany),
    key("value", Template),
    key("succeeded", Flag),
    key("as", OneOf(&["string", "number", "boolean", "token"])),
    key("last_path_segment", Flag),
    key("after", Text),
    key("hash", OneOf(&["email_v1"])),
];

const STEP: &[Key] = &[
    key("token_url", Address),
    key("token_params", Tree),
    key("token_headers", Templates),
    key("token_request_method", OneOf(&["GET", "POST"])),
    key("body_format", OneOf(BODY_FORMATS)),
];

const SIGNATURE: &[Key] = &[
    key("protocol", OneOf(&["RSA", "HMAC", "EC", "WSSE"])),
    key("hmac_secret_encoding", OneOf(&["hex", "utf8"])),
];

const TOKEN: &[Key] =
    &[key("signing_key", Template), key("expires_in_ms", Number), key("header", Tree), key("payload", Tree)];

/// `token_response` of `TWO_STEP`.
pub(super) const TOKEN_RESPONSE: &[Key] = &[
    key("token", Text),
    key("token_expiration", Text),
    key("token_expiration_strategy", OneOf(&["expireIn", "expireAt"])),
    key("refresh_token", Text),
];

/// The keys of a form field.
pub(super) const FIELD: &[Key] = &[
    key("type", OneOf(&["string"])),
    key("title", Text),
    key("description", Text),
    key("example", Text),
    key("pattern", Text),
    key("format", OneOf(&["hostname", "uri", "uuid", "email"])),
    key("enum", Texts),
    key("default_value", Text),
    key("hidden", Flag),
    key("automated", Flag),
    key("optional", Flag),
    key("secret", Flag),
    key("prefix", Text),
    key("suffix", Text),
    key("order", Number),
    key("doc_section", Text),
    key("visible_when", Section(&[key("field", Text), key("equals", Text)])),
    key("warnings", Any),
];

/// Every key with its dotted path, for the test that compares the guide with this table.
#[cfg(test)]
pub(super) fn every_key() -> Vec<String> {
    fn collect(prefix: &str, keys: &[Key], into: &mut Vec<String>) {
        for key in keys {
            into.push(format!("{prefix}{}", key.name));
            if let Section(inner) | Sections(inner) | SectionsByName(inner) | WordOrSections(_, inner) =
                key.kind
            {
                collect(&format!("{prefix}{}.", key.name), inner, into);
            }
        }
    }
    let mut names = Vec::new();
    collect("", ENTRY, &mut names);
    collect("token_response.", TOKEN_RESPONSE, &mut names);
    collect("field.", FIELD, &mut names);
    names
}
