//! The YAML of a settings file: its values with references replaced, and the line of each for messages. Pure.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use super::problem::show_at;
use super::references;
use crate::config::Lookup;

/// A file after reading: JSON values, and where each was written.
pub struct Document {
    pub value: Value,
    lines: HashMap<Vec<String>, u64>,
}

impl Document {
    /// # Errors
    /// What is wrong with the YAML, or every reference to a variable that is not set.
    pub fn parse(name: &str, text: &str, lookup: Lookup<'_>) -> Result<Self, Vec<String>> {
        let root: Option<Placed> = serde_saphyr::from_str_with_options(text, yaml_options())
            .map_err(|error| vec![no_yaml(name, text, &error)])?;
        let mut builder = Builder { name, lookup, lines: HashMap::new(), problems: Vec::new() };
        let value =
            root.map_or_else(|| Value::Object(Map::new()), |root| builder.build(root, &mut Vec::new()));
        if builder.problems.is_empty() {
            return Ok(Document { value, lines: builder.lines });
        }
        Err(builder.problems)
    }

    /// The line on which the value at this path was written, or the nearest one around it.
    pub fn line(&self, path: &[String]) -> Option<u64> {
        (0..=path.len()).rev().find_map(|length| self.lines.get(&path[..length]).copied())
    }
}

fn no_yaml(name: &str, text: &str, error: &serde_saphyr::Error) -> String {
    let line = error.location().map(|location| location.line());
    let index = line.and_then(|line| usize::try_from(line).ok()?.checked_sub(1));
    let written = index.and_then(|index| text.lines().nth(index)).unwrap_or_default();
    let advice =
        if written.contains("${") { "; inside { } and [ ], quote references: '${NAME}'" } else { "" };
    let reason = error.without_snippet().to_string();
    show_at(name, line, &[], &format!("this is not the YAML of a settings file: {reason}{advice}"))
}

/// Files are small; the limits stop alias bombs and endless nesting.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 500_000,
            max_nodes: 250_000,
            max_total_scalar_bytes: 16 * 1024 * 1024,
            max_depth: 32,
            max_documents: 1,
        },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

/// Replaces references and notes lines while the values are made.
struct Builder<'b> {
    name: &'b str,
    lookup: Lookup<'b>,
    lines: HashMap<Vec<String>, u64>,
    problems: Vec<String>,
}

impl Builder<'_> {
    fn build(&mut self, placed: Placed, path: &mut Vec<String>) -> Value {
        let line = placed.line;
        self.lines.entry(path.clone()).or_insert(line);
        match placed.node {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(value),
            Node::Number(number) => Value::Number(number),
            Node::Text(text) => Value::String(self.resolve(&text, line, path)),
            Node::List(items) => {
                let items = items.into_iter().enumerate();
                Value::Array(
                    items.map(|(index, item)| self.member(index.to_string(), None, item, path)).collect(),
                )
            }
            Node::Map(members) => {
                let mut object = Map::new();
                for (name, line, member) in members {
                    let value = self.member(name.clone(), Some(line), member, path);
                    object.insert(name, value);
                }
                Value::Object(object)
            }
        }
    }

    fn member(&mut self, name: String, line: Option<u64>, placed: Placed, path: &mut Vec<String>) -> Value {
        path.push(name);
        if let Some(line) = line {
            // A member stands where its name does, not where its value begins.
            self.lines.insert(path.clone(), line);
        }
        let value = self.build(placed, path);
        path.pop();
        value
    }

    fn resolve(&mut self, text: &str, line: u64, path: &[String]) -> String {
        let lookup = self.lookup;
        match references::resolve(text, &mut |name| find(lookup, name)) {
            Ok(resolved) => resolved,
            Err(problems) => {
                let shown = problems.iter().map(|problem| show_at(self.name, Some(line), path, problem));
                self.problems.extend(shown);
                String::new()
            }
        }
    }
}

