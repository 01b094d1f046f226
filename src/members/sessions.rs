//! Sessions: a random token in a cookie, its keyed hash in the database. A session ends after 30 days without use.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;

use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::crypto::Secret;
use crate::db::member_sessions::{self as rows, NewSession, Session};
use crate::db::members::{self, Member};

/// How long a session lasts without use.
pub const LIFETIME: TimeDelta = TimeDelta::days(30);
/// Uses closer together than this are not noted.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(10);
const MAX_USER_AGENT: usize = 300;

/// A token of 32 random bytes, as text that fits cookies and addresses.
pub(super) fn new_token(app: &App) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(app.rng.bytes::<32>()))
}

/// Logs a member in. The token is for the browser alone.
pub async fn begin(
    app: &App,
    member: &Member,
    user_agent: Option<&str>,
    address: Option<IpAddr>,
) -> sqlx::Result<Secret> {
    let token = new_token(app);
    let now = app.clock.now();
    let user_agent: Option<String> = user_agent.map(|text| text.chars().take(MAX_USER_AGENT).collect());
    let address = address.map(|address| address.to_string());
    let new = NewSession {
        member_id: member.id,
        token_hash: &app.cipher.lookup_hash(token.expose()),
        user_agent: user_agent.as_deref(),
        address: address.as_deref(),
        now,
        expires_at: now + LIFETIME,
    };
    let mut transaction = app.db.begin().await?;
    rows::insert(&mut *transaction, new).await?;
    members::touch_login(&mut *transaction, member.id, now).await?;
    audit::note_actor(|| audit::Actor::user(member.id.0, &member.email));
    let event = Event::of_account(member.account_id, Action::Login).target(super::target(member));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(token)
}

/// Somebody who is logged in.
pub struct LoggedIn {
    pub member: Member,
    pub session: Session,
    /// The cookie should live longer, because the session does.
    pub is_renewed: bool,
}

/// The member behind a session's token; `None` when the session is over.
pub async fn find(app: &App, token: &str) -> sqlx::Result<Option<LoggedIn>> {
    let now = app.clock.now();
    let Some(session) = rows::find(&app.db, &app.cipher.lookup_hashes(token), now).await? else {
        return Ok(None);
    };
    let Some(member) = members::find(&app.db, session.member_id).await? else { return Ok(None) };
    let is_renewed = now - session.last_seen_at >= NOTED_EVERY;
    if is_renewed {
        rows::touch(&app.db, session.id, now, now + LIFETIME).await?;
    }
    Ok(Some(LoggedIn { member, session, is_renewed }))
}

/// Logs a member out of one browser.
pub async fn end(app: &App, logged_in: &LoggedIn) -> sqlx::Result<()> {
    let mut transaction = app.db.begin().await?;
    rows::delete(&mut *transaction, logged_in.member.id, logged_in.session.id).await?;
    let event = Event::of_account(logged_in.member.account_id, Action::Logout);
    audit::record(app, &mut *transaction, event.target(super::target(&logged_in.member))).await?;
    transaction.commit().await
}
