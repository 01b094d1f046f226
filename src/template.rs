//! The catalog's `${...}` template language: parsed once at load, evaluated against a borrowed [`Context`].
//!
//! Called by `catalog` (parsing), `oauth`, `refresh` and `proxy` (evaluation). Pure: the time and the random
//! text come with the context. Values are never scanned for templates, and values never appear in errors.

mod aws;
mod clock;
mod context;
mod evaluate;
mod function;
mod parse;
mod pem;
mod url;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Deserializer};

pub use self::context::Context;
pub use self::evaluate::Rendered;
use self::parse::{Expression, Part, Sequence};
pub use self::url::{COMPONENT, Escape, UrlError, build_url, url_text};

/// A template text that does not follow the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template syntax error at byte {at}: {reason}")]
pub struct TemplateError {
    /// Byte offset of the offending expression in the template text.
    pub at: usize,
    pub reason: &'static str,
}

/// Names a template needs and the context does not have, in order of appearance, without repeats.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no value for {}", .names.join(", "))]
pub struct Unresolved {
    pub names: Vec<String>,
}

/// A parsed template: `A`, or `A || B` where `B` is used when `A` is incomplete or empty.
#[derive(Clone, PartialEq)]
pub struct Template {
    source: String,
    primary: Sequence,
    fallback: Option<Sequence>,
}

impl Template {
    /// Parses a template in which `||` separates a fallback (only the first two parts count).
    ///
    /// # Errors
    /// An unbalanced or empty `${`, an unknown function, a call with the wrong number of arguments, or nesting
    /// that no real template has.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::with_fallback(text, parse::Mode::Strict)
    }

    /// Parses a template where `||` is plain text: `token.*` and `assertion.*` do not know the fallback.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse_without_fallback(text: &str) -> Result<Self, TemplateError> {
        parse::check_depth(text)?;
        let primary = parse::sequence(text, 0, parse::Mode::Strict)?;
        Ok(Template { source: text.to_owned(), primary, fallback: None })
    }

    /// Parses what an operator or caller typed: a `${` that cannot be parsed stays literal text.
    pub fn parse_lenient(text: &str) -> Self {
        Self::with_fallback(text, parse::Mode::Lenient).unwrap_or_else(|_| Template {
            source: text.to_owned(),
            primary: Sequence { parts: vec![Part::Text(text.to_owned())] },
            fallback: None,
        })
    }

    fn with_fallback(text: &str, mode: parse::Mode) -> Result<Self, TemplateError> {
        parse::check_depth(text)?;
        let bars = parse::fallback_bars(text);
        let Some(first) = bars.first().copied() else {
            let primary = parse::sequence(text, 0, mode)?;
            return Ok(Template { source: text.to_owned(), primary, fallback: None });
        };
        let second = bars.get(1).copied().unwrap_or(text.len());
        let primary = trimmed_sequence(text, 0..first, mode)?;
        let fallback = trimmed_sequence(text, first + 2..second, mode)?;
        Ok(Template { source: text.to_owned(), primary, fallback: Some(fallback) })
    }

    /// The text the template was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True when evaluation cannot depend on the context.
    pub fn is_literal(&self) -> bool {
        self.literal().is_some()
    }

    /// Every name the template looks up, in order, function arguments included. Names that `awsSigV4` reads
    /// from the request without spelling them (`path`, `urlCanonicalParams` ...) are listed too.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names = Vec::new();
        for sequence in self.sides() {
            sequence.any_name(&mut |name| {
                names.push(name);
                false
            });
        }
        names.into_iter()
    }

    /// The text between the expressions, that in their arguments apart.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.sides().flat_map(|sequence| &sequence.parts).filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Expression(_) => None,
        })
    }

    /// Does the template look up `name`, or a member of it (`connectionConfig` matches `connectionConfig.x`)?
    pub fn mentions(&self, name: &str) -> bool {
        let mut is_meant =
            |used: &str| used.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.sides().any(|sequence| sequence.any_name(&mut is_meant))
    }

    /// Evaluates; expressions without a value stay in the text as they were written and are reported.
    pub fn render<'t>(&'t self, context: &Context<'_>) -> Rendered<'t> {
        evaluate::render(self, context)
    }

    /// Evaluates, refusing when an expression has no value.
    ///
    /// # Errors
    /// The names without a value, those of both sides when there is a fallback.
    pub fn resolve<'t>(&'t self, context: &Context<'_>) -> Result<Cow<'t, str>, Unresolved> {
        evaluate::resolve(self, context)
    }

    fn sides(&self) -> impl Iterator<Item = &Sequence> {
        std::iter::once(&self.primary).chain(&self.fallback)
    }

    fn literal(&self) -> Option<&str> {
        let primary = self.primary.literal()?;
        match &self.fallback {
            Some(fallback) if primary.is_empty() => fallback.literal(),
            _ => Some(primary),
        }
    }
}

