//! Who looks at a page.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::cookies;
use super::error::PageError;
use super::page::Page;
use crate::access::{Action, Role, Zone};
use crate::api::client_address::is_https;
use crate::app::{App, SharedApp};
use crate::crypto::hmac_sha256;
use crate::db::AccountId;
use crate::db::environments::Environment;
use crate::members::sessions::LoggedIn;

/// Somebody who was let in.
#[derive(Clone)]
pub struct Viewer {
    pub account_id: AccountId,
    pub role: Role,
    /// What pages call them.
    pub name: String,
    /// What every form of theirs must bring, so that no other site can send one.
    pub csrf: String,
    /// Nobody was asked who they are.
    pub is_unknown: bool,
    /// The member, where people have accounts.
    pub member: Option<Arc<LoggedIn>>,
}

impl Viewer {
    /// Somebody with the one name and password, or anybody at all where that was asked for.
    pub fn without_account(app: &App, account_id: AccountId, name: Option<&str>) -> Self {
        let purpose = format!("dashboard form of {}", name.unwrap_or_default());
        Viewer {
            account_id,
            role: Role::Administrator,
            name: name.unwrap_or("Anybody").to_owned(),
            csrf: hex::encode(app.cipher.lookup_hash(&purpose)),
            is_unknown: name.is_none(),
            member: None,
        }
    }

    /// A member, and the token of their session.
    pub fn of_member(logged_in: LoggedIn, token: &str) -> Self {
        Viewer {
            account_id: logged_in.member.account_id,
            role: logged_in.member.role(),
            name: logged_in.member.name.clone(),
            csrf: hex::encode(hmac_sha256(token.as_bytes(), b"dashboard form")),
            is_unknown: false,
            member: Some(Arc::new(logged_in)),
        }
    }

    /// Whether they may do `action` in an environment.
    pub fn may_in(&self, action: Action, environment: &Environment) -> bool {
        self.role.may(action, Zone::of(environment.is_production))
    }

    /// Whether they may do what concerns no environment.
    pub fn may(&self, action: Action) -> bool {
        self.role.may(action, Zone::Production)
    }
}

/// Whether the browser came over https, as far as the proxies in front tell.
pub fn is_secure(app: &App, parts: &Parts) -> bool {
    is_https(&parts.headers, app.config.http.trusted_proxy_hops)
        || app.config.http.server_url.starts_with("https://")
}

/// The theme that the visitor chose; none follows the system.
pub fn chosen_theme(headers: &HeaderMap) -> Option<&'static str> {
    let chosen = cookies::find(headers, cookies::THEME)?;
    ["light", "dark"].into_iter().find(|theme| *theme == chosen)
}

/// The member who looks at the page; pages that need one do not exist for anybody else.
pub struct MemberViewer(pub Arc<LoggedIn>);

impl FromRequestParts<SharedApp> for MemberViewer {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, PageError> {
        let page = Page::from_request_parts(parts, app).await?;
        page.viewer.member.map(MemberViewer).ok_or_else(PageError::not_found)
    }
}
