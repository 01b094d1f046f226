//! What an entry's `proxy` section adds to a call: base URL, headers, query (`spec` providers, sections 5.1 and 5.2; proxy,
//! section 7.4). Values that no request can change are computed once. Pure.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};
use serde_json::{Map, Value};

use super::authorize::{carries_token, default_authorization, default_headers, sensitive};
use super::sign::signature_headers;
use super::target::Unbuildable;
use super::url::{Base, BaseOrigin, query_pair};
use crate::auth::Credentials;
use crate::catalog::{Parameter, ProxySection};
use crate::integrations::OpenIntegration;
use crate::template::{Context, Escape, Template, url_text};

/// Names that stand for parts of the request being sent.
const REQUEST_NAMES: [&str; 8] = [
    "method",
    "endpoint",
    "host",
    "path",
    "params",
    "urlCanonicalParams",
    "bodyCanonicalParams",
    "contentType",
];

/// The section in effect for an integration: the entry's, with what the operator set for it.
#[derive(Default)]
pub(super) struct Section<'a> {
    base_url: Option<Cow<'a, Template>>,
    base_origin: BaseOrigin,
    headers: Vec<(&'a str, Cow<'a, Template>)>,
    query: Vec<(&'a str, Cow<'a, Template>)>,
    provider: &'a str,
}

impl<'a> Section<'a> {
    /// # Errors
    /// The provider left the catalog.
    pub fn of(integration: &'a OpenIntegration) -> Result<Self, Unbuildable> {
        let unknown = || Unbuildable::UnknownProvider(integration.row.provider.clone());
        let provider = integration.provider.as_deref().ok_or_else(unknown)?;
        let mut section = Section { provider: &provider.name, ..Section::default() };
        if let Some(entry) = &provider.proxy {
            section.add_entry(entry);
        }
        if !provider.integration_config.is_empty() {
            section.add_custom(&integration.custom);
        }
        Ok(section)
    }

    fn add_entry(&mut self, entry: &'a ProxySection) {
        self.base_url = Some(Cow::Borrowed(&entry.base_url));
        self.headers =
            entry.headers.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value))).collect();
        self.query = entry.query.iter().filter_map(text_parameter).collect();
    }

    /// Wire: the operator's key is added to the entry's headers, it does not replace them.
    fn add_custom(&mut self, custom: &'a Map<String, Value>) {
        let text =
            |name: &str| custom.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        if let Some(url) = text("baseUrl") {
            self.base_url = Some(Cow::Owned(Template::parse_lenient(url)));
            self.base_origin = BaseOrigin::Custom;
        }
        let Some(name) = text("keyName") else { return };
        let value = Cow::Owned(Template::parse_lenient(text("valueTemplate").unwrap_or("${apiKey}")));
        if text("keyPlacement") == Some("query") {
            self.query.push((name, value));
        } else {
            self.headers.push((name, value));
        }
    }

    /// The base URL of calls that bring none.
    pub fn base(&self, context: &Context<'_>) -> Result<Base, Unbuildable> {
        let none = || Unbuildable::NoBaseUrl(self.provider.to_owned());
        let template = self.base_url.as_deref().ok_or_else(none)?;
        let text = url_text(template, context, Escape::Verbatim)?;
        Base::parse(&text, template.source(), self.base_origin)
    }
}

/// Wire: only texts are used.
fn text_parameter<'a>((name, value): (&'a String, &'a Parameter)) -> Option<(&'a str, Cow<'a, Template>)> {
    match value {
        Parameter::Text(template) => Some((name, Cow::Borrowed(template))),
        Parameter::Plain(_) | Parameter::List(_) | Parameter::Object(_) => None,
    }
}

/// The headers of every call, and those that a call has to evaluate.
pub(super) struct EntryHeaders {
    pub fixed: HeaderMap,
    pub varying: Vec<(HeaderName, Template)>,
    /// Every name that came from the credentials or from the entry: these stay with their origin on redirects.
    pub names: Vec<HeaderName>,
    /// Whether a header depends on the bytes of the body.
    pub reads_body: bool,
}

impl EntryHeaders {
    pub fn build(
        section: &Section<'_>,
        credentials: &Credentials,
        context: &Context<'_>,
    ) -> Result<Self, Unbuildable> {
        let mut headers =
            EntryHeaders { fixed: HeaderMap::new(), varying: vec![], names: vec![], reads_body: false };
        let own = section.headers.iter().map(|(name, template)| (*name, &**template));
        let default =
            if carries_token(credentials, own) { None } else { default_authorization(credentials)? };
        let defaults = default.map(|value| (header::AUTHORIZATION, value)).into_iter();
        for (name, value) in defaults.chain(default_headers(credentials)?) {
            headers.names.push(name.clone());
            headers.fixed.insert(name, value);
        }
        headers.names.extend_from_slice(signature_headers(credentials));
        for (name, template) in &section.headers {
            headers.add(name, template, context);
        }
        Ok(headers)
    }

    fn add(&mut self, name: &str, template: &Template, context: &Context<'_>) {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            tracing::debug!("an entry names a header that HTTP does not allow; it is left out");
            return;
        };
        self.names.push(name.clone());
        if varies(template) {
            self.reads_body |= template.mentions("params") || template.mentions("bodyCanonicalParams");
            self.varying.push((name, template.clone()));
        } else {
            set_resolved(&mut self.fixed, &name, template, context);
        }
    }
}

/// Sets a header unless its value is incomplete or empty: an optional header is then left out.
pub(super) fn set_resolved(
    headers: &mut HeaderMap,
    name: &HeaderName,
    template: &Template,
    context: &Context<'_>,
) {
    match template.resolve(context) {
        Ok(text) if text.is_empty() => {}
        Ok(text) => {
            if let Some(value) = sensitive(&text) {
                headers.insert(name, value);
            }
        }
        Err(unresolved) => {
            tracing::debug!(header = %name, "left out: {unresolved}");
        }
    }
}

/// The entry's query, ready to be appended, or to be evaluated by each call.
#[derive(Default)]
pub(super) struct EntryQuery {
    /// Encoded `name=value` pairs with their names as callers would spell them.
    pub fixed: Vec<(String, String)>,
    pub varying: Vec<(String, Template)>,
}

impl EntryQuery {
    pub fn build(section: &Section<'_>, context: &Context<'_>) -> Self {
        let mut query = EntryQuery::default();
        for (name, template) in &section.query {
            if varies(template) {
                query.varying.push(((*name).to_owned(), template.clone().into_owned()));
            } else if let Ok(value) = template.resolve(context) {
                query.fixed.push(query_pair(name, &value));
            }
        }
        query
    }
}

/// Whether the value depends on the request or on the moment.
fn varies(template: &Template) -> bool {
    let source = template.source();
    source.contains("${now")
        || source.contains("${random}")
        || template.names().any(|name| REQUEST_NAMES.contains(&name))
}

/// The entry's `proxy.body`, without what has no value.
pub(super) fn body_values(entry: &ProxySection, context: &Context<'_>) -> Map<String, Value> {
    let values = entry.body.iter();
    values.filter_map(|(name, value)| Some((name.clone(), value.resolve_or_drop(context)?))).collect()
}
