//! Links that work once: for the first account, for invitations and for new passwords. 32 random bytes in the address, their
//! keyed hash in the database.

use chrono::TimeDelta;
use serde_json::json;
use sqlx::PgConnection;

use super::passwords;
use super::sessions::new_token;
use super::{MemberError, normal_email, taken};
use crate::access::Role;
use crate::app::App;
use crate::audit::{self, Action, Event, Target};
use crate::config::DashboardAccess;
use crate::crypto::Secret;
use crate::db::member_links::{self as rows, Link, LinkKind, NewLink};
use crate::db::members::{self, Member, NewMember};
use crate::db::{AccountId, LinkId, MemberId, accounts, member_sessions};

const INVITATION: TimeDelta = TimeDelta::days(7);
const RESET: TimeDelta = TimeDelta::hours(24);

/// What somebody chooses who makes an account.
pub struct Chosen {
    pub name: String,
    pub password: Secret,
}

/// The address of the page that makes the first administrator, where people have accounts and nobody has one yet. For the
/// person who started the server.
pub async fn make_setup_link(app: &App) -> Result<Option<String>, MemberError> {
    let dashboard = &app.config.dashboard;
    let takes_passwords = dashboard.oidc.as_ref().is_none_or(|oidc| !oidc.is_only);
    if dashboard.access != DashboardAccess::Accounts || !takes_passwords {
        return Ok(None);
    }
    match accounts::find_first(&app.db).await? {
        Some(account) => make_setup_link_of(app, account).await,
        None => Ok(None),
    }
}

/// The same for one account; an earlier link stops working.
pub async fn make_setup_link_of(app: &App, account: AccountId) -> Result<Option<String>, MemberError> {
    if members::exist(&app.db, account).await? {
        return Ok(None);
    }
    let mut transaction = app.db.begin().await?;
    let token = insert(app, &mut transaction, account, LinkKind::Setup, Recipient::default(), None).await?;
    transaction.commit().await?;
    Ok(Some(address(app, "setup", &token)))
}

/// The address of a link's page.
pub fn address(app: &App, page: &str, token: &Secret) -> String {
    format!("{}/{page}/{}", app.config.http.server_url, token.expose())
}

/// The link behind a token, while it works.
pub async fn find(app: &App, kind: LinkKind, token: &str) -> sqlx::Result<Option<Link>> {
    rows::find(&app.db, kind, &app.cipher.lookup_hashes(token), app.clock.now()).await
}

/// Whom a link is for.
#[derive(Default, Clone, Copy)]
struct Recipient<'a> {
    member: Option<MemberId>,
    email: Option<&'a str>,
    role: Option<Role>,
}

async fn insert(
    app: &App,
    db: &mut PgConnection,
    account: AccountId,
    kind: LinkKind,
    recipient: Recipient<'_>,
    lifetime: Option<TimeDelta>,
) -> Result<Secret, MemberError> {
    let token = new_token(app);
    let now = app.clock.now();
    rows::delete_replaced(&mut *db, account, kind, recipient.member, recipient.email).await?;
    let new = NewLink {
        account_id: account,
        kind,
        token_hash: &app.cipher.lookup_hash(token.expose()),
        member_id: recipient.member,
        email: recipient.email,
        role_name: recipient.role.map(Role::as_str),
        now,
        expires_at: lifetime.map(|lifetime| now + lifetime),
    };
    rows::insert(db, new).await?;
    Ok(token)
}

/// Makes the first member, an administrator.
///
/// # Errors
/// There is a member already, the link was used, or the password is too easy.
pub async fn set_up(app: &App, link: &Link, email: &str, chosen: &Chosen) -> Result<Member, MemberError> {
    let email = normal_email(email);
    passwords::check(chosen.password.expose(), &email)?;
    let hash = passwords::hash(app, &chosen.password).await?;
    let mut transaction = app.db.begin().await?;
    accounts::lock(&mut *transaction, link.account_id).await?;
    if members::exist(&mut *transaction, link.account_id).await? {
        return Err(MemberError::UsedLink);
    }
    let new = Joining { email: &email, name: &chosen.name, role: Role::Administrator, hash: &hash };
    let member = join(app, &mut transaction, link, new, Action::Signup).await?;
    transaction.commit().await?;
    Ok(member)
}

struct Joining<'a> {
    email: &'a str,
    name: &'a str,
    role: Role,
    hash: &'a str,
}

