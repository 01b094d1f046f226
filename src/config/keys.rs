//! The encryption key and fixed API keys.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::reader::{Reader, is_uuid_v4};
use crate::crypto::Secret;

#[derive(Debug)]
pub struct KeyConfig {
    /// The text of `NANGO_ENCRYPTION_KEY`; `None`: the key file in the data directory.
    pub encryption: Option<Secret>,
    /// Fixed API keys by lower-case environment name.
    pub provisioned: BTreeMap<String, Secret>,
    /// Fixed public keys by lower-case environment name. Those that the database has work beside them.
    pub provisioned_public: BTreeMap<String, Uuid>,
    pub initial_environments: Vec<String>,
}

impl KeyConfig {
    pub(super) fn read(reader: &Reader<'_>, names: &[String]) -> Self {
        let initial = reader.list("HITCHPOST_INITIAL_ENVIRONMENTS");
        KeyConfig {
            encryption: reader.text("NANGO_ENCRYPTION_KEY").map(Secret::new),
            provisioned: of_environments(reader, names, "SECRET_KEY_", |text| Secret::new(text.to_owned())),
            provisioned_public: of_environments(reader, names, "PUBLIC_KEY_", |text| {
                Uuid::parse_str(text).unwrap_or_default()
            }),
            initial_environments: if initial.is_empty() {
                vec!["dev".into(), "prod".into()]
            } else {
                initial
            },
        }
    }
}

/// The UUIDs of the variables among `names` that end in `kind` and an environment, by its lower-case name.
fn of_environments<T>(
    reader: &Reader<'_>,
    names: &[String],
    kind: &str,
    make: impl Fn(&str) -> T,
) -> BTreeMap<String, T> {
    let suffix_of = |name: &str| {
        let base = name.strip_suffix("_FILE").unwrap_or(name);
        let base = base.strip_prefix("NANGO_").or_else(|| base.strip_prefix("HITCHPOST_"))?;
        base.strip_prefix(kind).filter(|suffix| !suffix.is_empty()).map(str::to_owned)
    };
    let mut keys = BTreeMap::new();
    for suffix in names.iter().filter_map(|name| suffix_of(name)) {
        let canonical = format!("NANGO_{kind}{suffix}");
        let Some(value) = reader.text(&canonical) else { continue };
        if !is_uuid_v4(&value) {
            reader.complain(format!("{canonical}: expected a UUID v4, because keys have that form."));
            continue;
        }
        keys.insert(suffix.to_lowercase(), make(&value));
    }
    keys
}
