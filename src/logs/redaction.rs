//! Keeps secrets out of the log, and entries small (`spec` logs, section 4). Pure: it knows no operation and no store.
//!
//! Two nets: the values that are known to be secret, in every spelling that a URL or a header gives them, and the names under
//! which secrets usually travel, for those that nobody announced.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use regex::Regex;
use serde_json::{Map, Value};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// What stands for a secret in headers, URLs and texts.
const REDACTED: &str = "REDACTED";
/// What stands for a secret in objects.
const REDACTED_MEMBER: &str = "[Redacted]";
const CUT: &str = "[...]";
/// Shorter values would be found by chance, and hiding them would say what they are.
const SHORTEST: usize = 4;
const DEEPEST: usize = 10;
/// Objects after this many entries of their parent are cut.
const WIDEST: usize = 20;
/// Characters of one text.
pub const LONGEST_TEXT: usize = 10_000;
/// Bytes of one entry.
pub const LARGEST_ENTRY: usize = 99_000;

/// Pieces of names whose values are secrets, letters and digits only.
const SECRET_PIECES: [&str; 17] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "accesskey",
    "privatekey",
    "subscriptionkey",
    "authorization",
    "signature",
    "credential",
    "assertion",
    "cookie",
    "session",
    "jwt",
    "bearer",
];
/// Whole names whose values are secrets.
const SECRET_NAMES: [&str; 11] =
    ["key", "code", "sig", "auth", "pwd", "pass", "hmac", "state", "codeverifier", "devkey", "sid"];
/// Names that only look like it: places in a list and kinds of tokens.
const HARMLESS_NAMES: [&str; 9] = [
    "pagetoken",
    "nextpagetoken",
    "nexttoken",
    "synctoken",
    "nextsynctoken",
    "continuationtoken",
    "tokentype",
    "tokenurl",
    "grouptoken",
];
/// Headers that say nothing about an API.
const NOISE: [&str; 38] = [
    "accept-ranges",
    "age",
    "alt-svc",
    "cache-control",
    "cf-cache-status",
    "cf-ray",
    "connection",
    "content-security-policy",
    "content-security-policy-report-only",
    "cookie",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "etag",
    "expect-ct",
    "expires",
    "keep-alive",
    "nel",
    "origin-agent-cluster",
    "permissions-policy",
    "pragma",
    "priority",
    "referrer-policy",
    "report-to",
    "reporting-endpoints",
    "server",
    "server-timing",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "via",
    "x-cache",
    "x-content-type-options",
    "x-dns-prefetch-control",
    "x-frame-options",
    "x-powered-by",
    "x-xss-protection",
];
/// Members that hold machinery instead of information.
const DROPPED_MEMBERS: [&str; 5] = ["httpAgent", "httpsAgent", "trace", "_sessionCache", "stack"];

/// Secrets inside of texts that people or providers wrote.
static NAMED_IN_TEXT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let names = "(?:access|refresh|id|auth|session|api)_?token|client_?secret|api_?key|password|code_verifier|\
                 client_assertion|private_?key";
    Regex::new(&format!(r#"(?i)\b({names})("?\s*[=:]\s*"?)([^\s"'&,;}}]+)"#)).ok()
});
static BEARER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}").ok());

/// The secrets of one operation. Deliberately without `Debug`.
#[derive(Clone, Default)]
pub struct Redactor(Vec<Zeroizing<String>>);

impl Redactor {
    /// Hides a value in every spelling that it may travel in.
    pub fn hide(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.len() < SHORTEST {
            return;
        }
        let form: String = byte_serialize(secret.as_bytes()).collect();
        let strict = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let spellings = [
            secret.to_owned(),
            form.to_ascii_lowercase(),
            form,
            strict.to_ascii_lowercase(),
            strict,
            percent_encoded(secret),
            STANDARD.encode(secret),
            json_spelling(secret),
        ];
        self.0.extend(spellings.map(Zeroizing::new));
        // The longest first: a secret may be a part of another.
        self.0.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        self.0.dedup();
    }

