//! What a form brought, and what is wrong with it. A handler reads every field, notes all problems, and shows the page again
//! with the form when there is any: fields keep what was typed.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use url::form_urlencoded;

use serde_json::Value;

use super::error::PageError;
use crate::api::input::TextRule;
use crate::app::SharedApp;
use crate::error::ApiError;

/// The field that proves that a form came from a page of ours.
pub const CSRF: &str = "csrf";
/// Where problems stand that belong to no field.
pub const WHOLE: &str = "form";

/// The fields of a form, and the problems found so far.
#[derive(Clone, Default)]
pub struct Form {
    fields: Vec<(String, String)>,
    problems: Vec<(String, String)>,
}

impl Form {
    /// Reads a body of `application/x-www-form-urlencoded`.
    pub fn parse(body: &[u8]) -> Self {
        Form { fields: form_urlencoded::parse(body).into_owned().collect(), problems: Vec::new() }
    }

    /// A form that is shown for the first time with these values.
    pub fn filled<const N: usize>(values: [(&str, &str); N]) -> Self {
        let fields = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Form { fields: fields.into(), problems: Vec::new() }
    }

    /// Gives a field a value that the form did not bring.
    pub fn or(mut self, name: &str, value: &str) -> Self {
        if !self.is_on(name) {
            self.fields.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// What a field holds, as it was typed.
    pub fn value(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// What a field holds, without the space around it.
    pub fn text(&self, name: &str) -> &str {
        self.value(name).trim()
    }

    /// Every value of a field that may be there several times.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether one of the values of a field is `value`.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.values(name).contains(&value)
    }

    /// Whether a check box is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// The text of a field, which must satisfy `rule`.
    pub fn checked_text(&mut self, name: &str, rule: &TextRule) -> String {
        let text = self.text(name).to_owned();
        if !rule.accepts(&text) {
            let form = rule.format.map_or("any text", |format| format.description());
            let sentence = match text.as_str() {
                "" => "Fill this in.".to_owned(),
                _ => format!("Use {form}, at most {} characters.", rule.max),
            };
            self.problem(name, sentence);
        }
        text
    }

    /// Notes what is wrong with a field.
    pub fn problem(&mut self, name: &str, sentence: impl Into<String>) {
        self.problems.push((name.to_owned(), sentence.into()));
    }

    /// Notes what an error says, beside the fields that are named as its paths are; the rest stands above the form.
    ///
    /// # Errors
    /// The server is to blame.
    pub fn refuse(&mut self, error: ApiError, fields: &[&str]) -> Result<(), PageError> {
        if error.status().is_server_error() {
            return Err(error.into());
        }
        if error.issues().is_empty() {
            self.problem(WHOLE, error.message());
        }
        for issue in error.issues() {
            let path: Vec<&str> =
                issue["path"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let (path, message) = (path.join("."), issue["message"].as_str().unwrap_or_default());
            match fields.iter().find(|field| is_same(field, &path)) {
                Some(field) => self.problem(field, format!("This {message}.")),
                None => self.problem(WHOLE, format!("{path} {message}.")),
            }
        }
        Ok(())
    }

    /// Puts a value into a field that is shown again.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.into()));
    }

    /// What is wrong with a field; empty when nothing is.
    pub fn problem_of(&self, name: &str) -> &str {
        self.problems.iter().find(|(field, _)| field == name).map_or("", |(_, sentence)| sentence)
    }

    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }
}

/// The form of the request, which the admission has read already.
impl FromRequestParts<SharedApp> for Form {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApp) -> Result<Self, PageError> {
        Ok(parts.extensions.remove::<Form>().unwrap_or_default())
    }
}

/// Whether two names differ in their style only: `uniqueKey` and `unique_key`.
fn is_same(field: &str, path: &str) -> bool {
    field.replace('_', "").eq_ignore_ascii_case(&path.replace('_', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_send_them() {
        let mut form = Form::parse(b"name=+a%26b+&scope=x&scope=y&on=on&csrf=1");
        assert_eq!((form.value("name"), form.text("name"), form.text("gone")), (" a&b ", "a&b", ""));
        assert_eq!(form.values("scope"), ["x", "y"]);
        assert!(form.has("scope", "y") && form.is_on("on") && !form.is_on("off"));
        assert_eq!(form.checked_text("gone", &TextRule::length(1, 5)), "");
        assert_eq!(form.checked_text("name", &TextRule::length(1, 2)), "a&b");
        assert_eq!(form.problem_of("gone"), "Fill this in.");
        assert_eq!(form.problem_of("name"), "Use any text, at most 2 characters.");
        assert!(form.has_problems());
    }
}
