//! Whether credentials need a refresh now (`spec` auth-flows, section 8.3). Pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::Force;
use crate::auth::Credentials;
use crate::catalog::Provider;
use crate::db::connections::Connection;
use crate::oauth::renews_access_tokens;

const DEFAULT_MARGIN: TimeDelta = TimeDelta::seconds(900);
const TRADE_MARGIN: TimeDelta = TimeDelta::days(10);

/// How long before its end a token counts as expired: the provider's own buffer, else 15 minutes, but never more than
/// a third of the token's lifetime when that is known.
pub fn expiry_margin(provider: Option<&Provider>, lifetime: Option<TimeDelta>) -> TimeDelta {
    let own = provider.and_then(|provider| provider.token_expiration_buffer);
    if let Some(seconds) = own.filter(|seconds| seconds.is_finite() && *seconds >= 0.0) {
        return TimeDelta::milliseconds((seconds * 1000.0) as i64);
    }
    match lifetime {
        Some(lifetime) if lifetime > TimeDelta::zero() => DEFAULT_MARGIN.min(lifetime / 3),
        _ => DEFAULT_MARGIN,
    }
}

/// Whether the credentials end within the margin.
pub fn needs_refresh(
    provider: Option<&Provider>,
    connection: &Connection,
    credentials: &Credentials,
    force: Force,
    now: DateTime<Utc>,
) -> bool {
    let is_traded = !credentials.is_refreshable() && is_traded(provider, credentials);
    if !credentials.is_refreshable() && !is_traded {
        return false;
    }
    if force == Force::Yes {
        return true;
    }
    let Some(expires_at) = credentials.expires_at() else { return false };
    // The last refresh, or else the authorization, is when the token was made.
    let lifetime = connection.last_refresh_success.map(|made_at| expires_at - made_at);
    let margin = if is_traded { trade_margin(lifetime) } else { expiry_margin(provider, lifetime) };
    expires_at - now < margin
}

/// Whether the provider gives a new token for the old one, as long as that is good.
fn is_traded(provider: Option<&Provider>, credentials: &Credentials) -> bool {
    matches!(credentials, Credentials::OAuth2 { .. }) && provider.is_some_and(renews_access_tokens)
}

/// Such tokens live for weeks and cannot be traded once they have ended, so there must be time for a second try.
fn trade_margin(lifetime: Option<TimeDelta>) -> TimeDelta {
    let known = lifetime.filter(|lifetime| *lifetime > TimeDelta::zero());
    known.map_or(TRADE_MARGIN, |lifetime| TRADE_MARGIN.min(lifetime / 3))
}

/// Whether the credentials have ended, margin aside.
pub fn is_expired(credentials: &Credentials, now: DateTime<Utc>) -> bool {
    credentials.expires_at().is_some_and(|expires_at| expires_at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_a_third_of_short_lifetimes() {
        for (lifetime, expected) in [(None, 900), (Some(3600), 900), (Some(300), 100), (Some(-5), 900)] {
            let margin = expiry_margin(None, lifetime.map(TimeDelta::seconds));
            assert_eq!(margin, TimeDelta::seconds(expected), "{lifetime:?}");
        }
    }
}
