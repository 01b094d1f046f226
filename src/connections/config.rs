//! Secrets inside a connection's config: values of fields that the provider marks `secret`, and those that this server
//! itself keeps there, are sealed one by one, so that the rest stays searchable.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::catalog::Provider;
use crate::crypto::{Cipher, CryptoError, Secret};
use crate::db::connections::Connection;

/// The one member of a sealed text.
const SEALED: &str = "$sealed";
/// The one member of any other sealed value.
const SEALED_JSON: &str = "$sealed_json";
/// Secrets that sign-ins keep in the config, whatever the provider: the client of an MCP connection.
const OWN_SECRETS: [&str; 1] = ["oauth_client_info"];

/// Seals the texts of secret fields, and this server's own secrets. Values that are sealed already stay as they are.
pub fn seal_config(
    cipher: &Cipher,
    provider: Option<&Provider>,
    config: &mut Map<String, Value>,
) -> Result<(), CryptoError> {
    for name in OWN_SECRETS {
        if let Some(value) = config.get_mut(name).filter(|value| value.is_object())
            && open_secret(cipher, value).is_none()
        {
            let sealed = cipher.seal_text(&value.to_string())?;
            *value = json!({ SEALED_JSON: STANDARD.encode(sealed) });
        }
    }
    let Some(provider) = provider else { return Ok(()) };
    let secret_fields = provider.connection_config.iter().filter(|(_, schema)| schema.secret);
    for (name, _) in secret_fields {
        if let Some(value) = config.get_mut(name.as_str()).filter(|value| value.is_string()) {
            let sealed = cipher.seal_text(value.as_str().unwrap_or_default())?;
            *value = json!({ SEALED: STANDARD.encode(sealed) });
        }
    }
    Ok(())
}

/// The config of a connection with its secrets opened.
pub fn open_config(app: &App, connection: &Connection) -> Map<String, Value> {
    let config = connection.connection_config.as_object().cloned().unwrap_or_default();
    config.into_iter().map(|(name, value)| (name, open_value(&app.cipher, value))).collect()
}

/// The config of a connection without its secrets, for callers who may not see credentials.
pub fn public_config(app: &App, connection: &Connection) -> Map<String, Value> {
    let config = connection.connection_config.as_object().cloned().unwrap_or_default();
    config.into_iter().filter(|(_, value)| open_secret(&app.cipher, value).is_none()).collect()
}

fn open_value(cipher: &Cipher, value: Value) -> Value {
    match open_secret(cipher, &value) {
        Some(Opened::Text(text)) => Value::String(text.expose().to_owned()),
        Some(Opened::Json(text)) => serde_json::from_str(text.expose()).unwrap_or(value),
        None => value,
    }
}

/// What a sealed value holds.
enum Opened {
    Text(Secret),
    Json(Secret),
}

/// A value that only looks sealed was put there by a caller; it stays what it is.
fn open_secret(cipher: &Cipher, value: &Value) -> Option<Opened> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let open = |sealed: &Value| cipher.open_text(&STANDARD.decode(sealed.as_str()?).ok()?).ok();
    match members.get(SEALED) {
        Some(sealed) => open(sealed).map(Opened::Text),
        None => open(members.get(SEALED_JSON)?).map(Opened::Json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_sealed_value_opens_and_a_look_alike_stays() {
        let cipher =
            Cipher::from_key_list("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", Rng::System).unwrap();
        let sealed = json!({ SEALED: STANDARD.encode(cipher.seal_text("hunter2").unwrap()) });
        assert!(!sealed.to_string().contains("hunter2"));
        assert_eq!(open_value(&cipher, sealed), json!("hunter2"));
        let client = json!({ "client_id": "c", "client_secret": "hunter2" });
        let mut config =
            json!({ "oauth_client_info": client, "a": { "b": 1 } }).as_object().cloned().unwrap();
        seal_config(&cipher, None, &mut config).unwrap();
        assert!(!json!(config).to_string().contains("hunter2"));
        let sealed = config.clone();
        seal_config(&cipher, None, &mut config).unwrap();
        assert_eq!((&config, &config["a"]), (&sealed, &json!({ "b": 1 })));
        assert_eq!(open_value(&cipher, config["oauth_client_info"].clone()), client);
        for value in
            [json!({SEALED: "nonsense"}), json!({SEALED: 1}), json!({SEALED: "x", "y": 1}), json!("text")]
        {
            assert_eq!(open_value(&cipher, value.clone()), value);
        }
    }
}
