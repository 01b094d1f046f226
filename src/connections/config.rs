//! Secrets inside a connection's config: values of fields that the provider marks `secret`, and tokens that this server put
//! there, are sealed one by one, so that the rest stays searchable.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::catalog::Provider;
use crate::crypto::{Cipher, CryptoError};
use crate::db::connections::Connection;

/// The one member of a sealed text.
const SEALED: &str = "$sealed";
/// The one member of a sealed value of another kind.
const SEALED_JSON: &str = "$sealed_json";
/// Tokens beside the credentials, whatever the catalog says about them.
const TOKENS: [&str; 5] =
    ["jwtToken", "userCredentials", "sharepointAccessToken", "botFrameworkAccessToken", "oauth_client_info"];

/// Seals the values of secret fields. Values that are sealed already stay as they are.
pub fn seal_config(
    cipher: &Cipher,
    provider: Option<&Provider>,
    config: &mut Map<String, Value>,
) -> Result<(), CryptoError> {
    let is_secret = |name: &str| {
        let field = provider.and_then(|provider| provider.connection_config.get(name));
        field.is_some_and(|field| field.secret) || TOKENS.contains(&name)
    };
    for (_, value) in config.iter_mut().filter(|(name, _)| is_secret(name)) {
        let is_settled = value.is_null() || open_secret(cipher, value).is_some();
        if !is_settled {
            *value = seal_value(cipher, value)?;
        }
    }
    Ok(())
}

fn seal_value(cipher: &Cipher, value: &Value) -> Result<Value, CryptoError> {
    let (member, text) = match value {
        Value::String(text) => (SEALED, text.clone()),
        other => (SEALED_JSON, other.to_string()),
    };
    Ok(json!({ member: STANDARD.encode(cipher.seal_text(&text)?) }))
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
    open_secret(cipher, &value).unwrap_or(value)
}

/// A value that only looks sealed was put there by a caller; it stays what it is.
fn open_secret(cipher: &Cipher, value: &Value) -> Option<Value> {
    let (member, sealed) = value.as_object().filter(|members| members.len() == 1)?.iter().next()?;
    let open = || cipher.open_text(&STANDARD.decode(sealed.as_str()?).ok()?).ok();
    match member.as_str() {
        SEALED => Some(Value::String(open()?.expose().to_owned())),
        SEALED_JSON => serde_json::from_str(open()?.expose()).ok(),
        _ => None,
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
        for value in
            [json!({SEALED: "nonsense"}), json!({SEALED: 1}), json!({SEALED: "x", "y": 1}), json!("text")]
        {
            assert_eq!(open_value(&cipher, value.clone()), value);
        }
    }
    #[test]
    fn tokens_are_sealed_whatever_their_kind_and_only_once() {
        let cipher =
            Cipher::from_key_list("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", Rng::System).unwrap();
        let plain = json!({"jwtToken": "hunter2", "userCredentials": {"access_token": "hunter3"},
            "botFrameworkAccessToken": null, "installation_id": "7"});
        let mut config = plain.as_object().cloned().unwrap();
        seal_config(&cipher, None, &mut config).unwrap();
        let sealed = Value::Object(config.clone());
        assert!(!sealed.to_string().contains("hunter"), "{sealed}");
        assert_eq!(sealed["installation_id"], "7");
        seal_config(&cipher, None, &mut config).unwrap();
        assert_eq!(Value::Object(config.clone()), sealed);
        let opened: Map<String, Value> =
            config.into_iter().map(|(name, value)| (name, open_value(&cipher, value))).collect();
        assert_eq!(Value::Object(opened), plain);
    }
}
