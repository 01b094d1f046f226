//! The connections that an event is about (`spec` auth-flows, section 11.4).

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::proof::value;
use super::scene::Scene;
use super::{IncomingError, Reception, Refusal};
use crate::catalog::{ConnectionField, Matching, Step, ValueForm};
use crate::db::connection_config::{Place, list_by_value};
use crate::db::connections::{self, Connection};

/// What an address is hashed with, so that connections can be found without keeping it (`spec` auth-flows, section 9.1).
const EMAIL_SALT: &str = "nango.emailAddressHash.v1:";

/// The connections of the event that is spoken of.
///
/// # Errors
/// The section wants a value that the event does not have.
pub async fn find(reception: &Reception<'_>, scene: &Scene) -> Result<Vec<Connection>, IncomingError> {
    let (app, row) = (reception.app, &reception.integration.row);
    let matching = match &reception.webhook.connections {
        Matching::All => {
            return Ok(connections::list_of_integration(&app.db, row.environment_id, row.id).await?);
        }
        Matching::Steps(steps) => steps,
    };
    let mut has_value = false;
    for step in &matching.steps {
        let Some(wanted) = wanted(step, scene) else { continue };
        has_value = true;
        let found = look_up(reception, &step.field, &wanted).await?;
        if !found.is_empty() || step.decides {
            return Ok(found);
        }
    }
    match matching.missing.filter(|_| !has_value) {
        Some(missing) => Err(Refusal::from(missing).into()),
        None => Ok(Vec::new()),
    }
}

/// What a step looks for.
fn wanted(step: &Step, scene: &Scene) -> Option<String> {
    let context = scene.context(None);
    if step.when.as_ref().is_some_and(|when| !when.holds(&context)) {
        return None;
    }
    let found = step.value.iter().find_map(|template| value(template, &context))?;
    let picked = match &step.pattern {
        Some(pattern) => pattern.captures(&found)?.get(1)?.as_str().to_owned(),
        None => found,
    };
    // PostgreSQL has no U+0000, so nobody has such a value.
    step.form.iter().try_fold(picked, |text, form| formed(*form, text)).filter(|text| !text.contains('\0'))
}

fn formed(form: ValueForm, text: String) -> Option<String> {
    match form {
        ValueForm::Decoded => Some(percent_decode_str(&text).decode_utf8().ok()?.into_owned()),
        ValueForm::Origin => Some(Url::parse(&text).ok()?.origin().ascii_serialization()),
        ValueForm::FirstLabel => text.split('.').next().map(str::to_owned),
        ValueForm::EmailHash => Some(email_hash(&text)),
    }
}

fn email_hash(address: &str) -> String {
    hex::encode(Sha256::digest(format!("{EMAIL_SALT}{}", address.trim().to_lowercase())))
}

async fn look_up(
    reception: &Reception<'_>,
    field: &ConnectionField,
    wanted: &str,
) -> Result<Vec<Connection>, IncomingError> {
    let (db, row) = (&reception.app.db, &reception.integration.row);
    let (environment, integration) = (row.environment_id, row.id);
    let (place, name) = match field {
        ConnectionField::Id => {
            return Ok(connections::find(db, environment, integration, wanted).await?.into_iter().collect());
        }
        ConnectionField::Config(name) => (Place::Config, name),
        ConnectionField::Metadata(name) => (Place::Metadata, name),
    };
    let spellings = spellings(name, wanted);
    Ok(list_by_value(db, environment, integration, place, (name, wanted), &spellings).await?)
}

/// The objects that contain the value under this name: as a text or a number, alone or in a list.
fn spellings(name: &str, wanted: &str) -> [Value; 4] {
    let text = Value::from(wanted);
    let number = wanted.parse::<i64>().ok().filter(|number| number.to_string() == wanted);
    let number = number.map_or_else(|| text.clone(), Value::from);
    [text.clone(), json!([text]), number.clone(), json!([number])]
        .map(|value| Value::Object(Map::from_iter([(name.to_owned(), value)])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_specification_holds() {
        let hash = "5add75e13c8e3e64453b46dad8578739075c2ee7cc5e9c8fbc805a0909c39864";
        assert_eq!(email_hash(" Jane@Example.com "), hash);
    }

    #[test]
    fn values_are_formed() {
        for (form, text, expected) in [
            (
                ValueForm::Origin,
                "https://acme.atlassian.net/rest/api/2/issue/1",
                Some("https://acme.atlassian.net"),
            ),
            (ValueForm::Origin, "http://h:8080/x", Some("http://h:8080")),
            (ValueForm::Origin, "nonsense", None),
            (ValueForm::FirstLabel, "acme.myshopify.com", Some("acme")),
            (ValueForm::Decoded, "jane%40example.com", Some("jane@example.com")),
            (ValueForm::Decoded, "%ff", None),
        ] {
            assert_eq!(formed(form, text.to_owned()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_looked_for_in_both_spellings() {
        assert_eq!(
            spellings("a.b", "12"),
            [json!({"a.b": "12"}), json!({"a.b": ["12"]}), json!({"a.b": 12}), json!({"a.b": [12]})]
        );
        for text in ["012", "1e3", "x", ""] {
            assert_eq!(spellings("a", text)[2], json!({ "a": text }), "{text}");
        }
    }
}
