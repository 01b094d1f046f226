//! The encryption key and fixed API keys.

use std::collections::BTreeMap;

use super::reader::{Reader, is_uuid_v4};
use crate::crypto::Secret;

#[derive(Debug)]
pub struct KeyConfig {
    /// The text of `NANGO_ENCRYPTION_KEY`; `None`: the key file in the data directory.
    pub encryption: Option<Secret>,
    /// Fixed API keys by lower-case environment name.
    pub provisioned: BTreeMap<String, Secret>,
    pub initial_environments: Vec<String>,
}

impl KeyConfig {
    pub(super) fn read(reader: &Reader<'_>, names: &[String]) -> Self {
        let initial = reader.list("HITCHPOST_INITIAL_ENVIRONMENTS");
        KeyConfig {
            encryption: reader.text("NANGO_ENCRYPTION_KEY").map(Secret::new),
            provisioned: provisioned_keys(reader, names),
            initial_environments: if initial.is_empty() {
                vec!["dev".into(), "prod".into()]
            } else {
                initial
            },
        }
    }
}

/// The `NANGO_SECRET_KEY_<ENV>` variables among `names`, by lower-case environment name.
fn provisioned_keys(reader: &Reader<'_>, names: &[String]) -> BTreeMap<String, Secret> {
    let mut keys = BTreeMap::new();
    for name in names {
        let base = name.strip_suffix("_FILE").unwrap_or(name);
        let suffix =
            base.strip_prefix("NANGO_SECRET_KEY_").or_else(|| base.strip_prefix("HITCHPOST_SECRET_KEY_"));
        let Some(suffix) = suffix.filter(|suffix| !suffix.is_empty()) else { continue };
        let canonical = format!("NANGO_SECRET_KEY_{suffix}");
        let Some(value) = reader.text(&canonical) else { continue };
        if !is_uuid_v4(&value) {
            reader.complain(format!("{canonical}: expected a UUID v4, because API keys have that form."));
        }
        keys.insert(suffix.to_lowercase(), Secret::new(value));
    }
    keys
}
