//! The hooks that entries of the published catalog name, as data (`assets/provider_hooks.yaml`). A name that is not there does
//! nothing.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use super::{HookStep, Verification};

/// What one name stands for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct KnownHook {
    scripts: Vec<String>,
    /// The entries that it is for; empty: all others.
    entries: Vec<String>,
    pub post_connection: Vec<HookStep>,
    pub pre_deletion: Vec<HookStep>,
    pub verification: Option<Verification>,
}

static TABLE: LazyLock<Vec<KnownHook>> = LazyLock::new(|| parse().unwrap_or_default());

fn parse() -> Result<Vec<KnownHook>, String> {
    let text = include_str!("../../assets/provider_hooks.yaml");
    let value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The hook of this name for an entry: what is written for the entry itself before what is for all.
pub(super) fn find(script: &str, entry: &str) -> Option<&'static KnownHook> {
    let named = || TABLE.iter().filter(|hook| hook.scripts.iter().any(|name| name == script));
    let own = named().find(|hook| hook.entries.iter().any(|name| name == entry));
    own.or_else(|| named().find(|hook| hook.entries.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_readable_and_every_step_makes_sense() {
        let table = parse().unwrap();
        assert!(table.len() > 40, "{}", table.len());
        for hook in &table {
            for step in hook.post_connection.iter().chain(&hook.pre_deletion) {
                step.check().unwrap_or_else(|problem| panic!("{:?}: {problem}", hook.scripts));
            }
        }
    }

    #[test]
    fn an_entry_of_its_own_comes_first() {
        let url =
            |entry| format!("{:?}", find("docusignPostConnection", entry).map(|hook| &hook.post_connection));
        assert!(url("docusign-sandbox").contains("account-d.docusign.com"));
        assert!(url("docusign").contains("//account.docusign.com"));
        assert!(find("zoomPostConnection", "zoom").is_none());
    }
}
