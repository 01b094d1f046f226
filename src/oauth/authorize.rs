//! The URL that the popup is sent to (`spec` auth-flows, section 5.1.1). Pure.

use indexmap::IndexMap;
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::catalog::{Parameter, Provider, SkipEncode};
use crate::template::{Context, Escape, UrlError, build_url};

/// Parameters that belong to the flow itself: callers cannot set or remove them.
const RESERVED: [&str; 6] =
    ["response_type", "client_id", "state", "redirect_uri", "code_challenge", "code_challenge_method"];
/// Wire: this text as a value removes a parameter of the catalog.
const REMOVE: &str = "undefined";

/// Everything that goes into the URL.
pub struct Authorize<'a> {
    pub provider: &'a Provider,
    pub client_id: &'a str,
    pub redirect_uri: &'a str,
    pub scopes: &'a [String],
    pub state: &'a str,
    /// 43 to 128 unreserved characters (RFC 7636, section 4.1). Unused where the entry disables PKCE.
    pub code_verifier: &'a str,
    pub user_scope: Option<&'a str>,
    /// The caller's or the session's own parameters.
    pub params: &'a Map<String, Value>,
}

/// Why no URL could be built. Names fields, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    #[error("the provider has no authorization URL in the catalog")]
    NoUrl,
    #[error("the provider's grant type is not `authorization_code`")]
    GrantType,
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("no value for {names} in the parameter `{parameter}`")]
    Parameter { parameter: String, names: String },
}

/// The query under construction: name to value and whether the value is written as it is.
#[derive(Default)]
struct Query(IndexMap<String, (String, bool)>);

/// Builds the URL. `context` knows the connection config.
///
/// # Errors
/// A grant type that is no code flow, or a value that a template lacks.
pub fn authorize_url(request: &Authorize<'_>, context: &Context<'_>) -> Result<Url, AuthorizeError> {
    let provider = request.provider;
    check_grant_type(provider)?;
    let template = provider.authorization_url.as_ref().ok_or(AuthorizeError::NoUrl)?;
    let is_verbatim = provider.authorization_url_skip_encode.contains(&SkipEncode::BaseUrl);
    let escape = if is_verbatim { Escape::Verbatim } else { Escape::Component };
    let url = build_url(template, context, escape)?;
    // They are needed only after the redirect, but then it is too late to ask for a value.
    resolve_all(provider.token_params.iter(), context)?;
    let mut query = Query::default();
    for (name, value) in url.query_pairs() {
        query.set(&name, value);
    }
    add_parameters(&mut query, request, context)?;
    Ok(finish(url, query, provider))
}

fn check_grant_type(provider: &Provider) -> Result<(), AuthorizeError> {
    let is_code = match provider.token_params.get("grant_type") {
        None => true,
        Some(Parameter::Text(template)) => template.source() == "authorization_code",
        Some(_) => false,
    };
    if is_code { Ok(()) } else { Err(AuthorizeError::GrantType) }
}

fn add_parameters(
    query: &mut Query,
    request: &Authorize<'_>,
    context: &Context<'_>,
) -> Result<(), AuthorizeError> {
    let provider = request.provider;
    query.set("response_type", "code");
    query.set("client_id", request.client_id);
    query.set("redirect_uri", request.redirect_uri);
    query.set("scope", request.scopes.join(&provider.scope_separator));
    query.set("state", request.state);
    for (name, value) in resolve_all(provider.authorization_params.iter(), context)? {
        query.set(name, value);
    }
    if !provider.disable_pkce {
        let verifier = PkceCodeVerifier::new(request.code_verifier.to_owned());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        query.set("code_challenge", challenge.as_str());
        query.set("code_challenge_method", challenge.method().as_str());
    }
    // Wire: only this entry knows scopes of the user next to those of the app.
    if let Some(scope) = request.user_scope.filter(|_| provider.name == "slack") {
        query.set("user_scope", scope);
    }
    let own = request.params.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    for (name, value) in own {
        match value.as_str() {
            Some(REMOVE) => query.remove(name),
            Some(text) => query.set(name, text),
            None => {}
        }
    }
    Ok(())
}

