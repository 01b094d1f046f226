//! The pages behind links that work once: the first account, an invitation, a new password.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::error::PageError;
use super::flash::Flash;
use super::form::Form;
use super::outside::Outside;
use crate::api::input::TextRule;
use crate::api::input::formats::EMAIL;
use crate::app::{App, SharedApp};
use crate::crypto::Secret;
use crate::db::member_links::{Link, LinkKind};
use crate::error::ApiError;
use crate::members::links::{self, Chosen};

/// What a member is called.
pub const NAME: TextRule = TextRule::length(1, 100);

/// What differs between the three pages.
#[derive(Template)]
#[template(path = "dashboard/join.html")]
struct JoinPage<'a> {
    outside: &'a Outside,
    form: Form,
    kind: LinkKind,
    /// Whom an invitation is for.
    email: &'a str,
}

impl<'a> JoinPage<'a> {
    fn new(outside: &'a Outside, kind: LinkKind, link: &'a Link, form: Form) -> Self {
        let email = link.email.as_deref().unwrap_or_default();
        JoinPage { outside, form, kind, email }
    }
}

async fn find(app: &App, kind: LinkKind, token: &str) -> Result<Link, PageError> {
    let found = links::find(app, kind, token).await?;
    found.ok_or_else(|| {
        let message = "It was used already, or it is too old. Ask for a new one.";
        PageError::new(StatusCode::NOT_FOUND, "This link does not work any more", message)
    })
}

async fn show(app: &App, outside: &Outside, kind: LinkKind, token: &str) -> Result<Response, PageError> {
    let link = find(app, kind, token).await?;
    outside.show(&JoinPage::new(outside, kind, &link, Form::default()))
}

/// Notes what the visitor can do something about, beside the field that it is about.
fn note(form: &mut Form, error: impl Into<ApiError>) -> Result<(), PageError> {
    let error = error.into();
    if error.status() != StatusCode::BAD_REQUEST && error.code() != "conflict" {
        return Err(error.into());
    }
    let field = if error.code() == "conflict" { "email" } else { "password" };
    form.problem(field, error.message());
    Ok(())
}

fn chosen(form: &mut Form) -> Chosen {
    let name = form.checked_text("name", &NAME);
    Chosen { name, password: Secret::new(form.value("password")) }
}

/// The page on which the first administrator makes their account.
pub async fn show_setup(
    State(app): State<SharedApp>,
    outside: Outside,
    Path(token): Path<String>,
) -> Result<Response, PageError> {
    show(&app, &outside, LinkKind::Setup, &token).await
}

/// Makes the first administrator and logs them in.
pub async fn set_up(
    State(app): State<SharedApp>,
    outside: Outside,
    Path(token): Path<String>,
    mut form: Form,
) -> Result<Response, PageError> {
    let link = find(&app, LinkKind::Setup, &token).await?;
    let email = form.checked_text("email", &EMAIL);
    let chosen = chosen(&mut form);
    if !form.has_problems() {
        match links::set_up(&app, &link, &email, &chosen).await {
            Ok(member) => return outside.let_in(&app, &member, "/").await,
            Err(error) => note(&mut form, error)?,
        }
    }
    outside.show_again(&JoinPage::new(&outside, LinkKind::Setup, &link, form))
}

/// The page on which somebody who was invited makes their account.
pub async fn show_invitation(
    State(app): State<SharedApp>,
    outside: Outside,
    Path(token): Path<String>,
) -> Result<Response, PageError> {
    show(&app, &outside, LinkKind::Invitation, &token).await
}

/// Makes the account and logs them in.
pub async fn accept_invitation(
    State(app): State<SharedApp>,
    outside: Outside,
    Path(token): Path<String>,
    mut form: Form,
) -> Result<Response, PageError> {
    let link = find(&app, LinkKind::Invitation, &token).await?;
    let chosen = chosen(&mut form);
    if !form.has_problems() {
        match links::accept(&app, &link, &chosen).await {
            Ok(member) => return outside.let_in(&app, &member, "/").await,
            Err(error) => note(&mut form, error)?,
        }
    }
    outside.show_again(&JoinPage::new(&outside, LinkKind::Invitation, &link, form))
}

/// The page on which a member sets a new password.
pub async fn show_reset(
    State(app): State<SharedApp>,
    outside: Outside,
    Path(token): Path<String>,
) -> Result<Response, PageError> {
    show(&app, &outside, LinkKind::Reset, &token).await
}

/// Sets the new password. The member logs in with it, with the second factor if there is one.
pub async fn reset_password(
    State(app): State<SharedApp>,
    outside: Outside,
    Path(token): Path<String>,
    mut form: Form,
) -> Result<Response, PageError> {
    let link = find(&app, LinkKind::Reset, &token).await?;
    match links::reset_password(&app, &link, &Secret::new(form.value("password"))).await {
        Ok(()) => {
            let message = Flash::done("Your new password is set. Log in with it.");
            Ok(outside.redirect_with(&app, "/login", &message))
        }
        Err(error) => {
            note(&mut form, error)?;
            outside.show_again(&JoinPage::new(&outside, LinkKind::Reset, &link, form))
        }
    }
}
