//! Picking one item of a list. Pure.

use std::borrow::Cow;
use std::slice;

use serde_json::Value;
use url::Url;

use crate::catalog::{HookPick, HookSelect, Parameter, value_at};
use crate::template::Context;

/// The part that is selected; none when nothing fits.
pub(super) fn select(source: &Value, select: &HookSelect, context: &Context<'_>) -> Option<Value> {
    let value =
        value_at(source, select.path.as_deref().unwrap_or_default()).filter(|value| !value.is_null())?;
    if select.pick.is_empty() {
        return Some(value.clone());
    }
    let items = value.as_array().map_or(slice::from_ref(value), Vec::as_slice);
    select.pick.iter().find_map(|pick| find(items, pick, context)).cloned()
}

fn find<'v>(items: &'v [Value], pick: &HookPick, context: &Context<'_>) -> Option<&'v Value> {
    match pick {
        HookPick::First => items.first(),
        HookPick::Only => items.first().filter(|_| items.len() == 1),
        HookPick::Equals(wanted) => {
            let wanted: Vec<(&String, Value)> = wanted
                .iter()
                .map(|(path, value): (&String, &Parameter)| Some((path, value.resolve(context).ok()?)))
                .collect::<Option<_>>()?;
            items.iter().find(|item| {
                wanted
                    .iter()
                    .all(|(path, wanted)| value_at(item, path).is_some_and(|value| is_same(value, wanted)))
            })
        }
        HookPick::Contains(wanted) => by_text(items, wanted, context, |text, wanted| text.contains(wanted)),
        HookPick::HostLabel(wanted) => by_text(items, wanted, context, |text, wanted| {
            let host = Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned));
            host.is_some_and(|host| host.split('.').next() == Some(wanted))
        }),
    }
}

fn by_text<'v>(
    items: &'v [Value],
    wanted: &indexmap::IndexMap<String, crate::template::Template>,
    context: &Context<'_>,
    fits: impl Fn(&str, &str) -> bool,
) -> Option<&'v Value> {
    let wanted: Vec<(&String, String)> = wanted
        .iter()
        .map(|(path, template)| Some((path, template.resolve(context).ok()?.trim().to_lowercase())))
        .collect::<Option<_>>()?;
    if wanted.iter().any(|(_, text)| text.is_empty()) {
        return None;
    }
    items.iter().find(|item| {
        wanted.iter().all(|(path, wanted)| {
            let text = value_at(item, path).and_then(Value::as_str);
            text.is_some_and(|text| fits(&text.to_lowercase(), wanted))
        })
    })
}

/// Templates give texts, so that a number or a flag is the same as its text. Nothing is the same as an empty text.
fn is_same(value: &Value, wanted: &Value) -> bool {
    let text = |value: &'_ Value| -> Option<Cow<'static, str>> {
        match value {
            Value::String(text) => Some(text.clone().into()),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Bool(flag) => Some(flag.to_string().into()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    };
    match (text(value), text(wanted)) {
        (Some(value), Some(wanted)) => !wanted.is_empty() && value == wanted,
        _ => value == wanted,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_rule_that_finds_something_decides() {
        let config = json!({"sub": "Acme", "id": "7", "none": ""});
        let context =
            Context::new(DateTime::UNIX_EPOCH, "").connection_config(config.as_object().expect("an object"));
        let sites = json!([
            {"url": "https://other.example.net", "name": "Acme of old", "id": 1},
            {"url": "https://acme.example.net", "name": "Main", "id": 7},
        ]);
        let cases = [
            (json!(["first"]), json!(1)),
            (json!(["only"]), json!(null)),
            (json!([{"host_label": {"url": "${connectionConfig.sub}"}}]), json!(7)),
            (json!([{"contains": {"name": "${connectionConfig.sub}"}}]), json!(1)),
            (json!([{"equals": {"id": "${connectionConfig.id}"}}]), json!(7)),
            (json!([{"equals": {"id": 7, "name": "Main"}}]), json!(7)),
            (json!([{"equals": {"id": "${connectionConfig.unknown}"}}, "first"]), json!(1)),
            (json!([{"contains": {"name": "${connectionConfig.none}"}}]), json!(null)),
            (json!([{"host_label": {"name": "main"}}]), json!(null)),
        ];
        for (pick, expected) in cases {
            let rule: HookSelect = serde_json::from_value(json!({"pick": pick})).expect("a rule");
            let found = select(&sites, &rule, &context).map_or(json!(null), |site| site["id"].clone());
            assert_eq!(found, expected, "{pick}");
        }
    }

    #[test]
    fn what_is_no_list_is_a_list_of_one() {
        let context = Context::new(DateTime::UNIX_EPOCH, "");
        let answer = json!({"resource": {"type": "Company", "uuid": "u"}, "empty": []});
        for (rule, expected) in [
            (json!({"path": "resource", "pick": [{"equals": {"type": "Company"}}]}), Some(json!("u"))),
            (json!({"path": "resource", "pick": [{"equals": {"type": "Person"}}]}), None),
            (json!({"path": "resource"}), Some(json!("u"))),
            (json!({"path": "empty", "pick": ["first", "only"]}), None),
            (json!({"path": "nowhere"}), None),
        ] {
            let select_rule: HookSelect = serde_json::from_value(rule.clone()).expect("a rule");
            let found = select(&answer, &select_rule, &context).map(|picked| picked["uuid"].clone());
            assert_eq!(found, expected, "{rule}");
        }
    }
}
