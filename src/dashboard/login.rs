//! Logging in, with an authenticator's code where one is asked for; asking for a new password; logging out.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::cookies;
use super::error::PageError;
use super::flash::Flash;
use super::form::Form;
use super::outside::{Outside, note_member, safe_next};
use super::page::Page;
use super::viewer::MemberViewer;
use crate::app::{App, SharedApp};
use crate::crypto::Secret;
use crate::db::members::{self, Member};
use crate::db::{MemberId, accounts};
use crate::error::ApiError;
use crate::members::login::{Attempt, try_code, try_password};
use crate::members::mail::{self, Mail};
use crate::members::{links, normal_email, sessions};

/// What a browser holds between the password and the code.
const HALF: &str = "hitchpost_login";
const HALF_LASTS: TimeDelta = TimeDelta::minutes(10);
/// What somebody reads who guesses.
pub const TOO_MANY: &str = "There were too many attempts. Wait a minute, then try again.";

#[derive(Template)]
#[template(path = "dashboard/login.html")]
struct LoginPage<'a> {
    outside: &'a Outside,
    form: Form,
    /// Nobody has an account yet.
    is_new: bool,
    /// The way to the OpenID provider.
    single_sign_on: Option<String>,
    takes_passwords: bool,
}

impl<'a> LoginPage<'a> {
    fn new(app: &App, outside: &'a Outside, form: Form, is_new: bool) -> Self {
        let next =
            form_urlencoded::Serializer::new(String::new()).append_pair("next", form.value("next")).finish();
        // A link: browsers let no form lead to another site, not even by a redirect.
        let single_sign_on =
            app.config.dashboard.oidc.is_some().then(|| outside.link(&format!("/login/oidc?{next}")));
        LoginPage { outside, form, is_new, single_sign_on, takes_passwords: takes_passwords(app) }
    }
}

/// Whether anybody logs in with a password.
pub fn takes_passwords(app: &App) -> bool {
    app.config.dashboard.oidc.as_ref().is_none_or(|oidc| !oidc.is_only)
}

#[derive(Deserialize)]
pub struct LoginQuery {
    #[serde(default)]
    pub next: String,
}

/// The page on which members log in.
pub async fn show_login(
    State(app): State<SharedApp>,
    outside: Outside,
    Query(query): Query<LoginQuery>,
) -> Result<Response, PageError> {
    let form = Form::filled([("next", safe_next(&query.next))]);
    let is_new = is_new(&app).await?;
    outside.show(&LoginPage::new(&app, &outside, form, is_new))
}

async fn is_new(app: &App) -> Result<bool, PageError> {
    match accounts::find_first(&app.db).await? {
        Some(account) => Ok(!members::exist(&app.db, account).await?),
        None => Ok(true),
    }
}

/// Logs a member in, or asks for the code of their authenticator.
pub async fn log_in(
    State(app): State<SharedApp>,
    outside: Outside,
    mut form: Form,
) -> Result<Response, PageError> {
    let next = safe_next(form.value("next")).to_owned();
    let password = Secret::new(form.value("password"));
    let attempt = try_password(&app, form.text("email"), &password, outside.address()).await;
    match attempt.map_err(ApiError::from)? {
        Attempt::Right(member) => return outside.let_in(&app, &member, &next).await,
        Attempt::NeedsCode(member) => return Ok(ask_for_code(&app, &outside, &member, next)),
        Attempt::Wrong => form.problem("email", "The e-mail address or the password is wrong."),
        Attempt::TooMany => form.problem("email", TOO_MANY),
    }
    outside.show_again(&LoginPage::new(&app, &outside, form, false))
}

/// Who has proved their password, until when, and where they were going.
#[derive(Serialize, Deserialize)]
struct Half {
    member: MemberId,
    until: i64,
    next: String,
}

impl Half {
    fn find(app: &App, headers: &HeaderMap) -> Option<Self> {
        let sealed = URL_SAFE_NO_PAD.decode(cookies::find(headers, HALF)?).ok()?;
        let half: Half = serde_json::from_slice(&app.cipher.open(&sealed).ok()?).ok()?;
        (half.until > app.clock.now().timestamp()).then_some(half)
    }
}

