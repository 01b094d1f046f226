//! What a careful person would type into an entry's forms, and what a provider might answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hitchpost::auth::AuthMode;
use hitchpost::catalog::{
    ExpirationStrategy, FieldSchema, Fields, Parameter, Provider, SignatureProtocol, validate_fields,
};
use hitchpost::template::Template;
use serde_json::{Map, Value, json};

use super::pattern::text_for;

/// Tried in this order where the entry itself says nothing usable.
const CANDIDATES: [&str; 14] = [
    "acme",
    "acme.example.com",
    "http://acme.example.com",
    "http://acme.example.com/api",
    "12345678",
    "us",
    "US",
    "eu1",
    "0f3f6f0e-7a55-4f0a-9d63-2f3f3f3f3f3f",
    "jane@example.com",
    "0123456789abcdef0123456789abcdef",
    "abcdefghij0123456789",
    "arn:aws:iam::123456789012:role/acme",
    "1",
];

/// Values for the fields that a form sends: also hidden ones with their defaults.
pub fn typed(provider: &Provider, fields: &Fields) -> Map<String, Value> {
    let sent = fields.iter().filter(|(_, schema)| !schema.automated);
    sent.map(|(name, schema)| (name.clone(), plausible(provider, name, schema).into())).collect()
}

/// The connection config of a sign-in: what end users type, and what the customer's backend gives where a redirect or a
/// token request needs more than that.
pub fn submitted(provider: &Provider) -> Map<String, Value> {
    let mut values = typed(provider, &provider.connection_config);
    let parameters = provider.authorization_params.values().chain(provider.token_params.values());
    let urls = provider.authorization_url.iter().chain(provider.token_url());
    let used: Vec<&str> =
        urls.chain(parameters.flat_map(Parameter::templates)).flat_map(Template::names).collect();
    let in_urls: Vec<&str> = provider.url_templates().flat_map(Template::names).collect();
    let is_from_callback = |name: &String| provider.redirect_uri_metadata.contains(name);
    for (name, schema) in provider.connection_config.iter().filter(|(name, _)| !is_from_callback(name)) {
        let label = format!("connectionConfig.{name}");
        let is_empty = values.get(name).is_some_and(|value| value == "");
        if (schema.automated && used.contains(&label.as_str()))
            || (is_empty && in_urls.contains(&label.as_str()))
        {
            let shown = FieldSchema { hidden: false, ..schema.clone() };
            values.insert(name.clone(), plausible(provider, name, &shown).into());
        }
    }
    values
}

/// Values for the fields that the server fills in after a sign-in.
pub fn automated(provider: &Provider) -> Map<String, Value> {
    let fields = provider.connection_config.iter().filter(|(_, schema)| schema.automated || schema.hidden);
    let fields = fields.map(|(name, schema)| (name.clone(), plausible(provider, name, schema)));
    let hooks = provider.connection_configuration.iter().chain(&provider.token_response_metadata);
    let hooks = hooks.map(|name| (name.clone(), plausible(provider, name, &FieldSchema::default())));
    hooks.chain(fields).map(|(name, value)| (name, value.into())).collect()
}

/// A value that the field takes, and that is safe in the URLs that it becomes a part of.
pub fn plausible(provider: &Provider, name: &str, schema: &FieldSchema) -> String {
    if schema.hidden && schema.default_value.as_deref() == Some("") {
        return String::new();
    }
    let is_key = schema.description.contains("PEM") || name.to_ascii_lowercase().contains("privatekey");
    if is_key && let Some(key) = private_key(provider, name, schema) {
        return key;
    }
    let own = schema.options.first().into_iter().chain(&schema.default_value).chain(&schema.example);
    let fitting = schema.pattern.as_deref().and_then(text_for);
    let own = own.chain(&fitting).map(String::as_str).filter(|text| !text.is_empty());
    // A credential may have the name of another value that belongs to the connection config.
    let is_config = provider.connection_config.get(name).is_none_or(|own| own == schema);
    let fits = |text: &&str| {
        let values = Map::from_iter([(name.to_owned(), Value::from(*text))]);
        let schema = FieldSchema { automated: false, ..schema.clone() };
        let only = Fields::from_iter([(name.to_owned(), schema)]);
        let is_safe = !is_config
            || provider.validate_connection_config(&values).iter().all(|problem| problem.field != name);
        validate_fields(&only, &values).is_empty() && is_safe
    };
    own.chain(CANDIDATES).find(fits).unwrap_or("acme").to_owned()
}

