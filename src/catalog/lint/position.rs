//! Where the keys of a catalog text stand, and which of them it has twice. JSON is read as YAML, of which it is a part.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::super::load::yaml_options;

/// Lines of keys by their path from the top of the text.
#[derive(Debug, Default)]
pub(super) struct Positions {
    lines: HashMap<Vec<String>, u32>,
    /// Paths of keys that stand more than once in their mapping, with the line of each repetition.
    pub duplicates: Vec<(Vec<String>, u32)>,
}

impl Positions {
    /// Nothing is known about a text that cannot be read.
    pub fn of(text: &str) -> Self {
        let mut options = yaml_options();
        options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::PassThrough;
        let mut positions = Positions::default();
        if let Ok(node) = serde_saphyr::from_str_with_options::<Node>(text, options) {
            positions.add(&node, &mut Vec::new());
        }
        positions
    }

    /// The line of the key at `path`, or of the nearest key above it; counted from 1.
    pub fn line(&self, path: &[String]) -> Option<u32> {
        (1..=path.len()).rev().find_map(|length| self.lines.get(&path[..length]).copied())
    }

    fn add(&mut self, node: &Node, path: &mut Vec<String>) {
        let mut seen = HashSet::new();
        for (key, value) in &node.members {
            path.push(key.value.clone());
            let line = u32::try_from(key.referenced.line()).unwrap_or(u32::MAX);
            if seen.insert(&key.value) {
                self.lines.insert(path.clone(), line);
            } else {
                self.duplicates.push((path.clone(), line));
            }
            self.add(value, path);
            path.pop();
        }
    }
}

/// The mappings of a text. Lists are entered under the numbers of their items, scalars forgotten.
#[derive(Default)]
struct Node {
    members: Vec<(Spanned<String>, Node)>,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key()? {
            members.push((key, map.next_value()?));
        }
        Ok(Node { members })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Node>>()? {
            let key = Spanned::new(members.len().to_string(), item.referenced, item.defined);
            members.push((key, item.value));
        }
        Ok(Node { members })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Node::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn keys_are_found_with_their_lines() {
        let yaml =
            "# x\na:\n  b: 1\n  c:\n    - d: |\n        e: no key\n      f: {g: 1,\n        h: 2}\n\nz: ~\n";
        let json = "{\n\t\"a\": {\n\t\t\"b\": [1, {\"c\":\n\t\t\ttrue}]\n\t},\n\"d\": \"\\u00e9\\/\"}";
        let cases = [
            (yaml, "a", Some(2)),
            (yaml, "a/b", Some(3)),
            (yaml, "a/c/0", Some(5)),
            (yaml, "a/c/0/f", Some(7)),
            (yaml, "a/c/0/f/h", Some(8)),
            (yaml, "a/c/0/e", Some(5)),
            (yaml, "z", Some(10)),
            (yaml, "nothing", None),
            (json, "a/b", Some(3)),
            (json, "a/b/1/c", Some(3)),
            (json, "d", Some(6)),
        ];
        for (text, at, expected) in cases {
            assert_eq!(Positions::of(text).line(&path(at)), expected, "{at}");
        }
    }

    #[test]
    fn repeated_keys_are_listed_and_bad_texts_have_none() {
        let positions = Positions::of("a: {x: 1}\nb:\n  c: 1\n  c: 2\na: 2\n");
        assert_eq!(positions.duplicates, [(path("b/c"), 4), (path("a"), 5)]);
        assert_eq!(positions.line(&path("a/x")), Some(1));
        assert_eq!(Positions::of("a: [").line(&path("a")), None);
    }
}
