//! Documents in which providers publish the keys that they sign with, fetched through the guarded client and kept for a while.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use http::{HeaderMap, Method};
use serde_json::Value;
use url::Url;

use super::sorting::at;
use super::{IncomingError, Refusal, jwt};
use crate::app::App;
use crate::caches::TimedCache;
use crate::catalog::KeyDocument;
use crate::egress::OutgoingRequest;

const CAPACITY: usize = 1_000;
const KNOWN_FOR: TimeDelta = TimeDelta::minutes(10);
/// Providers wait for their answer meanwhile.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The documents by address.
pub struct KeyDocuments(TimedCache<String, Arc<Value>>);

impl Default for KeyDocuments {
    fn default() -> Self {
        KeyDocuments(TimedCache::new(CAPACITY, KNOWN_FOR))
    }
}

/// The key set of an issuer. One that lacks the token's key is fetched again, because issuers change their keys; not more often
/// than once a minute, because anybody can send such tokens.
pub async fn key_set(app: &App, url: &str, token: &str) -> Option<Arc<Value>> {
    let (cache, now) = (&app.key_documents.0, app.clock.now());
    let url = Url::parse(url).ok()?;
    let known = cache.get(url.as_str(), now);
    let key_id = jwt::key_id(token);
    let is_enough = |keys: &Arc<Value>| key_id.as_ref().is_none_or(|id| jwt::has_key(keys, id));
    if known.as_ref().is_some_and(is_enough) || cache.get(&asked(&url), now).is_some() {
        return known;
    }
    cache.insert_for(cache.begin(), asked(&url), Arc::default(), now, TimeDelta::minutes(1));
    fetch(app, &url).await
}

/// Under which name it is noted that an address was asked just now.
fn asked(url: &Url) -> String {
    format!("asked {url}")
}

/// The key in the document that a request names.
///
/// # Errors
/// The request names another server than the provider's.
pub async fn named_key(
    app: &App,
    rule: &KeyDocument,
    url: Option<&str>,
) -> Result<Option<String>, IncomingError> {
    let url = url.and_then(|url| Url::parse(url).ok()).ok_or(Refusal::InvalidSignature)?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user || !rule.origins.contains(&url.origin().ascii_serialization()) {
        return Err(Refusal::InvalidSignature.into());
    }
    let known = app.key_documents.0.get(url.as_str(), app.clock.now());
    let document = match known {
        Some(document) => Some(document),
        None => fetch(app, &url).await,
    };
    let key = document.as_deref().and_then(|document| at(document, &rule.member)?.as_str());
    Ok(key.filter(|key| !key.is_empty()).map(str::to_owned))
}

async fn fetch(app: &App, url: &Url) -> Option<Arc<Value>> {
    let request = OutgoingRequest {
        method: Method::GET,
        url: url.clone(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        follow: false,
    };
    let mark = app.key_documents.0.begin();
    let answer = match app.egress.webhooks.send_within(request, TIME_LIMIT).await {
        Ok(answer) if answer.status.is_success() => answer,
        Ok(answer) => {
            tracing::warn!(http.status = answer.status.as_u16(), "a provider's keys cannot be fetched");
            return None;
        }
        Err(error) => {
            tracing::warn!(error = %error, "a provider's keys cannot be fetched");
            return None;
        }
    };
    let document: Arc<Value> = Arc::new(serde_json::from_slice(&answer.body).ok()?);
    app.key_documents.0.insert(mark, url.as_str().to_owned(), document.clone(), app.clock.now());
    Some(document)
}
