//! Calls that this server makes for itself with a connection's credentials: to see whether they are good (`verify`), and for
//! the hooks around a connection (`crate::hooks`). Signed and guarded as proxied calls are, but whole in memory.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded;

use super::authorize::sensitive;
use super::body::Outgoing;
use super::entry::{EntryHeaders, EntryQuery, Section, set_resolved};
use super::namespace::{Namespace, Origin};
use super::request_names::RequestNames;
use super::sign::{Finished, Moment, Signer};
use super::target::Unbuildable;
use super::url::{Base, BaseOrigin, query_pair};
use crate::app::App;
use crate::auth::{AwsPayload, Credentials};
use crate::catalog::{CallMethod, HookRequest, HookUrl, Parameter, Parameters};
use crate::egress::{Answer, EgressError, OutgoingRequest};
use crate::integrations::OpenIntegration;
use crate::oauth::xml::write_xml;
use crate::template::{Context, Escape, Template, build_url, url_text};

/// Whose credentials a call is made with, and the values that its templates know.
#[derive(Clone, Copy)]
pub struct OnBehalf<'a> {
    pub integration: &'a OpenIntegration,
    pub credentials: &'a Credentials,
    /// As templates see it: without prefixes and empty texts.
    pub connection_config: &'a Map<String, Value>,
    pub metadata: Option<&'a Map<String, Value>>,
    pub connection_id: &'a str,
    /// What the earlier steps of a hook brought.
    pub found: &'a Map<String, Value>,
}

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum OwnCallError {
    #[error("{0}")]
    Unbuildable(String),
    #[error("{0}")]
    NoAnswer(#[from] EgressError),
}

impl From<Unbuildable> for OwnCallError {
    fn from(problem: Unbuildable) -> Self {
        OwnCallError::Unbuildable(problem.to_string())
    }
}

/// Evaluates templates with everything that calls on behalf of a connection know, their own parts apart.
pub fn with_context<T>(app: &App, on_behalf: OnBehalf<'_>, evaluate: impl FnOnce(&Context<'_>) -> T) -> T {
    let OnBehalf { integration, credentials, connection_config, metadata, connection_id, found } = on_behalf;
    let origin = Origin { integration, credentials, connection_config, metadata, connection_id };
    let namespace = Namespace::new(origin, app.rng.uuid().to_string(), app.clock.now()).with_found(found);
    evaluate(&namespace.context())
}

/// Makes a hook's call.
///
/// # Errors
/// Something has no value, or there was no answer.
pub async fn send_hook(
    app: &App,
    on_behalf: OnBehalf<'_>,
    request: &HookRequest,
) -> Result<Answer, OwnCallError> {
    let body = match &request.json {
        Some(json) => OwnBody::Json(json),
        None if !request.form.is_empty() => OwnBody::Form(&request.form),
        None => OwnBody::Nothing,
    };
    let call = OwnCall {
        method: request.method,
        place: Place::Hook(&request.url),
        headers: &request.headers,
        body,
        without_credentials: request.without_credentials,
    };
    let request = call.build(app, on_behalf)?;
    Ok(app.egress.webhooks.send(request).await?)
}

/// A call before its templates are evaluated.
pub(super) struct OwnCall<'a> {
    pub method: CallMethod,
    pub place: Place<'a>,
    pub headers: &'a IndexMap<String, Template>,
    pub body: OwnBody<'a>,
    pub without_credentials: bool,
}

pub(super) enum Place<'a> {
    /// Below the base URL, or below another one. Values are written as they are.
    Endpoint {
        base: Option<&'a Template>,
        endpoint: &'a Template,
    },
    Hook(&'a HookUrl),
}

