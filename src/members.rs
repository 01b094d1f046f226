//! Members: the people who may use the dashboard. Making, changing and removing them; the submodules know passwords, links
//! that work once, sessions, authenticators, OpenID providers and mails. Called by the dashboard and at a start.

pub mod links;
pub mod login;
pub mod mail;
pub mod oidc;
pub mod passwords;
pub mod sessions;
pub mod two_factor;

use serde_json::json;

use crate::access::Role;
use crate::app::App;
use crate::audit::{self, Action, Event, Target};
use crate::crypto::{CryptoError, Secret};
use crate::db::members::{self as rows, Member};
use crate::db::{AccountId, MemberId, SessionId, accounts, member_sessions};
use crate::error::{ApiError, is_constraint};

const EMAIL_TAKEN: &str = "members_email_key";

/// Why a member was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("Somebody has an account with this e-mail address already.")]
    EmailTaken,
    #[error("There must be at least one administrator. Make somebody else one first.")]
    LastAdministrator,
    #[error("There is no such member any more.")]
    Unknown,
    #[error("This link was used already, or it is too old. Ask for a new one.")]
    UsedLink,
    #[error("The code is wrong, or it was used before.")]
    WrongCode,
    #[error(transparent)]
    BadPassword(#[from] passwords::Problem),
    #[error("The password could not be hashed.")]
    NotHashed,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl From<MemberError> for ApiError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::EmailTaken | MemberError::LastAdministrator => ApiError::conflict(error.to_string()),
            MemberError::Unknown | MemberError::UsedLink => ApiError::not_found(error.to_string()),
            MemberError::WrongCode | MemberError::BadPassword(_) => {
                ApiError::bad_request("invalid_body", error.to_string())
            }
            MemberError::NotHashed => ApiError::unexpected(error),
            MemberError::Database(error) => error.into(),
            MemberError::Crypto(error) => error.into(),
        }
    }
}

/// An e-mail address as it is stored and compared.
pub fn normal_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// How events name a member.
pub fn target(member: &Member) -> Target {
    Target::new("member", member.id.0, &member.email)
}

/// The error of storing a member.
pub(crate) fn taken(error: sqlx::Error) -> MemberError {
    if is_constraint(&error, EMAIL_TAKEN) { MemberError::EmailTaken } else { error.into() }
}

/// Gives a member another role.
///
/// # Errors
/// Nobody would be administrator any more.
pub async fn change_role(app: &App, account: AccountId, id: MemberId, role: Role) -> Result<(), MemberError> {
    let mut transaction = app.db.begin().await?;
    accounts::lock(&mut *transaction, account).await?;
    let members = rows::list(&mut *transaction, account).await?;
    let member = members.iter().find(|member| member.id == id).ok_or(MemberError::Unknown)?;
    if role != Role::Administrator {
        keep_an_administrator(&members, id)?;
    }
    rows::update_role(&mut *transaction, id, role).await?;
    let event = Event::of_account(account, Action::MemberRoleChanged).target(target(member));
    let event = event.changed(&json!({ "role": member.role_name }), &json!({ "role": role.as_str() }));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}

/// Removes a member; their sessions end at once.
///
/// # Errors
/// Nobody would be administrator any more.
pub async fn remove(app: &App, account: AccountId, id: MemberId) -> Result<(), MemberError> {
    let mut transaction = app.db.begin().await?;
    accounts::lock(&mut *transaction, account).await?;
    let members = rows::list(&mut *transaction, account).await?;
    let member = members.iter().find(|member| member.id == id).ok_or(MemberError::Unknown)?;
    keep_an_administrator(&members, id)?;
    rows::delete(&mut *transaction, id).await?;
    let event = Event::of_account(account, Action::MemberRemoved).target(target(member));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}

/// Somebody other than `id` must be administrator.
fn keep_an_administrator(members: &[Member], id: MemberId) -> Result<(), MemberError> {
    let others = members.iter().filter(|member| member.id != id);
    let is_kept = others.into_iter().any(|member| member.role() == Role::Administrator);
    if is_kept { Ok(()) } else { Err(MemberError::LastAdministrator) }
}

/// Changes what a member is called.
pub async fn rename(app: &App, member: &Member, name: &str) -> Result<(), MemberError> {
    let mut transaction = app.db.begin().await?;
    rows::update_name(&mut *transaction, member.id, name).await?;
    let event = Event::of_account(member.account_id, Action::UserUpdated).target(target(member));
    let event = event.changed(&json!({ "name": member.name }), &json!({ "name": name }));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}

/// Changes a member's password, and ends every session but the one in which it is changed.
///
/// # Errors
/// The password is too easy.
pub async fn change_password(
    app: &App,
    member: &Member,
    new: &Secret,
    session: Option<SessionId>,
) -> Result<(), MemberError> {
    passwords::check(new.expose(), &member.email)?;
    let hash = passwords::hash(app, new).await?;
    let mut transaction = app.db.begin().await?;
    rows::update_password(&mut *transaction, member.id, &hash).await?;
    member_sessions::delete_others(&mut *transaction, member.id, session).await?;
    let event = Event::of_account(member.account_id, Action::PasswordChanged).target(target(member));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}