fn resolve_all<'p>(
    parameters: impl Iterator<Item = (&'p String, &'p Parameter)>,
    context: &Context<'_>,
) -> Result<Vec<(&'p str, String)>, AuthorizeError> {
    let resolve = |(name, parameter): (&'p String, &'p Parameter)| match parameter.resolve_text(context) {
        Ok(text) => Ok((name.as_str(), text)),
        Err(missing) => {
            let names = missing.names.join(", ");
            Err(AuthorizeError::Parameter { parameter: name.clone(), names })
        }
    };
    parameters.map(resolve).collect()
}

/// The post-processing of odd providers, in the order of the grammar.
fn finish(mut url: Url, mut query: Query, provider: &Provider) -> Url {
    if provider.authorization_url_skip_encode.contains(&SkipEncode::Scopes) {
        query.move_to_end_unencoded("scope");
    }
    for (name, replacement) in &provider.authorization_url_replacements {
        query.rename(name.trim_end_matches('='), replacement.trim_end_matches('='));
    }
    if provider.authorization_url_skip_empty {
        query.0.retain(|_, (value, _)| !value.is_empty());
    }
    let text = query.encode();
    match &provider.authorization_url_fragment {
        Some(fragment) => {
            url.set_query(None);
            url.set_fragment(Some(&format!("{fragment}?{text}")));
        }
        None => url.set_query(Some(&text)),
    }
    url
}