    /// Hides the secrets of credentials: every text, except for what their provider said besides, where names decide.
    pub fn hide_credentials(&mut self, credentials: &Value) {
        let Value::Object(members) = credentials else { return };
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if let (Some(name), Some(password)) = (text("username"), text("password")) {
            self.hide(&STANDARD.encode(format!("{name}:{password}")));
        }
        for (name, value) in members {
            match name.as_str() {
                "type" | "expires_at" => {}
                "raw" => self.hide_named(value),
                _ => self.hide_all(value),
            }
        }
    }

    /// Hides every text in a value.
    pub fn hide_all(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.hide(text),
            Value::Array(items) => items.iter().for_each(|item| self.hide_all(item)),
            Value::Object(members) => members.values().for_each(|member| self.hide_all(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Hides the texts of members that have the name of a secret.
    pub fn hide_named(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    if is_secret_name(name) { self.hide_all(member) } else { self.hide_named(member) }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.hide_named(item)),
            _ => {}
        }
    }

    /// A text without secrets, of bounded length and storable.
    pub fn text(&self, text: &str) -> String {
        let mut text = self.without_values(text).replace('\0', "");
        if let Some(pattern) = &*NAMED_IN_TEXT {
            text = pattern.replace_all(&text, "${1}${2}REDACTED").into_owned();
        }
        if let Some(pattern) = &*BEARER {
            text = pattern.replace_all(&text, "${1} REDACTED").into_owned();
        }
        match text.char_indices().nth(LONGEST_TEXT) {
            Some((end, _)) => format!("{}... (truncated)", &text[..end]),
            None => text,
        }
    }

    fn without_values(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), REDACTED));
            }
        }
        text.into_owned()
    }

    /// A URL without user, password, the values of parameters that carry secrets, and secrets anywhere else.
    pub fn url(&self, url: &str) -> String {
        let (rest, fragment) = split_once_or(url, '#');
        let (path, query) = split_once_or(rest, '?');
        let mut clean = without_user(path);
        for (mark, part) in [('?', query), ('#', fragment)] {
            if let Some(part) = part {
                clean.push(mark);
                clean.push_str(&without_named_values(part));
            }
        }
        self.text(&clean)
    }

    /// Headers by lower-case name, without those that say nothing.
    pub fn headers(&self, headers: &HeaderMap) -> Map<String, Value> {
        let mut shown = Map::new();
        for (name, value) in headers {
            let name = name.as_str();
            if NOISE.contains(&name) || name.starts_with("access-control-") {
                continue;
            }
            let value = String::from_utf8_lossy(value.as_bytes());
            shown.insert(name.to_owned(), self.header(name, &value).into());
        }
        shown
    }

    fn header(&self, name: &str, value: &str) -> String {
        if is_secret_name(name) {
            return REDACTED.to_owned();
        }
        if value.contains("://") {
            return self.url(value);
        }
        if self.0.iter().any(|secret| value.contains(secret.as_str())) {
            return REDACTED.to_owned();
        }
        self.text(value)
    }

    /// A JSON value without secrets, not too deep and not too wide.
    pub fn json(&self, value: &Value) -> Value {
        self.json_at(value, 0)
    }

    fn json_at(&self, value: &Value, depth: usize) -> Value {
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(items) => {
                let item = |(index, item): (usize, &Value)| self.entry(item, index, depth);
                items.iter().enumerate().map(item).collect()
            }
            Value::Object(members) if is_buffer(members) => "[Buffer]".into(),
            Value::Object(members) => {
                let mut shown = Map::new();
                for (index, (name, member)) in members.iter().enumerate() {
                    if DROPPED_MEMBERS.contains(&name.as_str()) {
                        continue;
                    }
                    let is_hidden = is_secret_name(name) && !matches!(member, Value::Null | Value::Bool(_));
                    let member =
                        if is_hidden { REDACTED_MEMBER.into() } else { self.entry(member, index, depth) };
                    shown.insert(self.text(name), member);
                }
                shown.into()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn entry(&self, value: &Value, index: usize, depth: usize) -> Value {
        let is_nested = value.is_object() || value.is_array();
        if is_nested && (depth + 1 >= DEEPEST || index >= WIDEST) {
            return CUT.into();
        }
        self.json_at(value, depth + 1)
    }
}

/// Whether values under this name are secrets, whatever they are.
pub fn is_secret_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    if HARMLESS_NAMES.contains(&plain.as_str()) {
        return false;
    }
    SECRET_NAMES.contains(&plain.as_str()) || SECRET_PIECES.iter().any(|piece| plain.contains(piece))
}

