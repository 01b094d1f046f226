//! Reads settings from a lookup function, under all their names, and collects every mistake.

use std::cell::RefCell;
use std::fs;

use url::Url;

use super::settings::{self, Kind};

/// Where values come from: the process environment, or a map in tests.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

pub struct Reader<'a> {
    lookup: Lookup<'a>,
    problems: RefCell<Vec<String>>,
}

impl<'a> Reader<'a> {
    pub fn new(lookup: Lookup<'a>) -> Self {
        Reader { lookup, problems: RefCell::default() }
    }

    /// Adds a mistake, as a sentence.
    pub fn complain(&self, problem: impl Into<String>) {
        let problem = problem.into();
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    pub fn into_problems(self) -> Vec<String> {
        self.problems.into_inner()
    }

    /// The value of `name`: from `HITCHPOST_X` for `NANGO_X`, then from `name`, each also through `<NAME>_FILE`.
    /// Empty counts as unset.
    pub fn text(&self, name: &str) -> Option<String> {
        let own_name = name.strip_prefix("NANGO_").map(|rest| format!("HITCHPOST_{rest}"));
        own_name.and_then(|own| self.text_or_file(&own)).or_else(|| self.text_or_file(name))
    }

    fn text_or_file(&self, name: &str) -> Option<String> {
        let present = |value: String| (!value.is_empty()).then_some(value);
        if let Some(value) = (self.lookup)(name).and_then(present) {
            return Some(value);
        }
        let file_name = format!("{name}_FILE");
        let path = (self.lookup)(&file_name).and_then(present)?;
        match fs::read_to_string(&path) {
            Ok(content) => present(content.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                self.complain(format!("{file_name}: the file {path} cannot be read ({error})."));
                None
            }
        }
    }

    /// Checks every setting of the table against its kind, whether or not this version uses it.
    pub fn check_kinds(&self) {
        for setting in settings::all().filter(|setting| !setting.name.contains('<')) {
            if let Some(value) = self.text(setting.name)
                && let Err(reason) = check(setting.kind, &value)
            {
                self.complain(format!("{}: {reason}.", setting.name));
            }
        }
    }

    pub fn bool(&self, name: &str, default: bool) -> bool {
        self.text(name).and_then(|value| parse_bool(&value)).unwrap_or(default)
    }

    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).and_then(|value| value.trim().parse().ok()).unwrap_or(default)
    }

    pub fn port(&self, name: &str) -> Option<u16> {
        self.text(name).and_then(|value| value.trim().parse().ok())
    }

    pub fn size(&self, name: &str, default: u64) -> u64 {
        self.text(name).and_then(|value| parse_size(&value)).unwrap_or(default)
    }

    pub fn url(&self, name: &str) -> Option<Url> {
        self.text(name).and_then(|value| Url::parse(value.trim()).ok())
    }

    /// A comma list; empty elements are dropped.
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }
}

fn check(kind: Kind, value: &str) -> Result<(), String> {
    let ok = match kind {
        Kind::Text | Kind::List | Kind::Path => true,
        Kind::Bool => parse_bool(value).is_some(),
        Kind::Port => value.trim().parse::<u16>().is_ok(),
        Kind::Url => Url::parse(value.trim()).is_ok(),
        Kind::Int | Kind::Millis => value.trim().parse::<u64>().is_ok(),
        Kind::Positive => value.trim().parse::<u64>().is_ok_and(|number| number > 0),
        Kind::Size => parse_size(value).is_some(),
        Kind::Json => serde_json::from_str::<serde_json::Value>(value).is_ok(),
        Kind::Uuid => is_uuid_v4(value),
        Kind::OneOf(words) => words.contains(&value.trim().to_ascii_lowercase().as_str()),
    };
    if ok { Ok(()) } else { Err(expectation(kind)) }
}

fn expectation(kind: Kind) -> String {
    match kind {
        Kind::Bool => "expected a yes or no word such as `true` or `false`".into(),
        Kind::Port => "expected a port number from 0 to 65535".into(),
        Kind::Url => "expected an absolute URL such as `https://connect.example.com`".into(),
        Kind::Int => "expected a whole number from 0".into(),
        Kind::Positive => "expected a whole number from 1".into(),
        Kind::Millis => "expected a whole number of milliseconds".into(),
        Kind::Size => "expected a size such as `75mb`".into(),
        Kind::Json => "expected JSON".into(),
        Kind::Uuid => "expected a UUID v4 in lower case".into(),
        Kind::OneOf(words) => format!("expected one of {}", words.join(", ")),
        Kind::Text | Kind::List | Kind::Path => "cannot be used".into(),
    }
}

/// Whether the text is a UUID v4 as API keys are written.
pub fn is_uuid_v4(text: &str) -> bool {
    let uuid = uuid::Uuid::try_parse(text).ok();
    uuid.is_some_and(|uuid| {
        text.len() == 36 && uuid.get_version_num() == 4 && uuid.get_variant() == uuid::Variant::RFC4122
    })
}

pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "y" | "enabled" => Some(true),
        "false" | "0" | "no" | "off" | "n" | "disabled" => Some(false),
        _ => None,
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit: u64 = match text[digits.len()..].trim() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("75mb", Some(75 << 20)),
            ("1 KB", Some(1024)),
            ("10", Some(10)),
            ("2g", Some(2 << 30)),
            ("x", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn yes_and_no_have_many_words() {
        for (text, expected) in
            [("TRUE", Some(true)), ("off", Some(false)), ("2", None), ("Enabled", Some(true))]
        {
            assert_eq!(parse_bool(text), expected, "{text}");
        }
    }
}
