//! The reads of [`ObjectReader`] for booleans, numbers, dates and enumerations.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::formats::ISO_DATE_TIME;
use super::issue::IssueCode;
use super::reader::ObjectReader;
use crate::time_format::{parse_date_text, parse_epoch, parse_utc_date_time};

/// The texts that [`parse_bool_text`] knows, as a pattern.
const BOOL_TEXT: &str = "^([tT][rR][uU][eE]|1|[yY]|[yY][eE][sS]|[oO][nN]|[eE][nN][aA][bB][lL][eE][dD]\
|[fF][aA][lL][sS][eE]|0|[nN]|[nN][oO]|[oO][fF][fF]|[dD][iI][sS][aA][bB][lL][eE][dD])$";

impl ObjectReader<'_> {
    /// A JSON boolean.
    pub fn optional_bool(&mut self, name: &'static str) -> Option<bool> {
        self.describes(name, || json!({"type": "boolean"}));
        let value = self.value(name)?;
        value.as_bool().or_else(|| self.wrong_type(name, "boolean", value))
    }

    /// A boolean text of a query or header: `true 1 yes on y enabled` or `false 0 no off n disabled`, in any letter case.
    pub fn stringbool(&mut self, name: &'static str) -> Option<bool> {
        self.describes(name, || json!({"type": "string", "pattern": BOOL_TEXT}));
        let value = self.value(name)?;
        let Value::String(text) = value else { return self.wrong_type(name, "string", value) };
        let parsed = parse_bool_text(text);
        if parsed.is_none() {
            self.issue(IssueCode::InvalidValue, name, "must be true or false");
        }
        parsed
    }

    /// A JSON integer within `range`.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        self.describes(name, || json!({"type": "integer", "minimum": range.start(), "maximum": range.end()}));
        let value = self.value(name)?;
        if !value.is_number() {
            return self.wrong_type(name, "integer", value);
        }
        self.integer_in(name, value.as_f64(), range)
    }

    /// An integer within `range` given as a text by the rules of JavaScript's `Number(text)` (queries, headers, paths), or
    /// as a JSON number. The empty text is 0.
    pub fn integer_text(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        self.describes(name, || integer_or_text(&range));
        let number = match self.value(name)? {
            Value::String(text) => parse_js_number(text),
            Value::Number(number) => number.as_f64(),
            other => return self.wrong_type(name, "integer", other),
        };
        self.integer_in(name, number, range)
    }

    /// An integer given as a text or a number, required.
    pub fn required_integer_text(&mut self, name: &'static str, range: RangeInclusive<i64>) -> i64 {
        self.required(name, "integer", |reader| reader.integer_text(name, range))
    }

    /// A "coerced date": a text with a date in any usual form, or a number of epoch milliseconds or seconds.
    pub fn optional_date(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        self.describes(name, || {
            let meaning = "A date: ISO 8601 text, or a number of epoch milliseconds or seconds.";
            json!({"type": ["string", "number"], "description": meaning})
        });
        let date = match self.value(name)? {
            Value::String(text) => parse_date_text(text),
            Value::Number(number) => number.as_f64().and_then(parse_epoch),
            _ => None,
        };
        if date.is_none() {
            self.issue(
                IssueCode::InvalidType,
                name,
                "must be a date: ISO 8601 text, or a number of milliseconds",
            );
        }
        date
    }

    /// A "coerced date", required.
    pub fn required_date(&mut self, name: &'static str) -> DateTime<Utc> {
        self.required(name, "date", |reader| reader.optional_date(name))
    }

    /// An ISO date-time in UTC, ending in `Z`.
    pub fn optional_date_time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        self.optional_text(name, &ISO_DATE_TIME).and_then(|text| parse_utc_date_time(&text))
    }

    /// One of a set of texts, given with their meanings.
    pub fn optional_one_of<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.describes(name, || json!({"enum": names(choices)}));
        let value = self.value(name)?;
        let choice = value.as_str().and_then(|text| choose(text, choices));
        if choice.is_none() {
            self.issue(IssueCode::InvalidValue, name, must_be_one_of(choices));
        }
        choice
    }

    /// One of a set of texts, required.
    // Wire: a missing enumeration is `invalid_value`, not `invalid_type`.
    pub fn required_one_of<T: Copy + Default>(&mut self, name: &'static str, choices: &[(&str, T)]) -> T {
        self.describes_required(name);
        let choice = self.optional_one_of(name, choices);
        if !self.has(name) {
            self.issue(IssueCode::InvalidValue, name, must_be_one_of(choices));
        }
        choice.unwrap_or_default()
    }

    /// Texts of a set separated by commas; a bad one is `invalid_value` at `[name, index]`.
    pub fn comma_list_of<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<Vec<T>> {
        self.describes(name, || {
            let choice = names(choices).join("|");
            json!({"type": "string", "pattern": format!("^({choice})(,({choice}))*$")})
        });
        let value = self.value(name)?;
        let Value::String(text) = value else { return self.wrong_type(name, "string", value) };
        let mut chosen = Vec::new();
        for (index, part) in text.split(',').enumerate() {
            match choose(part, choices) {
                Some(choice) => chosen.push(choice),
                None => self.issue_at_item(IssueCode::InvalidValue, name, index, must_be_one_of(choices)),
            }
        }
        Some(chosen)
    }

    fn integer_in(
        &mut self,
        name: &'static str,
        number: Option<f64>,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let Some(number) = number.filter(|number| number.is_finite() && number.fract() == 0.0) else {
            self.issue(IssueCode::InvalidType, name, "must be an integer");
            return None;
        };
        let (min, max) = range.into_inner();
        if number < min as f64 {
            self.issue(IssueCode::TooSmall, name, format!("must be at least {min}"));
            return None;
        }
        if number > max as f64 {
            self.issue(IssueCode::TooBig, name, format!("must be at most {max}"));
            return None;
        }
        Some(number as i64)
    }
}