/// Drops members of `meta`, the largest first, until the entry is small enough; says whether something was dropped.
pub fn shrink(meta: &mut Option<Value>, rest: usize) -> bool {
    let size = |meta: &Option<Value>| meta.as_ref().map_or(0, |meta| meta.to_string().len());
    let mut was_cut = false;
    while rest + size(meta) > LARGEST_ENTRY {
        was_cut = true;
        let largest = match meta {
            Some(Value::Object(members)) => members
                .iter()
                .max_by_key(|(_, member)| member.to_string().len())
                .map(|(name, _)| name.clone()),
            _ => None,
        };
        match (largest, &mut *meta) {
            (Some(name), Some(Value::Object(members))) => {
                members.shift_remove(&name);
            }
            _ => {
                *meta = None;
                break;
            }
        }
    }
    was_cut
}

fn percent_encoded(secret: &str) -> String {
    // What `encodeURIComponent` leaves as it is.
    const COMPONENT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'!')
        .remove(b'~')
        .remove(b'*')
        .remove(b'\'')
        .remove(b'(')
        .remove(b')');
    utf8_percent_encode(secret, COMPONENT).to_string()
}

/// As a JSON text writes it between its quotes.
fn json_spelling(secret: &str) -> String {
    let text = Value::from(secret).to_string();
    text.trim_matches('"').to_owned()
}

