//! The playground: a proxied call put together by hand, the requests that it really made, and its answer.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::de::IgnoredAny;

use super::call::{self, Composed, Outcome};
use super::connections::{ProxiedCall, Snippet, find, forwarded, known_path};
use super::error::PageError;
use super::form::Form;
use super::page::EnvironmentPage;
use crate::app::SharedApp;
use crate::db::connection_list::{Filter, list};
use crate::db::connections::{self as rows, Connection};
use crate::db::integrations;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const MOST_RETRIES: u32 = 3;
/// What no URL may hold as it is; people type it all the same. Braces stay: templates have them.
const NOT_IN_URLS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`');
/// Connections that are offered while typing.
const OFFERED: i64 = 30;

#[derive(Template)]
#[template(path = "dashboard/playground.html")]
struct PlaygroundPage<'a> {
    page: &'a EnvironmentPage,
    integrations: Vec<String>,
    offered: Vec<String>,
    methods: [&'static str; 7],
    form: Form,
    outcome: Option<Outcome>,
    snippets: Vec<Snippet>,
}

async fn load<'a>(
    app: &SharedApp,
    page: &'a EnvironmentPage,
    form: Form,
) -> Result<PlaygroundPage<'a>, PageError> {
    let environment = page.environment.id;
    let rows = integrations::list(&app.db, environment).await?;
    let filter = Filter { limit: OFFERED, ..Filter::default() };
    let newest = list(&app.db, &app.page_marks, environment, &filter, app.clock.now()).await?;
    Ok(PlaygroundPage {
        page,
        integrations: rows.into_iter().map(|row| row.unique_key).collect(),
        offered: newest.into_iter().map(|row| row.connection_id).collect(),
        methods: METHODS,
        form,
        outcome: None,
        snippets: Vec::new(),
    })
}

/// Shows the form; the address may name a connection by its row.
pub async fn show_playground(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let asked = Form::parse(query.unwrap_or_default().as_bytes());
    let mut form = Form::filled([("method", "GET"), ("path", "/"), ("retries", "0")]);
    if let Ok((integration, connection)) = find(&app, &page, asked.text("connection")).await {
        form.set("integration", integration.row.unique_key.clone());
        form.set("connection", connection.connection_id);
        form.set("path", known_path(&integration).unwrap_or_else(|| "/".to_owned()));
    }
    page.show(&load(&app, &page, form).await?)
}

/// Makes the call of the form.
pub async fn call_from_playground(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let connection = find_named(&app, &page, &mut form).await?;
    let headers = with_content_type(read_headers(&mut form), form.value("body"));
    let path = read_path(&mut form);
    let method = METHODS.into_iter().find(|method| *method == form.value("method")).unwrap_or("GET");
    let Some(connection) = connection.filter(|_| !form.has_problems()) else {
        return page.show_again(&load(&app, &page, form).await?);
    };
    let integration = form.value("integration").to_owned();
    let composed = Composed {
        integration: &integration,
        connection: &connection,
        method: Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET),
        path: &path,
        headers: to_map(&headers),
        body: form.value("body").to_owned(),
        retries: form.text("retries").parse().unwrap_or(0).min(MOST_RETRIES),
    };
    let outcome = Some(call::make(&app, composed).await?);
    let snippets = ProxiedCall {
        server_url: &app.config.http.server_url,
        integration: &integration,
        connection: &connection.connection_id,
        method,
        path: &path,
        body: form.value("body"),
        headers: &headers,
    }
    .snippets();
    page.show(&PlaygroundPage { outcome, snippets, ..load(&app, &page, form).await? })
}

/// The connection that the form names.
async fn find_named(
    app: &SharedApp,
    page: &EnvironmentPage,
    form: &mut Form,
) -> Result<Option<Connection>, PageError> {
    let environment = page.environment.id;
    let Some(integration) = integrations::find(&app.db, environment, form.value("integration")).await? else {
        form.problem("integration", "Choose an integration.");
        return Ok(None);
    };
    let found = rows::find(&app.db, environment, integration.id, form.text("connection")).await?;
    if found.is_none() {
        form.problem("connection", "This integration has no connection with this id.");
    }
    Ok(found)
}

/// Path and query of the call.
fn read_path(form: &mut Form) -> String {
    let typed = form.text("path").to_owned();
    if typed.starts_with("http://") || typed.starts_with("https://") {
        form.problem("path", "Leave the host out: the provider's own comes from the catalog.");
    }
    let path = utf8_percent_encode(&typed, NOT_IN_URLS).to_string();
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// Headers, a line each.
fn read_headers(form: &mut Form) -> Vec<(String, String)> {
    let text = form.value("headers").to_owned();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut headers = Vec::new();
    for line in lines {
        let pair = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        match pair.filter(|(name, value)| {
            HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok()
        }) {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => form.problem("headers", "Write each header on a line of its own, as Name: value."),
        }
    }
    headers
}

/// Says what a body is, when nobody did.
fn with_content_type(mut headers: Vec<(String, String)>, body: &str) -> Vec<(String, String)> {
    let is_said = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
    if !body.is_empty() && !is_said {
        let is_json = serde_json::from_str::<IgnoredAny>(body).is_ok();
        let kind = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        headers.push(("Content-Type".to_owned(), kind.to_owned()));
    }
    headers
}

/// The headers as the proxy takes them.
fn to_map(headers: &[(String, String)]) -> HeaderMap {
    let parsed = headers.iter().filter_map(|(name, value)| {
        let name = forwarded(name);
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    });
    let mut map = HeaderMap::new();
    parsed.for_each(|(name, value)| {
        map.append(name, value);
    });
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_paths_are_read_as_they_are_typed() {
        let mut form = Form::filled([("headers", "Accept: a\n\n X-B :c: d \n"), ("path", "me?x=1 <a>")]);
        let expected =
            [("Accept", "a"), ("X-B", "c: d")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read_headers(&mut form), expected);
        assert_eq!(read_path(&mut form), "/me?x=1%20%3Ca%3E");
        assert!(!form.has_problems());
        let said = |headers, body| with_content_type(headers, body).pop().map(|(_, value)| value);
        assert_eq!(said(vec![], "{}").as_deref(), Some("application/json"));
        assert_eq!(said(vec![], "a=1").as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(said(vec![("content-type".to_owned(), "x/y".to_owned())], "{}").as_deref(), Some("x/y"));
        assert_eq!(said(vec![], ""), None);
        for (field, typed) in [("headers", "nothing"), ("headers", "b d: x"), ("path", "https://x.test/a")] {
            let mut form = Form::filled([(field, typed)]);
            read_headers(&mut form);
            read_path(&mut form);
            assert!(!form.problem_of(field).is_empty(), "{field}: {typed}");
        }
    }
}