/// The value of a variable, or of the file that `<NAME>_FILE` names. Empty counts as unset.
fn find(lookup: Lookup<'_>, name: &str) -> Result<String, String> {
    let present = |value: String| (!value.is_empty()).then_some(value);
    if let Some(value) = lookup(name).and_then(present) {
        return Ok(value);
    }
    let file_name = format!("{name}_FILE");
    let Some(path) = lookup(&file_name).and_then(present) else {
        return Err(format!(
            "the environment variable {name} is not set; set it, or {file_name} to a file with its value"
        ));
    };
    let content = std::fs::read_to_string(&path)
        .map_err(|error| format!("{file_name}: the file {path} cannot be read ({error})"))?;
    present(content.trim_end_matches(['\r', '\n']).to_owned())
        .ok_or_else(|| format!("{file_name}: the file {path} is empty"))
}

/// A value of the file and its line.
struct Placed {
    line: u64,
    node: Node,
}

enum Node {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Placed>),
    Map(Vec<(String, u64, Placed)>),
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Node>::deserialize(deserializer)?;
        Ok(Placed { line: spanned.referenced.line(), node: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false, a list or a map")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Number::from_f64(value).map(Node::Number).ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = access.next_key::<Spanned<String>>()? {
            members.push((name.value, name.referenced.line(), access.next_value()?));
        }
        Ok(Node::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Document, Vec<String>> {
        Document::parse("f.yaml", text, &|name| (name == "TOKEN").then(|| "t0ken".to_owned()))
    }

    #[test]
    fn values_keep_their_types_and_their_lines() {
        let text = "a: 1\nb:\n  c: yes\n  d: ${TOKEN}\n  e: [true, 1.5, ~]\n\nf: \"on\"\n# end\ng:\n  - h: x\n    i: 007\n";
        let document = parse(text).unwrap();
        let expected = json!({"a": 1, "b": {"c": "yes", "d": "t0ken", "e": [true, 1.5, null]}, "f": "on",
            "g": [{"h": "x", "i": "007"}]});
        assert_eq!(document.value, expected);
        for (path, line) in [
            (vec![], 1),
            (vec!["a"], 1),
            (vec!["b"], 2),
            (vec!["b", "d"], 4),
            (vec!["b", "e", "1"], 5),
            (vec!["b", "missing", "deeper"], 2),
            (vec!["f"], 7),
            (vec!["g", "0", "i"], 11),
        ] {
            let path: Vec<String> = path.iter().map(ToString::to_string).collect();
            assert_eq!(document.line(&path), Some(line), "{path:?}");
        }
        assert_eq!(parse("# nothing\n").unwrap().value, json!({}));
    }

    #[test]
    fn missing_variables_are_reported_together_with_their_lines() {
        let problems = parse("a: ${ONE}\nb:\n  c: ${TWO}${THREE}\n  d: ${TOKEN}\ne: ${\n").err().unwrap();
        let starts = [
            "f.yaml:1: a: the environment variable ONE is not set",
            "f.yaml:3: b.c: the environment variable TWO is not set",
            "f.yaml:3: b.c: the environment variable THREE is not set",
            "f.yaml:5: e: `${` starts a reference",
        ];
        assert_eq!(problems.len(), starts.len(), "{problems:?}");
        for (problem, start) in problems.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        for (text, start) in [
            ("a: 1\nb: [1\nc: 2\n", "f.yaml:"),
            ("a: 1\na: 2\n", "f.yaml:2: this is not the YAML"),
            ("a:\n\tb: 1\n", "f.yaml:"),
            ("a: *nowhere\n", "f.yaml:1: this is not the YAML"),
        ] {
            let problems = parse(text).err().unwrap();
            assert!(problems.len() == 1 && problems[0].starts_with(start), "{text}: {problems:?}");
        }
        let advised = parse("a: 1\nb: {c: ${TOKEN}}\n").err().unwrap();
        assert!(advised[0].starts_with("f.yaml:2: ") && advised[0].ends_with("quote references: '${NAME}'"));
    }

    #[test]
    fn a_variable_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from file\n").unwrap();
        let path = file.path().display().to_string();
        let read = Document::parse("f", "a: ${X}", &|name| (name == "X_FILE").then(|| path.clone()));
        assert_eq!(read.ok().unwrap().value, json!({"a": "from file"}));
    }
}
