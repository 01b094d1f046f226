//! What a token endpoint said: the members of its answer, or its refusal in its own words. Pure.

use std::borrow::Cow;

use oauth2::basic::BasicErrorResponse;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::TokenError;
use super::exception::OkWhen;
use super::redaction::{Redaction, member_names};
use super::tokens::lookup;

/// The codes of a call's failures.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    /// The endpoint was not reached, or said no.
    pub refused: &'static str,
    /// It said yes, but where is the token?
    pub unreadable: &'static str,
}

/// An answer as it came. Deliberately without `Debug`: it may hold tokens.
pub struct RawAnswer<'a> {
    pub status: u16,
    pub content_type: &'a str,
    pub body: &'a [u8],
}

/// The members of a successful answer, whether it is JSON or form-encoded.
///
/// # Errors
/// The endpoint refused (also in an answer with status 200, as Slack and GitHub do), or its answer has neither form.
pub fn read_answer(
    answer: &RawAnswer<'_>,
    ok_when: Option<&OkWhen>,
    kinds: Kinds,
    redaction: &Redaction,
) -> Result<Map<String, Value>, TokenError> {
    let members = parse_members(answer);
    let is_success = (200..300).contains(&answer.status);
    match members {
        Some(members) if is_success && !is_refusal(&members, ok_when) => Ok(members),
        None if is_success => Err(unreadable(answer, kinds)),
        _ => Err(refused(answer, kinds, redaction)),
    }
}

/// Whether an answer with status 200 says no all the same, as Slack and GitHub do.
pub fn says_no(members: &Map<String, Value>) -> bool {
    is_refusal(members, None)
}

/// The error for an answer that has members, but not the token.
pub fn without_token(members: &Map<String, Value>, kinds: Kinds) -> TokenError {
    let names = member_names(members.keys());
    let message = format!("The answer of the token endpoint has no access token. Its members: {names}.");
    TokenError::new(kinds.unreadable, message)
}

fn parse_members(answer: &RawAnswer<'_>) -> Option<Map<String, Value>> {
    if let Ok(Value::Object(members)) = serde_json::from_slice(answer.body) {
        return Some(members);
    }
    // Many endpoints name a wrong content type, so the text itself decides.
    let text = std::str::from_utf8(answer.body).ok()?.trim();
    let is_form = text.contains('=') && !text.contains(|c: char| c.is_whitespace() || "<>{}\"".contains(c));
    is_form.then(|| {
        let pairs = form_urlencoded::parse(text.as_bytes());
        pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()
    })
}

fn is_refusal(members: &Map<String, Value>, ok_when: Option<&OkWhen>) -> bool {
    let breaks_rule = ok_when.is_some_and(|rule| lookup(members, &rule.path) != Some(&rule.equals));
    let is_not_ok = members.get("ok") == Some(&Value::Bool(false));
    let has_error = match members.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        // Number 0 and empty trees are how some providers say that there was none.
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
        Some(Value::Bool(true)) => true,
    };
    breaks_rule || is_not_ok || (has_error && !members.contains_key("access_token"))
}

/// The error for an answer of status 2xx that nobody can read.
pub fn unreadable(answer: &RawAnswer<'_>, kinds: Kinds) -> TokenError {
    // Nothing of the body is repeated: it may hold the token.
    let content_type = Some(answer.content_type).filter(|text| !text.is_empty()).unwrap_or("no content type");
    let message = format!(
        "The token endpoint answered {} with {} bytes ({content_type}) that are neither JSON nor form-encoded.",
        answer.status,
        answer.body.len()
    );
    TokenError::new(kinds.unreadable, message).with_status(answer.status)
}

/// The error for an answer that says no, with its own words.
pub fn refused(answer: &RawAnswer<'_>, kinds: Kinds, redaction: &Redaction) -> TokenError {
    let reason = match parse_members(answer) {
        Some(members) => reason_in(members, redaction),
        None => reason_in_text(&String::from_utf8_lossy(answer.body), redaction),
    };
    let message = format!("The token endpoint answered {}{reason}", answer.status);
    TokenError::new(kinds.refused, message).with_status(answer.status)
}

