//! Handshakes in which a provider says how it is going to sign: the secret comes with the request, is kept for the address that
//! the provider sends to, and goes back in the answer (Asana's `X-Hook-Secret`).
//!
//! Whoever plants a secret can sign what he likes. So the address that is given to such a provider carries a token, the
//! integration's webhook secret, unless the integration accepts what nobody proved.

use http::{HeaderMap, HeaderName, HeaderValue};
use subtle::ConstantTimeEq;

use super::proof::value;
use super::scene::Scene;
use super::{IncomingError, Reception, Refusal};
use crate::catalog::Reply;
use crate::crypto::{Secret, sha256};
use crate::db::webhook_agreed_secrets;
use crate::error::ApiError;

/// Longer texts are no secrets.
const LONGEST_SECRET: usize = 1024;

/// Refuses a handshake without the token that its answer asks for.
pub fn check_token(reception: &Reception<'_>, scene: &Scene, reply: &Reply) -> Result<(), Refusal> {
    let Some(token) = &reply.token else { return Ok(()) };
    let context = scene.context(None);
    let given = value(token, &context);
    let expected = scene.webhook_secret();
    match (given, expected) {
        (Some(given), Some(expected)) if bool::from(given.as_bytes().ct_eq(expected.as_bytes())) => Ok(()),
        (Some(_), Some(_)) => Err(Refusal::InvalidSignature),
        _ if reception.integration.row.accept_unverified_webhooks => Ok(()),
        (_, None) => Err(Refusal::InvalidSecret),
        (None, Some(_)) => Err(Refusal::MissingToken),
    }
}

/// Keeps the secret of a handshake, if it has one.
pub async fn agree(reception: &Reception<'_>, scene: &Scene, reply: &Reply) -> Result<(), IncomingError> {
    let Some(secret) = reply.agrees.as_ref().and_then(|agrees| value(agrees, &scene.context(None))) else {
        return Ok(());
    };
    if secret.len() > LONGEST_SECRET {
        return Err(Refusal::InvalidPayload.into());
    }
    let app = reception.app;
    let sealed = app.cipher.seal_text(&secret).map_err(ApiError::from)?;
    let mut transaction = app.db.begin().await?;
    let (integration, address) = (reception.integration.row.id, address_hash(reception));
    webhook_agreed_secrets::insert(&mut transaction, integration, &address, &sealed, app.clock.now()).await?;
    transaction.commit().await?;
    reception.operation.info("The provider said with which secret it signs");
    Ok(())
}

/// The secrets with which the provider may have signed what it sent to this address.
pub async fn agreed_secrets(reception: &Reception<'_>) -> Result<Vec<Secret>, IncomingError> {
    let app = reception.app;
    let integration = reception.integration.row.id;
    let sealed = webhook_agreed_secrets::list(&app.db, integration, &address_hash(reception)).await?;
    let opened = sealed.iter().map(|sealed| app.cipher.open_text(sealed));
    Ok(opened.collect::<Result<_, _>>().map_err(ApiError::from)?)
}

fn address_hash(reception: &Reception<'_>) -> Vec<u8> {
    sha256(reception.arrival.path_and_query.as_bytes()).to_vec()
}

/// The headers of a handshake's answer.
pub fn answer_headers(scene: &Scene, reply: &Reply) -> Result<HeaderMap, Refusal> {
    let context = scene.context(None);
    let header = |(name, template): (&String, &_)| {
        let text = value(template, &context)?;
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(&text).ok()?))
    };
    let headers = reply.headers.iter().map(header);
    headers.collect::<Option<HeaderMap>>().ok_or(Refusal::InvalidPayload)
}