fn split_once_or(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn without_user(path: &str) -> String {
    let Some((scheme, rest)) = path.split_once("://") else { return path.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{REDACTED}@{}", &rest[at + 1..]),
        None => path.to_owned(),
    }
}

fn without_named_values(query: &str) -> String {
    let pair = |pair: &str| {
        let Some((name, value)) = pair.split_once('=') else { return pair.to_owned() };
        let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        if is_secret_name(&decoded) && !value.is_empty() {
            format!("{name}={REDACTED}")
        } else {
            format!("{name}={value}")
        }
    };
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

/// How Node's JSON writes binary data.
fn is_buffer(members: &Map<String, Value>) -> bool {
    members.len() == 2
        && members.get("type").and_then(Value::as_str) == Some("Buffer")
        && members.get("data").is_some_and(Value::is_array)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::HeaderName;
    use serde_json::json;

    use super::*;

    fn redactor() -> Redactor {
        let mut redactor = Redactor::default();
        redactor.hide_credentials(&json!({
            "type": "BASIC", "username": "someone", "password": "s3cr&t pass",
            "raw": {"scope": "read write", "access_token": "tok-123456"},
        }));
        redactor.hide("abc");
        redactor
    }

    #[test]
    fn known_secrets_are_hidden_in_every_spelling() {
        for (text, expected) in [
            ("got s3cr&t pass, twice: s3cr&t pass", "got REDACTED, twice: REDACTED"),
            ("s3cr%26t+pass s3cr%26t%20pass", "REDACTED REDACTED"),
            ("c29tZW9uZTpzM2NyJnQgcGFzcw==", "REDACTED"),
            ("tok-123456", "REDACTED"),
            ("read write abc", "read write abc"),
            (r#"{"error":"x","access_token":"ey.new"}"#, r#"{"error":"x","access_token":"REDACTED"}"#),
            ("client_secret=zzz&x=1", "client_secret=REDACTED&x=1"),
            ("sent Bearer abcdefghijk.lmn", "sent Bearer REDACTED"),
            ("a\0b", "ab"),
        ] {
            assert_eq!(redactor().text(text), expected, "{text}");
        }
        assert!(redactor().text(&"x".repeat(20_000)).len() < 10_100);
    }

    #[test]
    fn urls_lose_users_and_the_values_of_secret_parameters() {
        for (url, expected) in [
            ("https://u:p@h.test/a?b=c", "https://REDACTED@h.test/a?b=c"),
            ("https://h.test/?api_key=zz9&page=2", "https://h.test/?api_key=REDACTED&page=2"),
            (
                "https://h.test/?X-Amz-Signature=aa&page_token=n",
                "https://h.test/?X-Amz-Signature=REDACTED&page_token=n",
            ),
            (
                "https://h.test/cb?code=1&state=2#access_token=3&x=4",
                "https://h.test/cb?code=REDACTED&state=REDACTED#access_token=REDACTED&x=4",
            ),
            ("https://h.test/bottok-123456/send", "https://h.test/botREDACTED/send"),
            ("https://h.test/?api%5Fkey=zz9&flag", "https://h.test/?api%5Fkey=REDACTED&flag"),
        ] {
            assert_eq!(redactor().url(url), expected, "{url}");
        }
    }

    #[test]
    fn headers_keep_what_says_something() {
        let pairs = [
            ("authorization", "Bearer x"),
            ("x-api-key", "zz"),
            ("x-tenant", "tok-123456"),
            ("content-type", "text/html"),
            ("retry-after", "30"),
            ("set-cookie", "a=b"),
            ("access-control-allow-origin", "*"),
            ("server", "nginx"),
            ("location", "https://h.test/?code=1"),
        ];
        let headers: HeaderMap = pairs
            .into_iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(
            Value::from(redactor().headers(&headers)),
            json!({"authorization": "REDACTED", "x-api-key": "REDACTED", "x-tenant": "REDACTED",
                "content-type": "text/html", "retry-after": "30", "location": "https://h.test/?code=REDACTED"})
        );
    }

    #[test]
    fn objects_lose_secrets_machinery_and_depth() {
        let mut deep = json!("bottom");
        for _ in 0..12 {
            deep = json!({ "in": deep });
        }
        let wide: Vec<Value> = (0..22).map(|n| json!({ "n": n })).collect();
        let shown = redactor().json(&json!({
            "Authorization": "x", "apiKey": "y", "client_secret": {"a": "b"}, "stack": "at", "trace": 1,
            "text": "tok-123456", "count": 3, "token_type": "Bearer", "session": null,
            "data": {"type": "Buffer", "data": [1]}, "deep": deep, "wide": wide,
        }));
        for (pointer, expected) in [
            ("/Authorization", json!("[Redacted]")),
            ("/apiKey", json!("[Redacted]")),
            ("/client_secret", json!("[Redacted]")),
            ("/text", json!("REDACTED")),
            ("/count", json!(3)),
            ("/token_type", json!("Bearer")),
            ("/session", json!(null)),
            ("/data", json!("[Buffer]")),
            ("/deep/in/in/in/in/in/in/in/in/in", json!("[...]")),
            ("/wide/19", json!({"n": 19})),
            ("/wide/20", json!("[...]")),
        ] {
            assert_eq!(shown.pointer(pointer), Some(&expected), "{pointer}");
        }
        assert!(shown.get("stack").is_none() && shown.get("trace").is_none());
    }

    #[test]
    fn large_entries_lose_members_of_meta() {
        let mut meta = Some(json!({"big": "x".repeat(90_000), "small": 1, "middle": "y".repeat(20_000)}));
        assert!(shrink(&mut meta, 1000));
        assert_eq!(meta.unwrap()["small"], 1);
        let mut meta = Some(json!("z".repeat(100_000)));
        assert!(shrink(&mut meta, 0));
        assert_eq!(meta, None);
        assert!(!shrink(&mut None, 0));
    }
}