pub(super) enum OwnBody<'a> {
    Nothing,
    /// A JSON object without templates.
    Members(Map<String, Value>),
    Json(&'a Parameter),
    /// Trees are sent as JSON text.
    Form(&'a Parameters),
    Xml(&'a Parameters),
}

impl OwnCall<'_> {
    /// # Errors
    /// Something that the call needs has no value, or cannot be sent.
    pub fn build(&self, app: &App, on_behalf: OnBehalf<'_>) -> Result<OutgoingRequest, Unbuildable> {
        let OnBehalf { integration, credentials, connection_config, metadata, connection_id, found } =
            on_behalf;
        let origin = Origin { integration, credentials, connection_config, metadata, connection_id };
        let (random, now) = (app.rng.uuid().to_string(), app.clock.now());
        let namespace = Namespace::new(origin, random.clone(), now).with_found(found);
        let context = namespace.context();
        let section = Section::of(integration)?;
        let url = self.url(&section, &context)?;
        let uri: Uri = url.as_str().parse().map_err(|_| Unbuildable::InvalidUrl)?;
        let (body, content_type) = self.body.write(&context)?;
        let mut caller = HeaderMap::new();
        caller.extend(content_type.clone().map(|value| (CONTENT_TYPE, value)));
        let method = Method::from(self.method);
        let outgoing = Outgoing::whole(body.clone(), content_type);
        let endpoint = uri.path_and_query().map_or("/", |target| target.as_str());
        let names = RequestNames::of(&method, endpoint, &uri, &caller, &outgoing);
        let of_request = Namespace::new(origin, random, now).with_found(found).with_request(&names.pairs());
        let headers = self.headers(&section, credentials, &of_request.context(), &caller)?;
        let mut request = OutgoingRequest { method: method.clone(), url, headers, body, follow: true };
        if !self.without_credentials {
            sign(app, on_behalf, &mut request)?;
        }
        Ok(request)
    }

    fn url(&self, section: &Section<'_>, context: &Context<'_>) -> Result<Url, Unbuildable> {
        let (base, endpoint) = match self.place {
            Place::Hook(HookUrl::Absolute(template)) => {
                return Ok(build_url(template, context, Escape::Component)?);
            }
            Place::Hook(HookUrl::Below(template)) => {
                let text = url_text(template, context, Escape::Component)?;
                let endpoint = text.strip_prefix(HookUrl::BELOW).unwrap_or(&text).to_owned();
                (section.base(context)?, endpoint)
            }
            Place::Endpoint { base, endpoint } => {
                let base = match base {
                    Some(template) => {
                        let text = url_text(template, context, Escape::Verbatim)?;
                        Base::parse(&text, template.source(), BaseOrigin::Catalog)?
                    }
                    None => section.base(context)?,
                };
                let missing =
                    |unresolved: crate::template::Unresolved| Unbuildable::MissingConfig(unresolved.names);
                (base, endpoint.resolve(context).map_err(missing)?.into_owned())
            }
        };
        let mut pairs = Vec::new();
        if !self.without_credentials {
            let query = EntryQuery::build(section, context);
            pairs = query.fixed;
            for (name, template) in &query.varying {
                pairs.extend(template.resolve(context).ok().map(|value| query_pair(name, &value)));
            }
        }
        let is_strict = matches!(self.place, Place::Hook(_));
        let uri = base.join(&endpoint, &pairs, is_strict)?;
        Url::parse(&uri.to_string()).map_err(|_| Unbuildable::InvalidUrl)
    }

    /// The entry's and the credentials' headers, and over them those of the call.
    fn headers(
        &self,
        section: &Section<'_>,
        credentials: &Credentials,
        context: &Context<'_>,
        caller: &HeaderMap,
    ) -> Result<HeaderMap, Unbuildable> {
        let mut headers = HeaderMap::new();
        if !self.without_credentials {
            let mut entry = EntryHeaders::build(section, credentials, context)?;
            for (name, template) in &entry.varying {
                set_resolved(&mut entry.fixed, name, template, context);
            }
            headers = entry.fixed;
        }
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json, text/plain, */*"));
        for (name, value) in caller {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        for (name, template) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok();
            let value = template.resolve(context).ok().and_then(|text| sensitive(&text));
            if let (Some(name), Some(value)) = (name, value) {
                headers.insert(name, value);
            }
        }
        Ok(headers)
    }
}

impl OwnBody<'_> {
    fn write(&self, context: &Context<'_>) -> Result<(Bytes, Option<HeaderValue>), Unbuildable> {
        let missing = |unresolved: crate::template::Unresolved| Unbuildable::MissingConfig(unresolved.names);
        let (text, content_type) = match self {
            OwnBody::Nothing => return Ok((Bytes::new(), None)),
            OwnBody::Members(members) if members.is_empty() => return Ok((Bytes::new(), None)),
            OwnBody::Members(members) => (Value::Object(members.clone()).to_string(), "application/json"),
            OwnBody::Json(tree) => (tree.resolve(context).map_err(missing)?.to_string(), "application/json"),
            OwnBody::Form(fields) => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                for (name, value) in *fields {
                    form.append_pair(name, &value.resolve_text(context).map_err(missing)?);
                }
                (form.finish(), "application/x-www-form-urlencoded")
            }
            OwnBody::Xml(elements) => {
                let resolve = |(name, value): (&String, &Parameter)| {
                    Ok((name.clone(), value.resolve(context).map_err(missing)?))
                };
                let tree = elements.iter().map(resolve).collect::<Result<Map<_, _>, Unbuildable>>()?;
                (write_xml(&tree), "application/xml")
            }
        };
        Ok((text.into(), Some(HeaderValue::from_static(content_type))))
    }
}

fn sign(app: &App, on_behalf: OnBehalf<'_>, request: &mut OutgoingRequest) -> Result<(), Unbuildable> {
    let signer = Signer::of(on_behalf.integration, on_behalf.credentials, on_behalf.connection_config)?;
    let Some(signer) = signer.filter(|signer| signer.applies(&request.headers)) else { return Ok(()) };
    let uri: Uri = request.url.as_str().parse().map_err(|_| Unbuildable::InvalidUrl)?;
    let moment = Moment { now: app.clock.now(), nonce: app.rng.alphanumeric(32) };
    let payload = AwsPayload::Bytes(&request.body);
    let (method, headers) = (&request.method, &mut request.headers);
    signer.sign(Finished { method, uri: &uri, headers, payload }, &moment)?;
    // The signature covers this URL only.
    request.follow = false;
    Ok(())
}

impl From<CallMethod> for Method {
    fn from(method: CallMethod) -> Self {
        match method {
            CallMethod::Get => Method::GET,
            CallMethod::Post => Method::POST,
            CallMethod::Put => Method::PUT,
            CallMethod::Patch => Method::PATCH,
            CallMethod::Delete => Method::DELETE,
            // The name is a token, so that it is a method.
            CallMethod::Propfind => Method::from_bytes(b"PROPFIND").unwrap_or(Method::OPTIONS),
        }
    }
}