/// The error response of RFC 6749, section 5.2, or whatever the endpoint says instead.
fn reason_in(members: Map<String, Value>, redaction: &Redaction) -> String {
    let value = Value::Object(members);
    let Ok(error) = serde_json::from_value::<BasicErrorResponse>(value.clone()) else {
        return format!(": {}", redaction.clean_json(&value));
    };
    let code = redaction.clean(error.error().as_ref());
    match error.error_description().map(|text| redaction.clean(text)).filter(|text| !text.is_empty()) {
        Some(description) => format!(" {code}: {description}"),
        None => format!(" {code}"),
    }
}

fn reason_in_text(text: &str, redaction: &Redaction) -> String {
    let text = text.trim();
    if text.is_empty() {
        return " with an empty body".to_owned();
    }
    match page_title(text) {
        Some(title) => format!(" with a web page titled \"{}\"", redaction.clean(&title)),
        None if text.starts_with('<') => " with a web page or XML".to_owned(),
        None => format!(": {}", redaction.clean(text)),
    }
}

fn page_title(text: &str) -> Option<Cow<'_, str>> {
    let start = text.to_ascii_lowercase().find("<title")?;
    let (_, rest) = text[start..].split_once('>')?;
    let (title, _) = rest.split_once('<')?;
    Some(Cow::Borrowed(title.trim())).filter(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: Kinds = Kinds { refused: "refused", unreadable: "unreadable" };

    fn read(status: u16, body: &str) -> Result<Map<String, Value>, TokenError> {
        let mut redaction = Redaction::default();
        redaction.hide("s3cret");
        let answer = RawAnswer { status, content_type: "text/plain", body: body.as_bytes() };
        read_answer(&answer, None, KINDS, &redaction)
    }

    #[test]
    fn answers_are_read_whatever_their_form() {
        for (body, token) in [
            (r#"{"access_token":"a b"}"#, "a b"),
            ("access_token=a+b&scope=x", "a b"),
            ("\n{\"access_token\": \"t\", \"error\": \"\"}", "t"),
            (r#"{"ok":true,"access_token":"t","error":"x"}"#, "t"),
        ] {
            let members = read(200, body).unwrap_or_else(|error| panic!("{body}: {error}"));
            assert_eq!(members["access_token"], token, "{body}");
        }
    }

    #[test]
    fn refusals_carry_the_words_of_the_provider() {
        for (status, body, message) in [
            (401, r#"{"error":"invalid_client"}"#, "answered 401 invalid_client"),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"s3cret\nis old"}"#,
                "answered 400 invalid_grant: REDACTED is old",
            ),
            (200, r#"{"ok":false,"error":"bad_client_secret"}"#, "answered 200 bad_client_secret"),
            (
                200,
                r#"{"ok":false,"access_token":"t"}"#,
                r#"answered 200: {"ok":false,"access_token":"REDACTED"}"#,
            ),
            (200, "error=bad_code&error_description=Too+old", "answered 200 bad_code: Too old"),
            (
                400,
                r#"{"error":{"message":"no","code":1}}"#,
                r#"answered 400: {"error":{"message":"no","code":1}}"#,
            ),
            (500, "oops s3cret", "answered 500: oops REDACTED"),
            (
                502,
                "<html><TITLE>Bad\nGateway</title>..",
                "answered 502 with a web page titled \"Bad Gateway\"",
            ),
            (502, "<xml/>", "answered 502 with a web page or XML"),
            (401, "", "answered 401 with an empty body"),
        ] {
            let error = read(status, body).unwrap_err();
            assert_eq!((error.kind, error.status), ("refused", Some(status)), "{body}");
            assert_eq!(error.message, format!("The token endpoint {message}"), "{body}");
        }
    }

    #[test]
    fn successes_without_a_form_are_unreadable_and_never_repeated() {
        for body in ["<html>s", "", "[1]", "\"text\"", "just words", "\u{1F600}"] {
            let error = read(200, body).unwrap_err();
            assert_eq!(error.kind, "unreadable", "{body}");
            assert!(body.is_empty() || !error.message.contains(body), "{body}");
        }
    }
}