fn choose<T: Copy>(text: &str, choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice)
}

fn must_be_one_of<T>(choices: &[(&str, T)]) -> String {
    format!("must be one of: {}", names(choices).join(", "))
}

fn names<'c, T>(choices: &[(&'c str, T)]) -> Vec<&'c str> {
    choices.iter().map(|(name, _)| *name).collect()
}

/// The schema of an integer that may also come as a text; of a text's forms, the usual one.
pub fn integer_or_text(range: &RangeInclusive<i64>) -> Value {
    json!({
        "type": ["integer", "string"], "minimum": range.start(), "maximum": range.end(), "pattern": "^[0-9]+$",
    })
}

fn parse_bool_text(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "y" | "enabled" => Some(true),
        "false" | "0" | "no" | "off" | "n" | "disabled" => Some(false),
        _ => None,
    }
}

/// JavaScript's `Number(text)`; `None` is NaN. ECMA-262, StringToNumber.
fn parse_js_number(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}');
    match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => return parse_radix(&text[2..], 16),
        Some("0o") => return parse_radix(&text[2..], 8),
        Some("0b") => return parse_radix(&text[2..], 2),
        _ => {}
    }
    match text {
        "" => Some(0.0),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust reads the same decimal forms, and also the words for infinity and NaN.
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => text.parse().ok(),
        _ => None,
    }
}

fn parse_radix(digits: &str, radix: u32) -> Option<f64> {
    let add = |total: f64, digit: char| Some(total * f64::from(radix) + f64::from(digit.to_digit(radix)?));
    if digits.is_empty() { None } else { digits.chars().try_fold(0.0, add) }
}

#[cfg(test)]
mod tests {
    use super::super::reader::read_object;
    use super::*;

