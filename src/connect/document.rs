//! The one document of the Connect UI, put together at start: it is the same for everybody.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use super::{Mount, answer_coded, policy};
use crate::assets::{Coded, Coding, assets};
use crate::config::Config;

const MODULES: &str = "js/connect/";
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

#[derive(Template)]
#[template(path = "connect/index.html")]
struct Page<'a> {
    build: &'a str,
    /// Named up front, so that the browser asks for all modules at once.
    modules: Vec<&'a str>,
    /// The API as seen from the document: relative when both are on one port.
    api: &'a str,
    /// The API's public address.
    server: &'a str,
    /// The public address of this page.
    public: &'a str,
    /// Other origins of the API that the page may be pointed at, separated by spaces.
    trusted: String,
}

pub struct Document {
    html: Coded,
    policy: HeaderValue,
}

impl Document {
    pub fn new(config: &Config, mount: Mount) -> Self {
        let server = format!("{}/", config.http.server_url);
        let page = Page {
            build: assets().build(),
            modules: assets().list(MODULES).collect(),
            api: match mount {
                Mount::MainPort => "../",
                Mount::OwnPort => &server,
            },
            server: &server,
            public: &config.http.connect_url,
            trusted: config.connect_ui.api_origins.join(" "),
        };
        let html = page.render().unwrap_or_else(|error| {
            tracing::error!(error = %error, "the Connect UI's document could not be written");
            String::new()
        });
        Document { html: Coded::new(html), policy: policy::content_security_policy(config) }
    }

    pub async fn answer(&self, coding: Coding) -> Response {
        let mut response = answer_coded(&self.html, "text/html; charset=utf-8", coding).await;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        // The query of a link holds the session token: other sites learn the origin at most.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
        headers.insert(PERMISSIONS, HeaderValue::from_static("camera=(), microphone=(), geolocation=()"));
        response
    }
}
