//! Keys: unknown ones, values of the wrong kind, those that the mode needs, and those that it never reads.

use serde_json::Value;

use super::grammar::{self, ENTRY, Key, Kind};
use super::note::{Entry, Notes, suggestion};
use crate::auth::AuthMode;

const GUIDE: &str = "docs/CATALOG.md lists the keys; one that nothing reads does no harm.";

/// `own` holds the keys that the entry itself has, without those that came with its alias.
pub(super) fn check(entry: &Entry<'_>, own: &dyn Fn(&str) -> bool, notes: &mut Notes) {
    let two_step = entry.mode == Some(AuthMode::TwoStep);
    check_section(ENTRY, entry.definition.iter(), &mut Vec::new(), notes);
    if two_step && let Some(Value::Object(members)) = entry.at(&["token_response"]) {
        check_section(grammar::TOKEN_RESPONSE, members.iter(), &mut vec!["token_response"], notes);
    }
    check_mode(entry, notes);
    check_missing(entry, notes);
    check_unread(entry, own, notes);
    check_contradictions(entry, notes);
}

fn check_section<'v>(
    keys: &[Key],
    members: impl Iterator<Item = (&'v String, &'v Value)>,
    path: &mut Vec<&'v str>,
    notes: &mut Notes,
) {
    for (name, value) in members {
        path.push(name);
        match keys.iter().find(|key| key.name == name) {
            Some(key) => check_value(key.kind, value, path, notes),
            None => {
                let advice = suggestion(name, keys.iter().map(|key| key.name), GUIDE);
                notes.warn("unknown-key", path, format!("nothing reads `{name}` here"), advice);
            }
        }
        path.pop();
    }
}

fn check_value<'v>(kind: Kind, value: &'v Value, path: &mut Vec<&'v str>, notes: &mut Notes) {
    if value.is_null() {
        return;
    }
    match (kind, value) {
        (Kind::Section(keys), Value::Object(members)) => check_section(keys, members.iter(), path, notes),
        (Kind::Sections(keys) | Kind::WordOrSections(_, keys), Value::Array(items)) => {
            items.iter().filter_map(Value::as_object).for_each(|members| {
                check_section(keys, members.iter(), path, notes);
            });
        }
        (Kind::SectionsByName(keys), Value::Object(named)) => {
            for (name, section) in named {
                path.push(name);
                check_value(Kind::Section(keys), section, path, notes);
                path.pop();
            }
        }
        (Kind::Fields, Value::Object(fields)) => {
            for (name, field) in fields {
                path.push(name);
                check_value(Kind::Section(grammar::FIELD), field, path, notes);
                path.pop();
            }
        }
        (Kind::OneOf(words), Value::String(word)) => check_word(words, word, path, notes),
        (Kind::ManyOf(words), Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).for_each(|word| check_word(words, word, path, notes));
        }
        (Kind::Script(ending), Value::String(name)) => check_script(ending, name, path, notes),
        (kind, value) => {
            if let Some(expected) = wrong_kind(kind, value) {
                let advice = format!("Write {expected}.");
                notes.warn("wrong-kind", path, format!("expected {expected}"), advice);
            }
        }
    }
}

fn check_word(words: &[&str], word: &str, path: &[&str], notes: &mut Notes) {
    if !words.contains(&word) {
        let advice = suggestion(word, words.iter().copied(), format!("Known values: {}.", words.join(", ")));
        notes.warn("unknown-value", path, format!("`{word}` is not a value that anything reads"), advice);
    }
}

fn check_script(ending: &str, name: &str, path: &[&str], notes: &mut Notes) {
    if !name.is_empty() && !name.ends_with(ending) {
        let message = format!("`{name}` cannot be the name of a hook of this kind");
        notes.warn("script", path, message, format!("Names of such hooks end in `{ending}`."));
    }
}

/// What was expected instead of a value of this kind.
fn wrong_kind(kind: Kind, value: &Value) -> Option<&'static str> {
    let is_text = value.is_string();
    let is_texts = value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    let are_texts =
        value.as_object().is_some_and(|members| members.values().all(|v| v.is_string() || v.is_null()));
    let (is_right, expected) = match kind {
        Kind::Any => (true, ""),
        Kind::Text | Kind::Link | Kind::Template | Kind::Address | Kind::OneOf(_) | Kind::Script(_) => {
            (is_text, "a text")
        }
        Kind::TokenAddress => (is_text || are_texts, "a text, or a text for each auth mode"),
        Kind::Flag => (value.is_boolean(), "`true` or `false`"),
        Kind::Number => (value.is_number(), "a number"),
        Kind::Texts | Kind::ManyOf(_) => (is_texts, "a list of texts"),
        Kind::OneOrMany => (is_text || is_texts, "a text or a list of texts"),
        Kind::Templates => (are_texts, "a mapping of names to texts"),
        Kind::Tree | Kind::Section(_) | Kind::SectionsByName(_) | Kind::Fields => {
            (value.is_object(), "a mapping")
        }
        Kind::Sections(_) => (value.is_array(), "a list of mappings"),
        Kind::WordOrSections(word, _) => (value == word, "a list of mappings, or the one known word"),
    };
    (!is_right).then_some(expected)
}

