//! XML bodies of token endpoints, as trees of JSON values. Pure.
//!
//! Written: a member is an element, a list repeats it, members whose name starts with `$` are attributes and `_` is the text
//! beside them. Read: the same the other way round, except that the attributes of an element with text only are left out, so
//! that its path leads to the text. Namespaces are part of the name; document types are skipped, entities of theirs are not
//! known.

use std::fmt::Write;

use serde_json::{Map, Value};

/// Elements inside each other; token answers have a handful.
const DEEPEST: usize = 64;

/// The document for a tree.
pub fn write_xml(members: &Map<String, Value>) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    for (name, value) in members {
        write_element(name, value, &mut out);
    }
    out
}

fn write_element(name: &str, value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| write_element(name, item, out)),
        Value::Object(members) => {
            // Writing to a String cannot fail, here and below.
            let _ = write!(out, "<{name}");
            for (name, value) in members {
                if let Some(name) = name.strip_prefix('$') {
                    let _ = write!(out, " {name}=\"{}\"", escape(&scalar(value)));
                }
            }
            out.push('>');
            for (name, value) in members.iter().filter(|(name, _)| !name.starts_with('$')) {
                if name == "_" {
                    out.push_str(&escape(&scalar(value)));
                } else {
                    write_element(name, value, out);
                }
            }
            let _ = write!(out, "</{name}>");
        }
        scalar_value => {
            let _ = write!(out, "<{name}>{}</{name}>", escape(&scalar(scalar_value)));
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Text that is safe in an element and in an attribute, without the characters that XML cannot carry.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' => out.push(character),
            control if control < ' ' || matches!(control, '\u{fffe}' | '\u{ffff}') => {}
            other => out.push(other),
        }
    }
    out
}

/// The tree of a document; none when it is not well-formed.
pub fn read_xml(text: &str) -> Option<Map<String, Value>> {
    let mut reader = Reader { rest: text.trim_start_matches('\u{feff}') };
    reader.skip_misc()?;
    let (name, value) = reader.element(0)?;
    reader.skip_misc()?;
    reader.rest.is_empty().then(|| Map::from_iter([(name, value)]))
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, prefix: &str) -> bool {
        let after = self.rest.strip_prefix(prefix);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn until(&mut self, end: &str) -> Option<&'a str> {
        let (before, after) = self.rest.split_once(end)?;
        self.rest = after;
        Some(before)
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Space, comments, processing instructions and the document type.
    fn skip_misc(&mut self) -> Option<()> {
        loop {
            self.skip_space();
            if self.take("<!--") {
                self.until("-->")?;
            } else if self.take("<?") {
                self.until("?>")?;
            } else if self.take("<!DOCTYPE") {
                self.until(">")?;
            } else {
                return Some(());
            }
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        let is_end = |c: char| c.is_whitespace() || matches!(c, '>' | '/' | '=' | '<' | '"' | '\'');
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (name, after) = self.rest.split_at(end);
        self.rest = after;
        (!name.is_empty()).then_some(name)
    }

    fn element(&mut self, depth: usize) -> Option<(String, Value)> {
        if depth == DEEPEST || !self.take("<") {
            return None;
        }
        let name = self.name()?;
        let mut members = Map::new();
        loop {
            self.skip_space();
            if self.take("/>") {
                return Some((name.to_owned(), value_of(members, "")));
            }
            if self.take(">") {
                break;
            }
            let (attribute, value) = self.attribute()?;
            members.insert(format!("${attribute}"), Value::String(value));
        }
        let text = self.content(name, depth, &mut members)?;
        Some((name.to_owned(), value_of(members, &text)))
    }

    fn attribute(&mut self) -> Option<(&'a str, String)> {
        let name = self.name()?;
        self.skip_space();
        if !self.take("=") {
            return None;
        }
        self.skip_space();
        let quote = if self.take("\"") { "\"" } else { self.take("'").then_some("'")? };
        Some((name, unescape(self.until(quote)?)?))
    }

    /// Reads up to the end tag of `name`.
    fn content(&mut self, name: &str, depth: usize, members: &mut Map<String, Value>) -> Option<String> {
        let mut text = String::new();
        loop {
            if self.take("</") {
                let is_own = self.name()? == name;
                self.skip_space();
                return (is_own && self.take(">")).then_some(text);
            } else if self.take("<![CDATA[") {
                text.push_str(self.until("]]>")?);
            } else if self.take("<!--") {
                self.until("-->")?;
            } else if self.take("<?") {
                self.until("?>")?;
            } else if self.rest.starts_with('<') {
                let (name, value) = self.element(depth + 1)?;
                add(members, name, value);
            } else {
                let end = self.rest.find('<')?;
                let (piece, after) = self.rest.split_at(end);
                self.rest = after;
                text.push_str(&unescape(piece)?);
            }
        }
    }
}

/// Repeated elements become a list.
fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        Some(Value::Array(items)) => items.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
        None => {
            members.insert(name, value);
        }
    }
}

fn value_of(members: Map<String, Value>, text: &str) -> Value {
    let has_elements = members.keys().any(|name| !name.starts_with('$'));
    if has_elements { Value::Object(members) } else { Value::String(text.trim().to_owned()) }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';')?;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => numbered(number.strip_prefix('#')?)?,
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn numbered(number: &str) -> Option<char> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    char::from_u32(code)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trees_become_documents() {
        let tree = json!({"request": {"$version": "3\"0", "control": {"id": "a<b&c", "n": 1, "none": null},
                          "item": ["x", {"$k": true, "_": "y"}]}});
        assert_eq!(
            write_xml(tree.as_object().unwrap()),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><request version=\"3&quot;0\"><control>\
             <id>a&lt;b&amp;c</id><n>1</n><none></none></control><item>x</item><item k=\"true\">y</item></request>"
        );
        assert_eq!(escape("a\u{0}\u{b}b\r\n"), "ab&#xD;\n");
    }

    #[test]
    fn documents_become_trees() {
        for (text, expected) in [
            ("<a/>", json!({"a": ""})),
            ("\u{feff}<?xml version='1.0'?><!DOCTYPE a><!-- x --><a> t </a>\n", json!({"a": "t"})),
            (
                "<a><b>1</b><b>2</b><b/><c x='&lt;&#65;'>t</c></a>",
                json!({"a": {"b": ["1", "2", ""], "c": "t"}}),
            ),
            ("<s:a v=\"1\" ><b><![CDATA[<&]]>&#x41;</b ></s:a>", json!({"s:a": {"$v": "1", "b": "<&A"}})),
        ] {
            assert_eq!(read_xml(text).map(Value::Object), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_well_formed_has_no_tree() {
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        for text in [
            "",
            "<a>",
            "<a></b>",
            "text",
            "<a/><b/>",
            "<a>&nope;</a>",
            "<a b>x</a>",
            "<a x=1/>",
            deep.as_str(),
        ] {
            assert_eq!(read_xml(text), None, "{}", &text[..text.len().min(20)]);
        }
    }
}
