//! The demo provider's consent page. Public like any provider's, and only there while the demo provider runs.

use askama::Template;
use axum::extract::{RawQuery, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use url::Url;

use super::admission::read_own_form;
use super::error::PageError;
use super::form::Form;
use super::outside::Outside;
use crate::app::SharedApp;
use crate::demo::{AUTHORIZE_PATH, CLIENT_ID, Consent, grant_code};
use crate::error::ApiError;

/// What an authorization request consists of (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
const PARAMETERS: [&str; 7] = [
    "client_id",
    "response_type",
    "redirect_uri",
    "state",
    "scope",
    "code_challenge",
    "code_challenge_method",
];

#[derive(Template)]
#[template(path = "dashboard/demo_consent.html")]
struct ConsentPage<'a> {
    outside: &'a Outside,
    action: String,
    parameters: Vec<(&'static str, &'a str)>,
    scopes: Vec<&'a str>,
}

/// Asks whether the client may have what it wants.
pub async fn ask_consent(
    State(app): State<SharedApp>,
    outside: Outside,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    check(&app, &form)?;
    outside.show(&ConsentPage {
        action: outside.link(AUTHORIZE_PATH),
        outside: &outside,
        parameters: PARAMETERS.iter().map(|name| (*name, form.value(name))).collect(),
        scopes: form.value("scope").split_whitespace().collect(),
    })
}

/// Sends the browser back with a code, or with a refusal.
pub async fn answer_consent(State(app): State<SharedApp>, request: Request) -> Result<Response, PageError> {
    let (parts, body) = request.into_parts();
    let form = read_own_form(&app, &parts, body).await?;
    let mut back = check(&app, &form)?;
    if form.value("answer") == "allow" {
        let text = |name: &str| form.value(name).to_owned();
        let consent = Consent {
            redirect_uri: text("redirect_uri"),
            code_challenge: text("code_challenge"),
            scope: text("scope"),
        };
        let code = grant_code(&app, consent).map_err(ApiError::from)?;
        back.query_pairs_mut().append_pair("code", &code);
    } else {
        let pairs = [("error", "access_denied"), ("error_description", "You pressed Deny.")];
        back.query_pairs_mut().extend_pairs(pairs);
    }
    back.query_pairs_mut().append_pair("state", form.value("state"));
    Ok(Redirect::to(back.as_str()).into_response())
}

/// Where the browser is sent back to, which must be an address of this server.
fn check(app: &SharedApp, form: &Form) -> Result<Url, PageError> {
    if !app.demo.is_running() {
        return Err(PageError::not_found());
    }
    let refused = |what: &str| PageError::bad_request(format!("The request of the client is wrong: {what}."));
    if form.value("client_id") != CLIENT_ID {
        return Err(refused("the client is not known"));
    }
    let redirect = form.value("redirect_uri");
    let back = Url::parse(redirect).ok().filter(|_| app.demo.knows_callback(redirect));
    let back = back.ok_or_else(|| refused("its redirect_uri is not registered"))?;
    let is_code = form.value("response_type") == "code";
    let has_challenge =
        form.value("code_challenge_method") == "S256" && !form.value("code_challenge").is_empty();
    if !(is_code && has_challenge) {
        return Err(refused("only codes with PKCE (S256) are given"));
    }
    Ok(back)
}