/// A key that the entry can sign with. None: the entry's own pattern says what a key looks like.
fn private_key(provider: &Provider, name: &str, schema: &FieldSchema) -> Option<String> {
    let protocol = provider.signature.as_ref().map(|signature| signature.protocol);
    let key = match protocol {
        Some(SignatureProtocol::Hmac | SignatureProtocol::Wsse | SignatureProtocol::Unknown) => return None,
        Some(SignatureProtocol::Ec) => EC_KEY.to_owned(),
        Some(SignatureProtocol::Rsa) => RSA_KEY.to_owned(),
        None if provider.assertion.is_some() => assertion_key(provider).to_owned(),
        None => ed25519_key(),
    };
    let only = Fields::from_iter([(name.to_owned(), schema.clone())]);
    let fits = |key: &String| {
        let values = Map::from_iter([(name.to_owned(), Value::from(key.as_str()))]);
        validate_fields(&only, &values).is_empty()
    };
    // Some want it as it stands in a JSON file, or without its last line break.
    let bare = key.trim_end().to_owned();
    let written_out = key.replace('\n', "\\n");
    [key, bare, written_out].into_iter().find(fits)
}

/// ES256 wants a key of its curve, everything else RSA.
fn assertion_key(provider: &Provider) -> &'static str {
    let wants_ec =
        provider.raw.get("assertion").is_some_and(|assertion| assertion.to_string().contains("ES256"));
    if wants_ec { EC_KEY } else { RSA_KEY }
}

/// Keys that are good for nothing.
pub const RSA_KEY: &str = include_str!("../../../src/auth/test_rsa_key.pkcs8.pem");
const EC_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgHP9MPxacIPwkHltd
FKeeru8/fmKkuizKq7nObPJM7+ahRANCAARDkSjm+Po5y/1Ywndc6pHVI9bASUhm
oIuNptJcIoYVO0+5arju6QKiaILusIQa8JnyRDwRpEayVe8SZUtiWvhM
-----END PRIVATE KEY-----
";

/// RFC 8410, section 7.
fn ed25519_key() -> String {
    let mut key =
        vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    key.extend([7; 32]);
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key))
}

/// An answer in which every provider finds its token: the usual members, the unusual ones, and the metadata that the entry
/// wants to keep.
pub fn answer(provider: &Provider) -> Value {
    let tokens = json!({
        "access_token": "access-token-1", "refresh_token": "refresh-token-1", "token_type": "bearer", "expires_in": 3600,
        "accessToken": "access-token-1", "refreshToken": "refresh-token-1", "expiresAt": "2040-01-01T00:00:00.000Z",
        "token": "access-token-1", "expireTime": "2040-01-01T00:00:00.000Z",
    });
    let mut answer = tokens.clone();
    let more = json!({
        "data": tokens, "ok": true, "code": 0, "result": "0000", "client_id": "client-1", "accountID": 7,
        "access_token_expiration": 2_208_988_800_u64, "BhRestToken": "access-token-1", "restUrl": "http://rest.example.com/",
        // Of verifications, of the identity of a user, of a session at Bill.com, and of an app's installation.
        "is_logged_in": true, "login": "octocat", "sessionId": "session-1", "organizationId": "o", "userId": "u-1",
        "expires_at": "2040-01-01T00:00:00Z",
    });
    if let (Some(answer), Some(more)) = (answer.as_object_mut(), more.as_object()) {
        answer.extend(more.clone());
    }
    answer["data"]["Orders"] = json!([]);
    put_login_token(&mut answer, provider);
    for path in &provider.token_response_metadata {
        let field = provider.connection_config.get(path).cloned().unwrap_or_default();
        set(&mut answer, path, plausible(provider, path, &field).into());
    }
    answer
}

/// Where the answer of a login of its own has its token, and what further calls of the login want of it.
fn put_login_token(answer: &mut Value, provider: &Provider) {
    if provider.mode() != Some(AuthMode::TwoStep) {
        return;
    }
    let response = &provider.token_response;
    for (path, value) in [(&response.token, "access-token-1"), (&response.refresh_token, "refresh-token-1")] {
        if let Some(path) = path.as_deref().filter(|path| !path.is_empty()) {
            set(answer, path, value.into());
        }
    }
    if let Some(path) = &response.token_expiration {
        let is_moment = response.token_expiration_strategy == ExpirationStrategy::ExpireAt;
        let value = if is_moment { json!("2040-01-01T00:00:00Z") } else { json!(3600) };
        set(answer, path, value);
    }
    let steps = provider.additional_steps.iter();
    let templates = steps.flat_map(|step| {
        let parameters = step.token_params.values().flat_map(Parameter::templates);
        parameters.chain(step.token_headers.values()).chain([&step.token_url])
    });
    for template in templates {
        // What an address begins with is one itself.
        let is_address = template.source().starts_with("${step");
        let value = if is_address { "http://login.example.com" } else { "step-value-1" };
        for (_, path) in template.names().filter_map(|name| name.strip_prefix("step")?.split_once('.')) {
            if answer.pointer(&format!("/{}", path.replace('.', "/"))).is_none() {
                set(answer, path, value.into());
            }
        }
    }
}

fn set(target: &mut Value, path: &str, value: Value) {
    match path.split_once('.') {
        Some((first, rest)) => {
            if !target[first].is_object() {
                target[first] = json!({});
            }
            set(&mut target[first], rest, value);
        }
        None => target[path] = value,
    }
}
