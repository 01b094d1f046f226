//! The Connect UI: the page on which end users connect their accounts (`spec` auth-flows, section 13). Here is only what
//! serves it: one document and its assets, under `/connect-ui/` of the main port and on a port of its own. Everything that
//! the page knows it asks the public API for, with the token of its connect session.

mod document;
mod policy;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use self::document::Document;
use crate::assets::{Coded, Coding, assets, media_type};
use crate::config::Config;

/// Where the page lives on the main port.
const PREFIX: &str = "/connect-ui";
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const NOT_AT_ALL: HeaderValue = HeaderValue::from_static("no-store");

/// Where the page is reached, which decides where it finds the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    /// Below the API, on its port.
    MainPort,
    /// Alone.
    OwnPort,
}

/// The page, ready to be sent.
pub struct ConnectUi {
    mount: Mount,
    document: Document,
}

impl ConnectUi {
    /// The page as these settings want it; `None` when it is not served.
    pub fn new(config: &Config, mount: Mount) -> Option<Self> {
        config.connect_ui.is_served.then(|| ConnectUi { mount, document: Document::new(config, mount) })
    }

    /// Whether a path of the main port belongs to the page.
    pub fn owns(&self, path: &str) -> bool {
        path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers a request. Public: the document holds no secrets.
    // None of the headers of the API is wanted here: they would forbid the iframe that the browser SDK opens.
    pub async fn answer(&self, request: Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
        }
        let path = match self.mount {
            Mount::MainPort => request.uri().path().strip_prefix(PREFIX).unwrap_or_default(),
            Mount::OwnPort => request.uri().path(),
        };
        let coding = accepted_coding(request.headers());
        match path {
            "/" => self.document.answer(coding).await,
            // Relative, because a reverse proxy may have taken a prefix away.
            "" => redirect(&PREFIX[1..], "/", request.uri().query()),
            // Wire: paths of the reference page's screens.
            "/integrations" | "/go" => redirect(".", "/", request.uri().query()),
            _ => match path.strip_prefix("/assets/").and_then(|rest| rest.split_once('/')) {
                Some((build, path)) => answer_asset(build, path, coding).await,
                None => not_found(),
            },
        }
    }
}

/// The best coding that the browser takes.
pub fn accepted_coding(headers: &HeaderMap) -> Coding {
    let header = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    Coding::accepted_by(header.unwrap_or_default())
}

fn redirect(to: &str, end: &str, query: Option<&str>) -> Response {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let headers = [(header::LOCATION, format!("{to}{end}{query}"))];
    // The query may hold a session token.
    (StatusCode::TEMPORARY_REDIRECT, headers, [(header::CACHE_CONTROL, NOT_AT_ALL)]).into_response()
}

/// The embedded file at a path, cached for ever when the page that names it is of this build.
pub async fn answer_asset(build: &str, path: &str, coding: Coding) -> Response {
    let Some(file) = assets().find(path) else { return not_found() };
    // While replicas are replaced, a document of one may ask another for its assets: better today's file than none.
    let caching = if build == assets().build() { FOR_EVER } else { NOT_AT_ALL };
    let mut response = answer_coded(file, media_type(path), coding).await;
    response.headers_mut().insert(header::CACHE_CONTROL, caching);
    response
}

/// The answer with the bytes in a coding that the browser takes.
async fn answer_coded(file: &Coded, media_type: &'static str, coding: Coding) -> Response {
    let (coding, bytes) = file.bytes(coding).await;
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(name) = coding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    response
}

fn not_found() -> Response {
    let headers = [(header::CACHE_CONTROL, NOT_AT_ALL)];
    (StatusCode::NOT_FOUND, headers, "There is nothing at this address.\n").into_response()
}
