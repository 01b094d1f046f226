//! The reads of [`ObjectReader`] for objects of several kinds, where one member says which.

use serde_json::{Value, json};

use super::issue::{Issue, IssueCode};
use super::reader::ObjectReader;
use super::shape;

impl<'a> ObjectReader<'a> {
    /// A strict object whose member `tag` says which of the `kinds` it is; `read` gets that text and returns `None` for a
    /// kind that does not belong here (`invalid_union` at `[name, tag]`).
    pub fn optional_discriminated<T>(
        &mut self,
        name: &'static str,
        tag: &'static str,
        kinds: impl IntoIterator<Item = &'static str>,
        mut read: impl FnMut(&str, &mut ObjectReader<'a>) -> Option<T>,
    ) -> Option<T> {
        self.describes(name, || {
            let describe = |kind| describe_kind(tag, kind, |reader| read(kind, reader));
            json!({"oneOf": kinds.into_iter().filter_map(describe).collect::<Vec<_>>()})
        });
        let value = self.value(name)?;
        let Value::Object(members) = value else { return self.wrong_type(name, "object", value) };
        let mut child = ObjectReader::new(members, self.path_to(&[name]));
        let variant = child.value(tag).and_then(Value::as_str).and_then(|variant| read(variant, &mut child));
        if variant.is_some() {
            self.issues.extend(child.finish());
        } else {
            let path = self.path_to(&[name, tag]);
            self.issues.push(Issue::new(IssueCode::InvalidUnion, path, "is not a known variant"));
        }
        variant
    }

    /// A discriminated object, required.
    pub fn required_discriminated<T: Default>(
        &mut self,
        name: &'static str,
        tag: &'static str,
        kinds: impl IntoIterator<Item = &'static str>,
        read: impl FnMut(&str, &mut ObjectReader<'a>) -> Option<T>,
    ) -> T {
        self.required(name, "object", |reader| reader.optional_discriminated(name, tag, kinds, read))
    }
}

/// One kind of a discriminated object, if it belongs there.
fn describe_kind<'a, T>(
    tag: &'static str,
    kind: &str,
    read: impl FnOnce(&mut ObjectReader<'a>) -> Option<T>,
) -> Option<Value> {
    let (placeholder, schema) = shape::describe(|reader| {
        reader.describes(tag, || json!({"const": kind}));
        reader.describes_required(tag);
        read(reader)
    });
    placeholder.map(|_| schema)
}