impl Query {
    /// Sets a parameter; one of the same name is replaced in place.
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), (value.into(), false));
    }

    fn remove(&mut self, name: &str) {
        self.0.shift_remove(name);
    }

    fn move_to_end_unencoded(&mut self, name: &str) {
        if let Some((value, _)) = self.0.shift_remove(name) {
            self.0.insert(name.to_owned(), (value, true));
        }
    }

    /// Renames a parameter in place; an empty new name takes it away.
    fn rename(&mut self, name: &str, replacement: &str) {
        if !self.0.contains_key(name) {
            return;
        }
        let pairs = std::mem::take(&mut self.0).into_iter();
        let renamed = pairs
            .map(|(old, value)| if old == name { (replacement.to_owned(), value) } else { (old, value) });
        self.0 = renamed.filter(|(name, _)| !name.is_empty()).collect();
    }

    /// Form-encoded: a space is `+`.
    fn encode(&self) -> String {
        let pair = |(name, (value, is_raw)): (&String, &(String, bool))| {
            let name: String = byte_serialize(name.as_bytes()).collect();
            let value = if *is_raw {
                // What could start another parameter or end the query is encoded all the same.
                value.replace('&', "%26").replace('#', "%23")
            } else {
                byte_serialize(value.as_bytes()).collect()
            };
            format!("{name}={value}")
        };
        self.0.iter().map(pair).collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::catalog::{Source, load};

    const VERIFIER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";
    const PKCE: &str =
        "&code_challenge=NMJuFUurX_VE8p-HR6aR0P7dO4pRZV8n0PWFsbJ1OXA&code_challenge_method=S256";
    const START: &str =
        "?response_type=code&client_id=c%261&redirect_uri=https%3A%2F%2Fh%2Fcb&scope=a+b%3Ac&state=st";

    fn provider(name: &str, extra: &Value) -> Arc<Provider> {
        let mut entry = json!({"display_name": "Acme", "docs": "https://d", "auth_mode": "OAUTH2",
            "authorization_url": "https://a.test/auth", "token_url": "https://a.test/token"});
        if let (Some(entry), Some(extra)) = (entry.as_object_mut(), extra.as_object()) {
            entry.extend(extra.clone());
        }
        let text = json!({ name: entry }).to_string();
        let loaded = load(&[], &[Source::Text { name: "t.yaml".to_owned(), text }]);
        loaded.catalog.get(name).cloned().unwrap_or_else(|| panic!("{:?}", loaded.problems))
    }

    fn build(name: &str, extra: &Value, params: &Value) -> Result<String, AuthorizeError> {
        let config = json!({"sub": "acme", "empty": ""}).as_object().cloned().unwrap_or_default();
        let context = Context::new(DateTime::UNIX_EPOCH, "r").flat_connection_config(&config);
        let params = params.as_object().cloned().unwrap_or_default();
        let request = Authorize {
            provider: &provider(name, extra),
            client_id: "c&1",
            redirect_uri: "https://h/cb",
            scopes: &["a".to_owned(), "b:c".to_owned()],
            state: "st",
            code_verifier: VERIFIER,
            user_scope: Some("u1,u2"),
            params: &params,
        };
        authorize_url(&request, &context).map(String::from)
    }

    #[test]
    fn every_option_of_the_grammar_shapes_the_url() {
        let base = "https://a.test/auth";
        let cases = [
            ("plain", json!({}), format!("{base}{START}{PKCE}")),
            ("no PKCE", json!({"disable_pkce": true}), format!("{base}{START}")),
            (
                "another separator",
                json!({"disable_pkce": true, "scope_separator": ","}),
                format!("{base}{}", START.replace("a+b", "a%2Cb")),
            ),
            (
                "own parameters, replacing in place",
                json!({"disable_pkce": true, "authorization_params": {"response_type": "code id_token", "x": "${connectionConfig.sub}", "n": 1}}),
                format!("{base}{}&x=acme&n=1", START.replace("=code&", "=code+id_token&")),
            ),
            (
                "a query of its own",
                json!({"disable_pkce": true, "authorization_url": "https://${connectionConfig.sub}.test/auth?k=v&state=mine"}),
                format!("https://acme.test/auth?k=v&state=st&{}", &START[1..START.len() - 9]),
            ),
            (
                "raw scopes",
                json!({"disable_pkce": true, "authorization_url_skip_encode": ["scopes"]}),
                format!("{base}{}&scope=a%20b:c", START.replace("&scope=a+b%3Ac", "")),
            ),
            (
                "fragment",
                json!({"disable_pkce": true, "authorization_url_fragment": "/consent"}),
                format!("{base}#/consent{START}"),
            ),
            (
                "replacements",
                json!({"disable_pkce": true, "authorization_url_replacements": {"client_id=": "app_id=", "state": "", "st": "x"}}),
                format!("{base}{}", START.replace("client_id", "app_id").replace("&state=st", "")),
            ),
            (
                "empty ones skipped",
                json!({"disable_pkce": true, "authorization_url_skip_empty": true, "authorization_params": {"scope": "", "y": ""}}),
                format!("{base}{}", START.replace("&scope=a+b%3Ac", "")),
            ),
            (
                "empty ones kept",
                json!({"disable_pkce": true, "authorization_params": {"scope": ""}}),
                format!("{base}{}", START.replace("a+b%3Ac", "")),
            ),
        ];
        for (name, extra, expected) in cases {
            assert_eq!(build("acme", &extra, &json!({})), Ok(expected), "{name}");
        }
        let slack = build("slack", &json!({"disable_pkce": true}), &json!({}));
        assert_eq!(slack, Ok(format!("{base}{START}&user_scope=u1%2Cu2")));
    }

    #[test]
    fn callers_change_what_is_theirs_to_change() {
        let extra = json!({"authorization_params": {"prompt": "consent", "access_type": "offline"}});
        let params = json!({"prompt": "undefined", "access_type": "online", "scope": "z", "new": "1 2", "odd": 5,
            "state": "evil", "redirect_uri": "undefined", "client_id": "x", "response_type": "token",
            "code_challenge": "undefined", "code_challenge_method": "plain"});
        let start = START.replace("a+b%3Ac", "z");
        let expected = format!("https://a.test/auth{start}&access_type=online{PKCE}&new=1+2");
        assert_eq!(build("acme", &extra, &params), Ok(expected));
    }

    #[test]
    fn what_cannot_be_filled_is_named() {
        let missing = |parameter: &str, names: &str| {
            Err(AuthorizeError::Parameter { parameter: parameter.to_owned(), names: names.to_owned() })
        };
        let cases = [
            (json!({"token_params": {"grant_type": "client_credentials"}}), Err(AuthorizeError::GrantType)),
            (
                json!({"authorization_params": {"x": "${connectionConfig.nope}"}}),
                missing("x", "connectionConfig.nope"),
            ),
            (
                json!({"token_params": {"y": "${connectionConfig.nope}"}}),
                missing("y", "connectionConfig.nope"),
            ),
            (
                json!({"authorization_url": "https://${connectionConfig.empty}.test"}),
                Err(AuthorizeError::Url(UrlError::Missing {
                    names: vec!["connectionConfig.empty".to_owned()],
                })),
            ),
        ];
        for (extra, expected) in cases {
            assert_eq!(build("acme", &extra, &json!({})), expected, "{extra}");
        }
        assert!(
            build("acme", &json!({"token_url": "https://${connectionConfig.later}.test"}), &json!({}))
                .is_ok()
        );
    }
}
