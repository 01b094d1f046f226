//! `token_response_headers`: values of answers' headers that become credential fields (`spec` providers, section 4.4). Pure.

use http::HeaderMap;
use http::header::SET_COOKIE;
use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::RESERVED;
use crate::catalog::Provider;

/// All cookies as one header wants them.
const COOKIES: &str = "_cookies";

/// What was kept of the answers so far. Deliberately without `Debug`.
pub struct KeptHeaders<'p> {
    provider: &'p Provider,
    cookies: IndexMap<String, String>,
    others: IndexMap<String, String>,
}

impl<'p> KeptHeaders<'p> {
    pub fn new(provider: &'p Provider) -> Self {
        KeptHeaders { provider, cookies: IndexMap::new(), others: IndexMap::new() }
    }

    /// Reads the headers of one more answer; its values replace earlier ones of the same name.
    pub fn read(&mut self, headers: &HeaderMap) {
        for name in &self.provider.token_response_headers {
            if name.eq_ignore_ascii_case(SET_COOKIE.as_str()) {
                let cookies = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
                self.cookies.extend(cookies.filter_map(cookie));
            } else if let Some(value) = headers.get(name.as_str()).and_then(|value| value.to_str().ok()) {
                self.others.insert(name.clone(), value.to_owned());
            }
        }
    }

    /// The credential fields. What the end user submitted is never replaced: it is needed for the next login.
    pub fn fields(&self) -> Map<String, Value> {
        let may_be_set = |name: &str| {
            let schema = self.provider.credentials.get(name);
            !RESERVED.contains(&name) && schema.is_none_or(|schema| schema.automated)
        };
        let all = self.cookies.iter().chain(&self.others).filter(|(name, _)| may_be_set(name));
        let mut fields: Map<String, Value> =
            all.map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.insert(COOKIES.to_owned(), pairs.join("; ").into());
        }
        fields
    }
}

/// Name and value; the attributes behind the first `;` are for browsers.
fn cookie(header: &str) -> Option<(String, String)> {
    let pair = header.split(';').next()?;
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn cookies_of_all_answers_are_joined_and_submitted_fields_stay() {
        let raw = json!({"display_name": "A", "docs": "https://d", "auth_mode": "TWO_STEP",
            "credentials": {"password": {}}, "token_response_headers": ["Set-Cookie", "x-csrf", "token"]});
        let provider = Provider::compile("a", raw.as_object().unwrap().clone()).unwrap();
        let mut kept = KeptHeaders::new(&provider);
        assert!(kept.fields().is_empty());
        for headers in [
            &[
                ("set-cookie", "a=1; Path=/; HttpOnly"),
                ("set-cookie", "password=evil"),
                ("set-cookie", "nonsense"),
            ][..],
            &[("set-cookie", "b=x=y"), ("x-csrf", "c"), ("token", "evil"), ("set-cookie", "a=2")],
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            kept.read(&map);
        }
        let expected = json!({"a": "2", "b": "x=y", "x-csrf": "c", "_cookies": "a=2; password=evil; b=x=y"});
        assert_eq!(Value::Object(kept.fields()), expected);
    }
}
