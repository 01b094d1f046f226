//! The read for `webhook_url_override` (`http-api` section 4.6).

use serde_json::{Value, json};
use url::{Host, Url};

use super::issue::IssueCode;
use super::reader::ObjectReader;

impl ObjectReader<'_> {
    /// An address for webhooks, or the empty text for "no override". `is_allowed` is the outbound policy. Returns the text
    /// without surrounding spaces.
    pub fn webhook_url(&mut self, name: &'static str, is_allowed: impl Fn(&Url) -> bool) -> Option<String> {
        self.describes(name, || {
            let meaning = "An absolute http or https URL that the outbound URL policy allows, or empty.";
            json!({"type": "string", "description": meaning})
        });
        let value = self.value(name)?;
        let Some((text, url)) = parse_webhook_url(value) else {
            self.issue(IssueCode::InvalidUnion, name, "must be an absolute URL, or empty");
            return None;
        };
        for message in url.iter().flat_map(|url| webhook_url_problems(url, &is_allowed)) {
            self.issue(IssueCode::Custom, name, message);
        }
        Some(text.to_owned())
    }
}

/// The trimmed text and its URL; no URL for the empty text.
fn parse_webhook_url(value: &Value) -> Option<(&str, Option<Url>)> {
    match value.as_str()? {
        "" => Some(("", None)),
        text => Some((text.trim(), Some(Url::parse(text.trim()).ok()?))),
    }
}

/// Why webhooks may not go to `url`; the vendor rule and the policy may both object.
fn webhook_url_problems(url: &Url, is_allowed: impl Fn(&Url) -> bool) -> Vec<&'static str> {
    // IMPROVE: upstream takes every scheme.
    if !matches!(url.scheme(), "http" | "https") {
        return vec!["must be an http or https URL"];
    }
    let vendor = is_vendor_host(url).then_some("must not point to nango.dev");
    let policy = (!is_allowed(url)).then_some("is not allowed by the outbound URL policy of this server");
    [vendor, policy].into_iter().flatten().collect()
}

// Wire: kept although it protects nobody here; clients rely on the refusal.
fn is_vendor_host(url: &Url) -> bool {
    let Some(Host::Domain(host)) = url.host() else { return false };
    let host = host.trim_end_matches('.');
    host == "nango.dev" || host.ends_with(".nango.dev")
}

#[cfg(test)]
mod tests {
    use super::super::reader::read_object;
    use super::*;

    fn read(value: Value) -> Result<Option<String>, Vec<String>> {
        let allows = |url: &Url| url.host_str() != Some("127.0.0.1") && url.port() != Some(1);
        let body = json!({ "webhook_url_override": value });
        read_object(Some(&body), |body| body.webhook_url("webhook_url_override", allows)).map_err(|issues| {
            let shown = |issue: &super::super::Issue| format!("{:?} {}", issue.code, issue.path.join("."));
            issues.as_slice().iter().map(shown).collect()
        })
    }

    #[test]
    fn webhook_urls_are_judged_by_form_vendor_and_policy() {
        let (custom, union) = ("Custom webhook_url_override", "InvalidUnion webhook_url_override");
        let cases: [(Value, Result<&str, &[&str]>); 15] = [
            (json!("https://hooks.example.com/in"), Ok("https://hooks.example.com/in")),
            (json!("  https://hooks.example.com  "), Ok("https://hooks.example.com")),
            (json!(""), Ok("")),
            (json!("https://notnango.dev/x"), Ok("https://notnango.dev/x")),
            (json!(" "), Err(&[union])),
            (json!("hooks.example.com"), Err(&[union])),
            (json!(5), Err(&[union])),
            (json!(null), Err(&[union])),
            (json!("ftp://hooks.example.com"), Err(&[custom])),
            (json!("file:///etc/passwd"), Err(&[custom])),
            (json!("http://127.0.0.1/x"), Err(&[custom])),
            (json!("https://nango.dev"), Err(&[custom])),
            (json!("https://api.NANGO.dev/x"), Err(&[custom])),
            (json!("https://api.nango.dev./x"), Err(&[custom])),
            (json!("https://api.nango.dev:1/x"), Err(&[custom, custom])),
        ];
        for (value, expected) in cases {
            let expected = expected
                .map(|text| Some(text.to_owned()))
                .map_err(|issues| issues.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(read(value.clone()), expected, "{value}");
        }
    }
}
