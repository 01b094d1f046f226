//! The team: who may use the dashboard and in which role, and who is invited.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use super::error::PageError;
use super::flash::Flash;
use super::form::Form;
use super::login::takes_passwords;
use super::page::Page;
use super::time::Moment;
use crate::access::Role;
use crate::api::input::formats::EMAIL;
use crate::app::{App, SharedApp};
use crate::db::members::{self as rows, Member};
use crate::db::{LinkId, MemberId, member_links};
use crate::error::ApiError;
use crate::members::mail::{self, Mail};
use crate::members::{self, links};

const TEAM: &str = "/settings/team";

#[derive(Template)]
#[template(path = "dashboard/team.html")]
struct TeamPage<'a> {
    page: &'a Page,
    members: Vec<MemberRow>,
    invitations: Vec<InvitationRow>,
    roles: [Role; 3],
    sends_mails: bool,
    /// Whether there is anything to invite to: members who log in elsewhere simply come.
    takes_passwords: bool,
    form: Form,
}

struct MemberRow {
    id: i64,
    name: String,
    email: String,
    role: Role,
    has_second_factor: bool,
    last_login: Option<Moment>,
    is_viewer: bool,
}

struct InvitationRow {
    id: i64,
    email: String,
    role: Option<Role>,
    ends: Option<Moment>,
}

impl<'a> TeamPage<'a> {
    async fn load(app: &App, page: &'a Page, form: Form) -> Result<Self, PageError> {
        let account = page.viewer.account_id;
        let members = rows::list(&app.db, account).await?;
        let invitations = member_links::list_invitations(&app.db, account, page.now).await?;
        Ok(TeamPage {
            page,
            members: members.into_iter().map(|member| row(page, member)).collect(),
            invitations: invitations
                .into_iter()
                .map(|link| InvitationRow {
                    id: link.id.0,
                    role: link.role_name.as_deref().and_then(Role::find),
                    email: link.email.unwrap_or_default(),
                    ends: link.expires_at.map(|time| page.moment(time)),
                })
                .collect(),
            roles: Role::ALL,
            sends_mails: mail::is_possible(app),
            takes_passwords: takes_passwords(app),
            form,
        })
    }
}

fn row(page: &Page, member: Member) -> MemberRow {
    MemberRow {
        id: member.id.0,
        role: member.role(),
        has_second_factor: member.totp_confirmed,
        last_login: member.last_login_at.map(|time| page.moment(time)),
        is_viewer: page.viewer.member.as_ref().is_some_and(|viewer| viewer.member.id == member.id),
        name: member.name,
        email: member.email,
    }
}

/// Lists members and invitations.
pub async fn show_team(State(app): State<SharedApp>, page: Page) -> Result<Response, PageError> {
    let form = Form::filled([("role", app.config.dashboard.default_role.as_str())]);
    page.show(&TeamPage::load(&app, &page, form).await?)
}

/// Invites somebody, by mail or with a link to hand over.
pub async fn invite(State(app): State<SharedApp>, page: Page, mut form: Form) -> Result<Response, PageError> {
    let email = form.checked_text("email", &EMAIL);
    let role = Role::find(form.value("role"));
    if role.is_none() {
        form.problem("role", "Choose a role.");
    }
    if let (false, Some(role)) = (form.has_problems(), role) {
        match links::invite(&app, page.viewer.account_id, &email, role).await.map_err(ApiError::from) {
            Ok(token) => {
                let link = links::address(&app, "invitation", &token);
                let message = hand_over(&app, Mail::invitation(&email, &page.viewer.name, &link), link);
                return Ok(page.redirect_with(TEAM, &message));
            }
            Err(error) if error.status().is_server_error() => return Err(error.into()),
            Err(error) => form.problem("email", error.message()),
        }
    }
    page.show_again(&TeamPage::load(&app, &page, form).await?)
}

/// Sends the mail, or shows its link to the administrator where no mail can be sent.
fn hand_over(app: &SharedApp, mail: Mail, link: String) -> Flash {
    if mail::is_possible(app) {
        let message = Flash::done(format!("A mail to {} is on its way.", mail.to));
        mail::send_later(app, mail);
        return message;
    }
    let text = format!("Hand this link to {}. It works once, and is not shown again.", mail.to);
    Flash::done(text).with_secret(link)
}

/// Takes an invitation back.
pub async fn revoke_invitation(
    State(app): State<SharedApp>,
    page: Page,
    Path(id): Path<i64>,
) -> Result<Response, PageError> {
    let revoked = links::revoke_invitation(&app, page.viewer.account_id, LinkId(id)).await;
    let message = match revoked.map_err(ApiError::from)? {
        true => Flash::done("Invitation taken back."),
        false => Flash::refused("There is no such invitation any more."),
    };
    Ok(page.redirect_with(TEAM, &message))
}

/// Gives a member another role.
pub async fn change_role(
    State(app): State<SharedApp>,
    page: Page,
    Path(id): Path<i64>,
    form: Form,
) -> Result<Response, PageError> {
    let Some(role) = Role::find(form.value("role")) else {
        return Ok(page.redirect_with(TEAM, &Flash::refused("Choose a role.")));
    };
    match members::change_role(&app, page.viewer.account_id, MemberId(id), role).await {
        Ok(()) => Ok(page.redirect_with(TEAM, &Flash::done("Role changed."))),
        Err(error) => page.redirect_refused(TEAM, error.into()),
    }
}

/// Removes a member.
pub async fn remove_member(
    State(app): State<SharedApp>,
    page: Page,
    Path(id): Path<i64>,
) -> Result<Response, PageError> {
    match members::remove(&app, page.viewer.account_id, MemberId(id)).await {
        Ok(()) => Ok(page.redirect_with(TEAM, &Flash::done("Member removed."))),
        Err(error) => page.redirect_refused(TEAM, error.into()),
    }
}

/// Makes a link with which a member sets a new password.
pub async fn make_reset_link(
    State(app): State<SharedApp>,
    page: Page,
    Path(id): Path<i64>,
) -> Result<Response, PageError> {
    let found = rows::find(&app.db, MemberId(id)).await?;
    let member = found.filter(|member| member.account_id == page.viewer.account_id);
    let member = member.ok_or_else(PageError::not_found)?;
    let token = links::make_reset_link(&app, &member).await.map_err(ApiError::from)?;
    let link = links::address(&app, "reset", &token);
    let message = hand_over(&app, Mail::reset(&member.email, &link), link);
    Ok(page.redirect_with(TEAM, &message))
}
