//! Keeps secrets out of what is repeated from a provider's answer.

use std::fmt::Write;

use serde_json::Value;
use url::form_urlencoded::byte_serialize;

const REDACTED: &str = "REDACTED";
/// Shorter texts would be found by chance, and hiding them would say what they are.
const SHORTEST: usize = 4;
/// Characters of a provider's text that are worth repeating.
const EXCERPT: usize = 400;
/// Members of JSON answers whose values are never repeated.
const SECRET_WORDS: [&str; 9] =
    ["token", "secret", "password", "assertion", "credential", "session", "jwt", "cookie", "private"];

/// The secrets of one request. Deliberately without `Debug`.
#[derive(Clone, Default)]
pub struct Redaction(Vec<String>);

impl Redaction {
    /// Hides `secret`, as it is and form-encoded.
    pub fn hide(&mut self, secret: &str) {
        if secret.len() < SHORTEST {
            return;
        }
        let encoded: String = byte_serialize(secret.as_bytes()).collect();
        if encoded != secret {
            self.0.push(encoded);
        }
        self.0.push(secret.to_owned());
    }

    /// `text` without the secrets and without control characters, cut to a length that people read.
    pub fn clean(&self, text: &str) -> String {
        let hidden = self.without_secrets(text);
        let plain =
            hidden.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
        let plain = plain.collect::<Vec<_>>().join(" ");
        match plain.char_indices().nth(EXCERPT) {
            Some((end, _)) => format!("{}...", &plain[..end]),
            None => plain,
        }
    }

    /// The longest first: a secret may be a part of another.
    fn without_secrets(&self, text: &str) -> String {
        let mut secrets: Vec<&String> = self.0.iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }

    /// A JSON answer as text, without the values of members that hold secrets.
    pub fn clean_json(&self, value: &Value) -> String {
        let mut value = value.clone();
        self.hide_members(&mut value);
        self.clean(&value.to_string())
    }

    /// Each text by itself: JSON writes some characters of a secret differently.
    fn hide_members(&self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    let name = name.to_ascii_lowercase();
                    if value.is_string() && SECRET_WORDS.iter().any(|word| name.contains(word)) {
                        *value = REDACTED.into();
                    }
                    self.hide_members(value);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_members(item)),
            Value::String(text) => *text = self.without_secrets(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The names of an object's members, for messages about answers whose values must not be repeated.
pub fn member_names<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let mut text = String::new();
    for name in names.take(20) {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_in_every_spelling() {
        let mut redaction = Redaction::default();
        redaction.hide("s3cr&t pass");
        redaction.hide("abc");
        redaction.hide("s3cr&t pass-and-more");
        redaction.hide("line\nbreak");
        for (text, expected) in [
            ("got s3cr&t pass!", "got REDACTED!"),
            ("q=s3cr%26t+pass", "q=REDACTED"),
            ("abc", "abc"),
            ("longer: s3cr&t pass-and-more", "longer: REDACTED"),
            ("a\n\u{7}  b", "a b"),
        ] {
            assert_eq!(redaction.clean(text), expected, "{text}");
        }
        let text = redaction.clean(&"\u{e9}".repeat(500));
        assert_eq!(text, format!("{}...", "\u{e9}".repeat(400)));
        let json = json!({"error": {"Access_Token": "x", "n": [{"password": "y"}], "message": "s3cr&t pass",
                "key": "line\nbreak"}});
        assert_eq!(
            redaction.clean_json(&json),
            r#"{"error":{"Access_Token":"REDACTED","n":[{"password":"REDACTED"}],"message":"REDACTED","key":"REDACTED"}}"#
        );
    }
}
