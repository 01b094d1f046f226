//! What was different before and after, as lines that people compare. Pure.

use serde_json::Value;

/// A value that changed, by its path in the thing. Without a text there was, or is, nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// The lines of an event's metadata, in the order in which they were stored.
pub fn changes(metadata: &Value) -> Vec<Change> {
    let [mut before, after] = ["before", "after"].map(|side| {
        let mut lines = Vec::new();
        flatten(&metadata[side], "", &mut lines);
        lines
    });
    let mut changes: Vec<Change> = Vec::new();
    for (path, after) in after {
        let old = before.iter().position(|(name, _)| *name == path).map(|index| before.remove(index).1);
        // A secret that was replaced looks the same before and after.
        let is_secret = after == REDACTED;
        if is_secret || old.as_ref() != Some(&after) {
            changes.push(Change { path, before: old, after: Some(after) });
        }
    }
    changes.extend(before.into_iter().map(|(path, old)| Change { path, before: Some(old), after: None }));
    changes
}

/// What `audit::difference` puts in the place of secrets.
const REDACTED: &str = "[redacted]";

fn flatten(value: &Value, path: &str, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(value, &path, lines);
            }
        }
        Value::String(text) => lines.push((path.to_owned(), text.clone())),
        other => lines.push((path.to_owned(), other.to_string())),
    }
}

/// What else an event tells, by name.
pub fn facts(metadata: &Value) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let others = metadata.as_object().into_iter().flatten();
    for (name, value) in others.filter(|(name, _)| !["before", "after"].contains(&name.as_str())) {
        flatten(value, name, &mut facts);
    }
    facts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(metadata: Value) -> Vec<(String, Option<String>, Option<String>)> {
        changes(&metadata).into_iter().map(|change| (change.path, change.before, change.after)).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn members_are_compared_one_by_one() {
        let metadata = json!({
            "before": {"name": "a", "look": {"light": "red", "dark": "blue"}, "gone": [1, 2], "key": "[redacted]"},
            "after": {"name": "b", "look": {"light": "red", "dark": "black"}, "gone": null, "new": true, "key": "[redacted]"},
        });
        assert_eq!(
            lines(metadata),
            [
                ("name".into(), some("a"), some("b")),
                ("look.dark".into(), some("blue"), some("black")),
                ("new".into(), None, some("true")),
                ("key".into(), some("[redacted]"), some("[redacted]")),
                ("gone".into(), some("[1,2]"), None),
            ]
        );
        assert_eq!(lines(json!({"after": {"name": "x"}})), [("name".into(), None, some("x"))]);
        assert!(lines(Value::Null).is_empty());
    }

    #[test]
    fn everything_else_is_a_fact() {
        let metadata = json!({"before": {}, "after": {}, "targetCount": 120, "why": {"code": "x"}});
        assert_eq!(
            facts(&metadata),
            [("targetCount".to_owned(), "120".to_owned()), ("why.code".to_owned(), "x".to_owned())]
        );
    }
}
