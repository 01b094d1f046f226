//! Plugins that are installed at the provider (Crisp; `spec` auth-flows, section 5.16). The operator's plugin has one user name
//! and password for all who install it; the callback says who did.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use url::Url;

use super::app::app_link;
use super::{Arrival, Departure, Obtained};
use crate::app::App;
use crate::auth::Credentials;
use crate::integrations::OpenIntegration;
use crate::oauth::{Payload, PopupError};
use crate::proxy::{self, VerificationFailure};

/// Where the plugin is installed. Whose it then is tells the callback, not the end user.
///
/// # Errors
/// The integration has no usable app link.
pub fn depart(departure: Departure<'_>, payload: &mut Payload) -> Result<Url, PopupError> {
    let told_by_callback = &departure.provider.redirect_uri_metadata;
    payload.connection_config.retain(|name, _| !told_by_callback.contains(name));
    let url = Url::parse(app_link(departure.sign_in.integration)?).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    let mut url = url.ok_or_else(|| {
        PopupError::new("provider_config_err", "The app link of the integration is no http(s) address.")
    })?;
    url.query_pairs_mut().append_pair("payload", departure.state);
    Ok(url)
}

/// The plugin's own credentials, after the provider accepted them for whoever installed it.
///
/// # Errors
/// The integration has none, or the provider refused them.
pub async fn arrive(app: &App, arrival: Arrival<'_>) -> Result<Obtained, PopupError> {
    let mut failure = None;
    for credentials in candidates(arrival.integration)? {
        match proxy::verify_credentials(app, arrival.integration, &credentials, arrival.config).await {
            Ok(()) => return Ok(Obtained::ready(credentials, Map::new())),
            Err(error) => {
                let is_refusal = matches!(error, VerificationFailure::Rejected { .. });
                failure = Some(error);
                if !is_refusal {
                    break;
                }
            }
        }
    }
    let message = failure.map_or_else(String::new, |failure| failure.to_string());
    Err(PopupError::new("connection_test_failed", message))
}

/// What the stored password may mean: some dashboards keep it as base64 text, others as it is.
fn candidates(integration: &OpenIntegration) -> Result<Vec<Credentials>, PopupError> {
    let text =
        |name: &str| integration.custom.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(username), Some(password)) = (text("username"), text("password")) else {
        let message = "The integration has no username and password of the plugin.";
        return Err(PopupError::new("provider_config_err", message));
    };
    let basic = |password: String| Credentials::Basic { username: username.to_owned(), password };
    Ok(decoded(password).into_iter().chain([password.to_owned()]).map(basic).collect())
}

/// The text inside a base64 text. Few plain passwords happen to be the base64 of something that people could have typed.
fn decoded(text: &str) -> Option<String> {
    let inner = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let is_typed = !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_graphic());
    is_typed.then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_people_could_have_typed_counts_as_encoded() {
        for (text, expected) in [
            ("aHVudGVyMg==", Some("hunter2")),
            ("password", None),
            ("hunter2", None),
            ("", None),
            ("0f3b6a0f3b6a0f3b6a0f3b6a0f3b6a0f", None),
        ] {
            assert_eq!(decoded(text).as_deref(), expected, "{text}");
        }
    }
}