/// Uses up the link and makes the member.
async fn join(
    app: &App,
    db: &mut PgConnection,
    link: &Link,
    new: Joining<'_>,
    action: Action,
) -> Result<Member, MemberError> {
    if !rows::delete(&mut *db, link.account_id, link.id).await? {
        return Err(MemberError::UsedLink);
    }
    let row = NewMember {
        account_id: link.account_id,
        email: new.email,
        name: new.name,
        role: new.role,
        password_hash: Some(new.hash),
        identity: None,
        now: app.clock.now(),
    };
    let id = members::insert(&mut *db, row).await.map_err(taken)?;
    let member = members::find(&mut *db, id).await?.ok_or(MemberError::Unknown)?;
    audit::note_actor(|| audit::Actor::user(id.0, &member.email));
    let event = Event::of_account(link.account_id, action).target(super::target(&member));
    audit::record(app, db, event.made(&json!({ "email": new.email, "role": new.role.as_str() }))).await?;
    Ok(member)
}

/// Invites somebody; an earlier invitation to the same address stops working.
///
/// # Errors
/// Somebody with this address is a member.
pub async fn invite(app: &App, account: AccountId, email: &str, role: Role) -> Result<Secret, MemberError> {
    let email = normal_email(email);
    let mut transaction = app.db.begin().await?;
    if members::find_by_email(&mut *transaction, &email).await?.is_some() {
        return Err(MemberError::EmailTaken);
    }
    let recipient = Recipient { email: Some(&email), role: Some(role), ..Recipient::default() };
    let token =
        insert(app, &mut transaction, account, LinkKind::Invitation, recipient, Some(INVITATION)).await?;
    let event =
        Event::of_account(account, Action::MemberInvited).target(Target::new("member", &email, &email));
    audit::record(app, &mut *transaction, event.made(&json!({ "role": role.as_str() }))).await?;
    transaction.commit().await?;
    Ok(token)
}

/// Takes an invitation back; `false` when it is gone already.
pub async fn revoke_invitation(app: &App, account: AccountId, id: LinkId) -> Result<bool, MemberError> {
    let mut transaction = app.db.begin().await?;
    let invitations = rows::list_invitations(&mut *transaction, account, app.clock.now()).await?;
    let Some(invitation) = invitations.into_iter().find(|invitation| invitation.id == id) else {
        return Ok(false);
    };
    rows::delete(&mut *transaction, account, id).await?;
    let email = invitation.email.unwrap_or_default();
    let event = Event::of_account(account, Action::MemberInviteRevoked);
    audit::record(app, &mut *transaction, event.target(Target::new("member", &email, &email))).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Makes the member who was invited.
///
/// # Errors
/// The link was used, the address has an account meanwhile, or the password is too easy.
pub async fn accept(app: &App, link: &Link, chosen: &Chosen) -> Result<Member, MemberError> {
    let email = link.email.as_deref().ok_or(MemberError::UsedLink)?;
    let role = link.role_name.as_deref().and_then(Role::find).ok_or(MemberError::UsedLink)?;
    passwords::check(chosen.password.expose(), email)?;
    let hash = passwords::hash(app, &chosen.password).await?;
    let mut transaction = app.db.begin().await?;
    let new = Joining { email, name: &chosen.name, role, hash: &hash };
    let member = join(app, &mut transaction, link, new, Action::MemberInviteAccepted).await?;
    transaction.commit().await?;
    Ok(member)
}

/// Makes a link with which a member sets a new password; an earlier one stops working.
pub async fn make_reset_link(app: &App, member: &Member) -> Result<Secret, MemberError> {
    let recipient = Recipient { member: Some(member.id), ..Recipient::default() };
    let mut transaction = app.db.begin().await?;
    let account = member.account_id;
    let token = insert(app, &mut transaction, account, LinkKind::Reset, recipient, Some(RESET)).await?;
    let event = Event::of_account(account, Action::UserUpdated).target(super::target(member));
    audit::record(app, &mut *transaction, event.with("newPasswordLink", "made")).await?;
    transaction.commit().await?;
    Ok(token)
}

/// Sets a new password. Every session of the member ends.
///
/// # Errors
/// The link was used, or the password is too easy.
pub async fn reset_password(app: &App, link: &Link, password: &Secret) -> Result<(), MemberError> {
    let id = link.member_id.ok_or(MemberError::UsedLink)?;
    let member = members::find(&app.db, id).await?.ok_or(MemberError::UsedLink)?;
    passwords::check(password.expose(), &member.email)?;
    let hash = passwords::hash(app, password).await?;
    let mut transaction = app.db.begin().await?;
    if !rows::delete(&mut *transaction, link.account_id, link.id).await? {
        return Err(MemberError::UsedLink);
    }
    members::update_password(&mut *transaction, id, &hash).await?;
    member_sessions::delete_others(&mut *transaction, id, None).await?;
    audit::note_actor(|| audit::Actor::user(id.0, &member.email));
    let event = Event::of_account(link.account_id, Action::PasswordReset).target(super::target(&member));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(())
}
