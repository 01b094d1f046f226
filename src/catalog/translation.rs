//! Languages of what people read in the catalog: overlays that are merged over an entry before it is shown.

use serde_json::{Map, Value};

/// A language that the catalog may be translated to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// The language of the entries themselves.
    #[default]
    En,
    Es,
    Fr,
    De,
}

impl Language {
    pub const ALL: [Language; 4] = [Language::En, Language::Es, Language::Fr, Language::De];

    /// The tag without a region, for example `de`.
    pub fn as_str(self) -> &'static str {
        match self {
            Language::En => "en",
            Language::Es => "es",
            Language::Fr => "fr",
            Language::De => "de",
        }
    }

    /// The language of a tag such as `de-AT`; the region does not matter.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| primary.eq_ignore_ascii_case(language.as_str()))
    }
}

/// Merges objects key by key; everything else is replaced.
pub(super) fn merge(base: &mut Map<String, Value>, overlay: &Map<String, Value>) {
    for (key, value) in overlay {
        match (base.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => merge(inner, value),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn regions_do_not_matter() {
        for (tag, expected) in [
            ("de", Some(Language::De)),
            ("FR-ca", Some(Language::Fr)),
            ("en-GB-oed", Some(Language::En)),
            ("pt", None),
            ("", None),
            ("german", None),
        ] {
            assert_eq!(Language::of_tag(tag), expected, "{tag}");
        }
    }

    #[test]
    fn objects_are_merged_and_the_rest_is_replaced() {
        let mut base = json!({"a": {"x": 1, "y": [1]}, "b": 1});
        let overlay = json!({"a": {"y": [2], "z": 3}, "b": {"c": 1}, "d": null});
        if let (Value::Object(base), Value::Object(overlay)) = (&mut base, &overlay) {
            merge(base, overlay);
        }
        assert_eq!(base, json!({"a": {"x": 1, "y": [2], "z": 3}, "b": {"c": 1}, "d": null}));
    }
}