fn trimmed_sequence(text: &str, range: Range<usize>, mode: parse::Mode) -> Result<Sequence, TemplateError> {
    let side = text[range.clone()].trim_start();
    parse::sequence(side.trim_end(), range.end - side.len(), mode)
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.source)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Template::parse(&text).map_err(|problem| serde::de::Error::custom(format!("{problem} in `{text}`")))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::{Value, json};

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_767_323_045_678).unwrap_or_default()
    }

    fn render(template: &Template) -> Rendered<'_> {
        let config = json!({
            "subdomain": "acme", "port": 8443, "rate": 1.0, "flag": true, "empty": "", "none": null,
            "list": ["a", {"id": "b"}], "deep": {"er": {"x": "nested"}, "a.b": {"c": "mixed"}},
            "team.id": "flat", "installation.api.end": "long", "trick": "${credentials.apiKey} || x",
            "constructor-like": "own",
        });
        let credentials =
            json!({ "apiKey": "k1", "username": "u", "password": "", "raw": {"id_token": "t"} });
        let metadata = json!({ "plan": "pro" });
        let option = json!({ "sub": "s" });
        let steps = [json!({ "user": {"id": 7} }), json!(["first"])];
        let [
            Value::Object(config),
            Value::Object(credentials),
            Value::Object(metadata),
            Value::Object(option),
        ] = [config, credentials, metadata, option]
        else {
            panic!("test values are objects");
        };
        let context = Context::new(now(), "random-uuid")
            .connection_config(&config)
            .credentials(&credentials)
            .metadata(&metadata)
            .assertion_option(&option)
            .steps(&steps)
            .extras(&[("accessToken", "at"), ("method", "GET")]);
        let rendered = template.render(&context);
        assert_eq!(template.resolve(&context).is_ok(), rendered.unresolved.is_empty());
        Rendered { text: Cow::Owned(rendered.text.into_owned()), unresolved: rendered.unresolved }
    }

    #[test]
    fn templates_render() {
        let cases = [
            ("plain { text }", "plain { text }"),
            ("${connectionConfig.subdomain}.x", "acme.x"),
            ("${connectionConfig.port}/${connectionConfig.rate}/${connectionConfig.flag}", "8443/1/true"),
            ("[${connectionConfig.empty}]", "[]"),
            ("${connectionConfig.list.1.id}${connectionConfig.list.0}", "ba"),
            ("${connectionConfig.deep.er.x} ${connectionConfig.deep.a.b.c}", "nested mixed"),
            ("${connectionConfig.team.id} ${connectionConfig.installation.api.end}", "flat long"),
            ("${connectionConfig.trick}", "${credentials.apiKey} || x"),
            ("${connectionConfig.constructor}", "${connectionConfig.constructor}"),
            ("${apiKey} ${credentials.apiKey} ${raw.id_token}", "k1 k1 t"),
            ("${metadata.plan}${assertionOption.sub}${accessToken}${random}", "prosatrandom-uuid"),
            ("${step1.user.id} ${step2.0} ${step3.x}", "7 first ${step3.x}"),
            ("Basic ${base64(${username}:${password})}", "Basic dTo="),
            (
                "${sha256Hex(${base64(${username})})}",
                "c45ba23ab52d896c54615dd9ba46cfcc7683244c6a180368589b0ead42c1ec37",
            ),
            ("Basic ${base64(${username}:${missing})}", "Basic ${base64(${username}:${missing})}"),
            (
                "${connectionConfig.none}${connectionConfig.list}",
                "${connectionConfig.none}${connectionConfig.list}",
            ),
            ("${connectionConfig.subdomain} || b", "acme"),
            (" ${missing} ||  b || c", "b"),
            ("${connectionConfig.empty} || ${apiKey}", "k1"),
            ("${apiKey}-${missing} || ${alsoMissing}", "${alsoMissing}"),
            ("a || b", "a"),
            ("|| b", "b"),
            ("${base64(a||b)}", "YXx8Yg=="),
            ("${now}", "2026-01-02T03:04:05.678Z"),
            ("\"${apiKey}\" {{$guid}} ${base64({\"a\":{}})}", "\"k1\" {{$guid}} eyJhIjp7fX0="),
        ];
        for (text, expected) in cases {
            let template = Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(render(&template).text, expected, "{text}");
            assert_eq!(template.source(), text);
        }
    }

    #[test]
    fn missing_names_are_listed_once_in_order() {
        let cases: [(&str, &[&str]); 4] = [
            ("${b}${a}${b}", &["b", "a"]),
            ("${base64(${b}:x)}", &["b"]),
            ("${a} || ${b}", &["a", "b"]),
            ("${ed25519Sign(${b},${a})}", &["b", "a"]),
        ];
        let context = Context::new(now(), "");
        for (text, expected) in cases {
            let unresolved = Template::parse(text).map(|template| template.resolve(&context).err());
            let names = unresolved.ok().flatten().map(|unresolved| unresolved.names).unwrap_or_default();
            assert_eq!(names, expected, "{text}");
        }
    }

    #[test]
    fn malformed_templates_are_refused_or_kept_as_text() {
        let cases = [
            ("x ${", 2),
            ("${a", 0),
            ("${}", 2),
            ("${a b}", 2),
            ("${${a}}", 2),
            ("${nope(x)}", 2),
            ("${base64(x}", 2),
            ("${base64(a))}", 9),
            ("${hmacSha1Hex(one)}", 14),
            ("${awsSigV4(a,b,c)}", 11),
            ("${now+x:days:X}", 2),
            ("${now+1:fortnights:X}", 2),
            ("ok || ${", 6),
        ];
        for (text, at) in cases {
            assert_eq!(Template::parse(text).err().map(|error| error.at), Some(at), "{text}");
            let kept = Template::parse_lenient(text);
            assert!(kept.source() == text && text.contains(&*render(&kept).text), "{text}");
        }
        assert_eq!(render(&Template::parse_lenient("${ ${apiKey} ${x y}")).text, "${ k1 ${x y}");
    }

    #[test]
    fn a_template_without_end_is_refused_before_it_is_parsed() {
        for text in ["${base64(".repeat(50_000), "${".repeat(50_000), "{".repeat(65)] {
            let error = Template::parse(&text).err();
            assert_eq!(error.map(|error| error.reason), Some("nested too deeply"));
            assert_eq!(render(&Template::parse_lenient(&text)).text, text);
        }
        assert!(Template::parse(&"{}".repeat(50_000)).is_ok());
    }

    #[test]
    fn bars_are_text_where_the_fallback_is_unknown() {
        let template = Template::parse_without_fallback("${apiKey}||${username}");
        assert_eq!(template.map(|template| render(&template).text.into_owned()), Ok("k1||u".to_owned()));
    }

    #[test]
    fn names_include_arguments_fallbacks_and_what_aws_reads() {
        let template = Template::parse_lenient("${base64(${a}:${b.c})} || ${awsSigV4(${d}, s, r, v)}");
        let names: Vec<_> = template.names().take(4).collect();
        assert_eq!(names, ["a", "b.c", "d", "method"]);
        assert!(template.mentions("b") && template.mentions("urlCanonicalParams") && !template.mentions("c"));
        assert!(Template::parse_lenient("x").is_literal() && !template.is_literal());
    }
}
