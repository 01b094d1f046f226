//! The `proxy` section of an entry: where calls go and what is added to them.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{CallMethod, Parameter, Parameters, Retry, ValidWhen};
use crate::template::Template;

/// How proxied calls to a provider are made (`spec` providers, section 5).
#[derive(Debug, Clone, Deserialize)]
pub struct ProxySection {
    /// One slash at the end of the result is not significant.
    pub base_url: Template,
    /// Names are lower case.
    #[serde(default)]
    pub headers: IndexMap<String, Template>,
    /// Only values that are texts are used.
    #[serde(default)]
    pub query: Parameters,
    #[serde(default)]
    pub body: Parameters,
    #[serde(default)]
    pub retry: Retry,
    pub verification: Option<Verification>,
    #[serde(default)]
    pub decompress: bool,
    #[serde(default)]
    pub forward_headers_on_redirect: bool,
}

/// A call that succeeds when the credentials are good: the first good answer among those of `endpoints` decides.
#[derive(Debug, Clone, Deserialize)]
pub struct Verification {
    #[serde(default)]
    pub endpoints: Vec<Template>,
    #[serde(default)]
    pub method: CallMethod,
    /// Sent as caller headers are: they win over `proxy.headers`.
    #[serde(default)]
    pub headers: IndexMap<String, Template>,
    pub data: Option<Map<String, Value>>,
    /// A body of templates, instead of `data` and `proxy.body`.
    pub json: Option<Parameter>,
    #[serde(default)]
    pub form: Parameters,
    /// The tree of a document.
    #[serde(default)]
    pub xml: Parameters,
    pub base_url_override: Option<Template>,
    /// What a good answer looks like.
    #[serde(default)]
    pub valid_when: ValidWhen,
}