fn check_mode(entry: &Entry<'_>, notes: &mut Notes) {
    let Some(mode) = entry.text(&["auth_mode"]).filter(|_| entry.mode.is_none()) else { return };
    let known = AuthMode::ALL.map(|(_, name)| name);
    let advice = suggestion(mode, known, format!("Known modes: {}.", known.join(", ")));
    notes.error(
        "unknown-mode",
        &["auth_mode"],
        format!("this server does not know the auth mode `{mode}`"),
        advice,
    );
}

fn check_missing(entry: &Entry<'_>, notes: &mut Notes) {
    for name in ["display_name", "docs", "auth_mode"] {
        if entry.at(&[name]).is_none() {
            let advice = format!("Add `{name}: ...`; an alias may inherit it.");
            notes.error("missing-key", &[], format!("`{name}` is required"), advice);
        }
    }
    if entry.at(&["proxy"]).is_some() && entry.at(&["proxy", "base_url"]).is_none() {
        let advice = "Add the address that every call goes to, without a slash at its end.";
        notes.error("missing-key", &["proxy"], "`proxy` needs a `base_url`", advice);
    }
    let Some(mode) = entry.mode else { return };
    for required in required_keys(mode) {
        let path: Vec<&str> = required.split('.').collect();
        // The provider starts an outbound installation, so there is nothing to redirect to.
        let is_needed = *required != "authorization_url" || entry.at(&["installation"]).is_none();
        if is_needed && entry.at(&path).is_none() {
            let advice = format!("Add `{required}`, or choose another `auth_mode`.");
            notes.error("missing-key", &[path[0]], format!("`{required}` is required for {mode}"), advice);
        }
    }
    let is_dynamic = entry.text(&["client_registration"]) == Some("dynamic");
    if mode == AuthMode::McpOAuth2 && is_dynamic && entry.at(&["registration_url"]).is_none() {
        let message = "dynamic client registration needs a `registration_url`";
        notes.error("missing-key", &["client_registration"], message, "Add it, or use `static`.");
    }
}

fn check_unread(entry: &Entry<'_>, own: &dyn Fn(&str) -> bool, notes: &mut Notes) {
    let Some(mode) = entry.mode else { return };
    let unread = |key: &&Key| {
        !key.modes.is_empty()
            && !key.modes.contains(&mode)
            && own(key.name)
            && entry.at(&[key.name]).is_some()
    };
    for key in ENTRY.iter().filter(unread) {
        let modes: Vec<&str> = key.modes.iter().map(|mode| mode.as_str()).collect();
        let advice = format!("It is read for {}. Is `auth_mode` right?", modes.join(", "));
        notes.warn("unread-key", &[key.name], format!("{mode} does not read `{}`", key.name), advice);
    }
}

fn check_contradictions(entry: &Entry<'_>, notes: &mut Notes) {
    let one_address = matches!(entry.mode, Some(AuthMode::OAuth2 | AuthMode::OAuth2Cc | AuthMode::App));
    if one_address && entry.at(&["token_url"]).is_some_and(Value::is_object) {
        let message = "this mode needs one `token_url`, not one for each mode";
        notes.error("wrong-kind", &["token_url"], message, "Only `CUSTOM` has several.");
    }
    let grant = entry.text(&["token_params", "grant_type"]).filter(|grant| *grant != "authorization_code");
    if let Some(grant) = grant.filter(|_| entry.mode == Some(AuthMode::OAuth2)) {
        let message = format!("OAUTH2 exchanges a code, so it cannot ask for `grant_type: {grant}`");
        let advice = "Use `authorization_code`, or `auth_mode: OAUTH2_CC` for client credentials.";
        notes.error("grant-type", &["token_params", "grant_type"], message, advice);
    }
    let has_both = entry.at(&["proxy", "verification"]).is_some()
        && !entry.text(&["credentials_verification_script"]).unwrap_or_default().is_empty();
    if has_both {
        let message = "`proxy.verification` and `credentials_verification_script` exclude each other";
        notes.error("verification", &["credentials_verification_script"], message, "Keep one of the two.");
    }
}

fn required_keys(mode: AuthMode) -> &'static [&'static str] {
    match mode {
        AuthMode::OAuth2 | AuthMode::McpOAuth2 | AuthMode::App => &["authorization_url", "token_url"],
        AuthMode::OAuth2Cc | AuthMode::Bill => &["token_url"],
        AuthMode::ApiKey => &["credentials.apiKey"],
        AuthMode::TwoStep => &["token_url", "token_response"],
        AuthMode::Jwt => &["signature", "token"],
        AuthMode::OAuth1 => &["request_url", "authorization_url", "token_url", "signature_method"],
        AuthMode::Custom => &["token_url.OAUTH2", "token_url.APP"],
        AuthMode::Signature => &["signature.protocol", "token.expires_in_ms"],
        AuthMode::AwsSigV4 => &["credentials.role_arn", "integration_config"],
        AuthMode::McpOAuth2Generic => &["connection_config.mcp_server_url"],
        AuthMode::Basic | AuthMode::None | AuthMode::Tba | AuthMode::InstallPlugin => &[],
    }
}