    /// The result of one read of member `x`, or the first issue's code and path.
    fn outcome<T: std::fmt::Debug>(
        x: Value,
        read: impl FnOnce(&mut ObjectReader<'_>) -> T,
    ) -> Result<T, String> {
        let body = json!({ "x": x });
        read_object(Some(&body), read).map_err(|issues| {
            let first = &issues.as_slice()[0];
            format!("{} {}", json!(first.code).as_str().unwrap(), first.path.join("|"))
        })
    }

    #[test]
    fn texts_become_numbers_by_the_rules_of_javascript() {
        let cases = [
            ("", Some(0.0)),
            (" ", Some(0.0)),
            ("5", Some(5.0)),
            (" 5 ", Some(5.0)),
            ("\t\n5\u{feff}\u{a0}", Some(5.0)),
            ("\u{85}5", None),
            ("1e2", Some(100.0)),
            ("1E+2", Some(100.0)),
            ("-1.5", Some(-1.5)),
            ("+.5", Some(0.5)),
            ("5.", Some(5.0)),
            ("007", Some(7.0)),
            ("0x1F", Some(31.0)),
            ("0B101", Some(5.0)),
            ("0o17", Some(15.0)),
            ("-0x1F", None),
            ("0x", None),
            ("0xG", None),
            ("Infinity", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("infinity", None),
            ("inf", None),
            ("NaN", None),
            ("1_000", None),
            ("1,000", None),
            ("5px", None),
            (".", None),
            ("e5", None),
            ("+", None),
            ("\u{663}", None),
            ("\u{1F600}", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_js_number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn integers_are_whole_and_in_range() {
        let cases = [
            (json!("1"), Ok(Some(1)), Err("invalid_type x")),
            (json!("1e2"), Ok(Some(100)), Err("invalid_type x")),
            (json!(7), Ok(Some(7)), Ok(Some(7))),
            (json!(7.0), Ok(Some(7)), Ok(Some(7))),
            (json!("2000"), Ok(Some(2000)), Err("invalid_type x")),
            (json!("2001"), Err("too_big x"), Err("invalid_type x")),
            (json!(2001), Err("too_big x"), Err("too_big x")),
            (json!(1e300), Err("too_big x"), Err("too_big x")),
            (json!(""), Err("too_small x"), Err("invalid_type x")),
            (json!("0"), Err("too_small x"), Err("invalid_type x")),
            (json!(-1), Err("too_small x"), Err("too_small x")),
            (json!("1.5"), Err("invalid_type x"), Err("invalid_type x")),
            (json!(1.5), Err("invalid_type x"), Err("invalid_type x")),
            (json!("abc"), Err("invalid_type x"), Err("invalid_type x")),
            (json!("Infinity"), Err("invalid_type x"), Err("invalid_type x")),
            (json!(["1"]), Err("invalid_type x"), Err("invalid_type x")),
            (json!(null), Err("invalid_type x"), Err("invalid_type x")),
            (json!(true), Err("invalid_type x"), Err("invalid_type x")),
        ];
        for (x, from_text, from_json) in cases {
            let text_outcome = outcome(x.clone(), |reader| reader.integer_text("x", 1..=2000));
            assert_eq!(text_outcome, from_text.map_err(str::to_owned), "{x} as text");
            let json_outcome = outcome(x.clone(), |reader| reader.integer("x", 1..=2000));
            assert_eq!(json_outcome, from_json.map_err(str::to_owned), "{x} as JSON");
        }
    }

    #[test]
    fn booleans_are_json_in_bodies_and_words_in_queries() {
        let words = [
            ("true 1 yes on y enabled TRUE Yes ENABLED", Ok(Some(true))),
            ("false 0 no off n disabled False OFF", Ok(Some(false))),
            ("t f 2 yess tru\u{e9}", Err("invalid_value x".to_owned())),
        ];
        for (texts, expected) in words {
            for text in texts.split(' ') {
                assert_eq!(outcome(json!(text), |reader| reader.stringbool("x")), expected, "{text}");
            }
        }
        let others = [
            (json!(""), Err("invalid_value x"), Err("invalid_type x")),
            (json!(" true"), Err("invalid_value x"), Err("invalid_type x")),
            (json!(true), Err("invalid_type x"), Ok(Some(true))),
            (json!(false), Err("invalid_type x"), Ok(Some(false))),
            (json!(1), Err("invalid_type x"), Err("invalid_type x")),
            (json!(null), Err("invalid_type x"), Err("invalid_type x")),
            (json!(["true", "true"]), Err("invalid_type x"), Err("invalid_type x")),
        ];
        for (x, in_query, in_body) in others {
            assert_eq!(
                outcome(x.clone(), |reader| reader.stringbool("x")),
                in_query.map_err(str::to_owned),
                "{x}"
            );
            assert_eq!(
                outcome(x.clone(), |reader| reader.optional_bool("x")),
                in_body.map_err(str::to_owned),
                "{x}"
            );
        }
    }

    #[test]
    fn dates_are_coerced_in_bodies_and_strict_in_queries() {
        let cases = [
            (json!("2026-08-01T10:15:30.5Z"), Ok(Some(1_785_579_330_500)), Ok(Some(1_785_579_330_500))),
            (json!("2026-08-01T12:15:30+02:00"), Ok(Some(1_785_579_330_000)), Err("invalid_format x")),
            (json!("2026-08-01"), Ok(Some(1_785_542_400_000)), Err("invalid_format x")),
            (json!(1_785_579_330), Ok(Some(1_785_579_330_000_i64)), Err("invalid_type x")),
            (json!(1_785_579_330_500_i64), Ok(Some(1_785_579_330_500)), Err("invalid_type x")),
            (json!("soon"), Err("invalid_type x"), Err("invalid_format x")),
            (json!("2:03:04"), Err("invalid_type x"), Err("invalid_format x")),
            (json!(null), Err("invalid_type x"), Err("invalid_type x")),
            (json!({}), Err("invalid_type x"), Err("invalid_type x")),
        ];
        for (x, coerced, strict) in cases {
            let millis = |date: Option<DateTime<Utc>>| date.map(|date| date.timestamp_millis());
            let coerced_outcome = outcome(x.clone(), |reader| millis(reader.optional_date("x")));
            assert_eq!(coerced_outcome, coerced.map_err(str::to_owned), "{x} coerced");
            let strict_outcome = outcome(x.clone(), |reader| millis(reader.optional_date_time("x")));
            assert_eq!(strict_outcome, strict.map_err(str::to_owned), "{x} strict");
        }
    }

    #[test]
    fn enumerations_answer_invalid_value_even_when_absent() {
        let choices = [("added", 1), ("ADDED", 1), ("deleted", 2)];
        let cases = [
            (json!("added"), Ok(Some(1))),
            (json!("deleted"), Ok(Some(2))),
            (json!("Added"), Err("invalid_value x")),
            (json!(""), Err("invalid_value x")),
            (json!(1), Err("invalid_value x")),
        ];
        for (x, expected) in cases {
            let result = outcome(x.clone(), |reader| reader.optional_one_of("x", &choices));
            assert_eq!(result, expected.map_err(str::to_owned), "{x}");
        }
        let absent = outcome(json!("added"), |reader| {
            (reader.required_one_of("x", &choices), reader.required_one_of("y", &choices))
        });
        assert_eq!(absent, Err("invalid_value y".to_owned()));
    }

    #[test]
    fn comma_lists_point_at_the_bad_element() {
        let choices = [("added", 1), ("deleted", 2)];
        let cases = [
            (json!("added"), Ok(Some(vec![1]))),
            (json!("deleted,added"), Ok(Some(vec![2, 1]))),
            (json!("added,nope"), Err("invalid_value x|1")),
            (json!("added,"), Err("invalid_value x|1")),
            (json!(""), Err("invalid_value x|0")),
            (json!(["added"]), Err("invalid_type x")),
        ];
        for (x, expected) in cases {
            let result = outcome(x.clone(), |reader| reader.comma_list_of("x", &choices));
            assert_eq!(result, expected.map_err(str::to_owned), "{x}");
        }
    }

    #[test]
    fn absent_required_numbers_and_dates_are_invalid_types() {
        let number = outcome(json!(1), |reader| {
            (reader.integer_text("x", 0..=9), reader.required_integer_text("y", 0..=9))
        });
        assert_eq!(number, Err("invalid_type y".to_owned()));
        let date = outcome(json!(1), |reader| (reader.optional_date("x"), reader.required_date("y")));
        assert_eq!(date, Err("invalid_type y".to_owned()));
    }
}
