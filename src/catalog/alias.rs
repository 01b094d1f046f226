//! `alias: other` copies the top-level keys of another entry under the entry's own.

use indexmap::IndexMap;
use serde_json::{Map, Value};

/// An entry as written, and the source that it came from.
#[derive(Debug, Clone)]
pub(super) struct RawEntry {
    pub source: String,
    pub definition: Map<String, Value>,
}

pub(super) type RawEntries = IndexMap<String, RawEntry>;

/// The definition with its aliases applied and `alias` removed. The merge is shallow, own keys win, and an
/// alias of an alias works in any order.
///
/// # Errors
/// A sentence about an unknown target, a cycle or a target that is no text.
pub(super) fn resolve(entries: &RawEntries, name: &str) -> Result<Map<String, Value>, String> {
    let mut chain = vec![name];
    let mut layers = Vec::new();
    loop {
        let current = chain[chain.len() - 1];
        let entry =
            entries.get(current).ok_or_else(|| format!("alias of `{current}`, which does not exist"))?;
        layers.push(&entry.definition);
        match entry.definition.get("alias") {
            None => return Ok(merge(&layers)),
            Some(Value::String(target)) if chain.contains(&target.as_str()) => {
                return Err(format!("aliases go in a circle: {} -> {target}", chain.join(" -> ")));
            }
            Some(Value::String(target)) => chain.push(target),
            Some(_) => return Err("`alias` must be the name of another entry".to_owned()),
        }
    }
}

/// Keys of the furthest target first, in its order; nearer layers replace in place or append.
fn merge(layers: &[&Map<String, Value>]) -> Map<String, Value> {
    let mut merged = Map::new();
    for layer in layers.iter().rev() {
        for (key, value) in layer.iter().filter(|(key, _)| *key != "alias") {
            merged.insert(key.clone(), value.clone());
        }
    }
    merged
}
