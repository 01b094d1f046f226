//! Checking who logs in, slowly for those who guess.

use std::net::IpAddr;

use super::{MemberError, normal_email, passwords, two_factor};
use crate::app::App;
use crate::audit::{self, Action, Event, Outcome};
use crate::crypto::{Secret, sha256};
use crate::db::accounts;
use crate::db::members::{self, Member};
use crate::limiter::Bucket;

/// Wrong passwords or codes that an address may send in a minute.
const GUESSES_OF_AN_ADDRESS: u64 = 30;
/// Wrong passwords or codes for one e-mail address in a minute, from anywhere.
const GUESSES_FOR_AN_ACCOUNT: u64 = 10;

/// How an attempt ended.
pub enum Attempt {
    /// It is them.
    Right(Box<Member>),
    /// The password is right; the authenticator's code is still to come.
    NeedsCode(Box<Member>),
    Wrong,
    /// There were too many wrong ones; nothing was compared.
    TooMany,
}

/// Compares e-mail address and password.
pub async fn try_password(
    app: &App,
    email: &str,
    password: &Secret,
    address: Option<IpAddr>,
) -> Result<Attempt, MemberError> {
    let email = normal_email(email);
    if is_exhausted(app, &email, address) {
        return Ok(Attempt::TooMany);
    }
    let member = members::find_by_email(&app.db, &email).await?;
    let hash = member.as_ref().and_then(|member| member.password_hash.as_deref());
    if !passwords::verify(hash, password).await {
        note_wrong(app, &email, address);
        note_failure(app, member.as_ref()).await?;
        return Ok(Attempt::Wrong);
    }
    Ok(match member.map(Box::new) {
        Some(member) if member.totp_confirmed => Attempt::NeedsCode(member),
        Some(member) => Attempt::Right(member),
        None => Attempt::Wrong,
    })
}

/// Compares a password that somebody types who is logged in already and wants to do `action`: their browser may be in other
/// hands.
pub async fn try_own_password(
    app: &App,
    member: &Member,
    password: &Secret,
    address: Option<IpAddr>,
    action: Action,
) -> Result<Attempt, MemberError> {
    if is_exhausted(app, &member.email, address) {
        return Ok(Attempt::TooMany);
    }
    if passwords::verify(member.password_hash.as_deref(), password).await {
        return Ok(Attempt::Right(Box::new(member.clone())));
    }
    note_wrong(app, &member.email, address);
    let event = Event::of_account(member.account_id, action).outcome(Outcome::Failure);
    audit::record(app, &app.db, event.target(super::target(member))).await?;
    Ok(Attempt::Wrong)
}

/// Compares a code of the authenticator, or a recovery code, with what this member has.
pub async fn try_code(
    app: &App,
    member: Member,
    code: &str,
    address: Option<IpAddr>,
) -> Result<Attempt, MemberError> {
    if is_exhausted(app, &member.email, address) {
        return Ok(Attempt::TooMany);
    }
    if two_factor::use_code(app, &member, code).await? {
        let event = Event::of_account(member.account_id, Action::MfaVerified).target(super::target(&member));
        audit::record(app, &app.db, event).await?;
        return Ok(Attempt::Right(Box::new(member)));
    }
    note_wrong(app, &member.email, address);
    note_failure(app, Some(&member)).await?;
    Ok(Attempt::Wrong)
}

/// Says in the audit trail that a login failed: that of a member, or of somebody who is none. What strangers typed is not kept,
/// because it may be a password in the wrong field.
async fn note_failure(app: &App, member: Option<&Member>) -> Result<(), MemberError> {
    let Some(member) = member else { return Ok(note_failed_stranger(app).await?) };
    let event = Event::of_account(member.account_id, Action::Login).outcome(Outcome::Failure);
    audit::record(app, &app.db, event.target(super::target(member))).await?;
    Ok(())
}

/// Says in the audit trail that somebody could not log in who is no member.
pub async fn note_failed_stranger(app: &App) -> sqlx::Result<()> {
    let Some(account) = accounts::find_first(&app.db).await? else { return Ok(()) };
    let event = Event::of_account(account, Action::Login).outcome(Outcome::Failure);
    audit::record(app, &app.db, event).await
}

fn buckets(email: &str, address: Option<IpAddr>) -> impl Iterator<Item = (Bucket, u64)> {
    let of_account = (Bucket::FailedLogin(sha256(email.as_bytes())), GUESSES_FOR_AN_ACCOUNT);
    let of_address = address.map(|address| (Bucket::FailedPassword(address), GUESSES_OF_AN_ADDRESS));
    std::iter::once(of_account).chain(of_address)
}

fn is_exhausted(app: &App, email: &str, address: Option<IpAddr>) -> bool {
    let now = app.clock.now();
    buckets(email, address).any(|(bucket, limit)| app.limiter.is_exhausted(bucket, limit, now).is_some())
}

fn note_wrong(app: &App, email: &str, address: Option<IpAddr>) {
    for (bucket, limit) in buckets(email, address) {
        app.limiter.take_alone(bucket, 1, limit, app.clock.now());
    }
    if let Some(address) = address {
        tracing::warn!(client.address = %address, "wrong credentials for the dashboard");
    }
}