fn ask_for_code(app: &App, outside: &Outside, member: &Member, next: String) -> Response {
    let half = Half { member: member.id, until: (app.clock.now() + HALF_LASTS).timestamp(), next };
    let sealed = serde_json::to_vec(&half).ok().and_then(|text| app.cipher.seal(&text).ok());
    let mut response = outside.redirect("/login/code");
    let value = sealed.map(|sealed| URL_SAFE_NO_PAD.encode(sealed)).unwrap_or_default();
    outside.set_cookie(response.headers_mut(), HALF, &value, HALF_LASTS.num_seconds());
    response
}

#[derive(Template)]
#[template(path = "dashboard/login_code.html")]
struct CodePage<'a> {
    outside: &'a Outside,
    form: Form,
}

/// The page on which members type the code of their authenticator.
pub async fn show_code(
    State(app): State<SharedApp>,
    outside: Outside,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    match Half::find(&app, &headers) {
        Some(_) => outside.show(&CodePage { outside: &outside, form: Form::default() }),
        None => Ok(outside.redirect("/login")),
    }
}

/// Logs a member in whose password was right.
pub async fn check_code(
    State(app): State<SharedApp>,
    outside: Outside,
    headers: HeaderMap,
    mut form: Form,
) -> Result<Response, PageError> {
    let Some(half) = Half::find(&app, &headers) else { return Ok(outside.redirect("/login")) };
    let Some(member) = members::find(&app.db, half.member).await? else {
        return Ok(outside.redirect("/login"));
    };
    let attempt = try_code(&app, member, form.text("code"), outside.address()).await;
    match attempt.map_err(ApiError::from)? {
        Attempt::Right(member) => {
            let mut response = outside.let_in(&app, &member, safe_next(&half.next)).await?;
            outside.set_cookie(response.headers_mut(), HALF, "", 0);
            return Ok(response);
        }
        Attempt::TooMany => form.problem("code", TOO_MANY),
        Attempt::Wrong | Attempt::NeedsCode(_) => {
            form.problem("code", "The code is wrong, or it was used before. Wait for the next one.");
        }
    }
    outside.show_again(&CodePage { outside: &outside, form })
}

#[derive(Template)]
#[template(path = "dashboard/forgotten.html")]
struct ForgottenPage<'a> {
    outside: &'a Outside,
    form: Form,
    sends_mails: bool,
}

/// The page for members who forgot their password.
pub async fn show_forgotten(State(app): State<SharedApp>, outside: Outside) -> Result<Response, PageError> {
    let sends_mails = mail::is_possible(&app);
    outside.show(&ForgottenPage { outside: &outside, form: Form::default(), sends_mails })
}

/// Sends the link for a new password. The answer does not tell who has an account.
pub async fn send_reset_link(
    State(app): State<SharedApp>,
    outside: Outside,
    form: Form,
) -> Result<Response, PageError> {
    if mail::is_possible(&app) {
        let email = normal_email(form.text("email"));
        if let Some(member) = members::find_by_email(&app.db, &email).await? {
            let token = links::make_reset_link(&app, &member).await.map_err(ApiError::from)?;
            mail::send_later(&app, Mail::reset(&member.email, &links::address(&app, "reset", &token)));
        }
    }
    let message = Flash::done("If somebody has an account with this address, a mail is on its way.");
    Ok(outside.redirect_with(&app, "/login", &message))
}

/// Logs the member out of this browser.
pub async fn log_out(
    State(app): State<SharedApp>,
    page: Page,
    outside: Outside,
    MemberViewer(logged_in): MemberViewer,
) -> Result<Response, PageError> {
    note_member(&logged_in.member);
    sessions::end(&app, &logged_in).await?;
    let mut response = page.redirect_with("/login", &Flash::done("You are logged out."));
    outside.set_session(response.headers_mut(), None);
    Ok(response)
}
