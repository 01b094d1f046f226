//! Query strings and form bodies as trees (`http-api` section 1.5): repeated names make lists, brackets make lists and
//! objects. Called by extractors; the readers judge the tree afterwards. Accepts any bytes and never fails: what cannot be
//! understood becomes a literal name or is left out.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use percent_encoding::percent_decode;
use serde_json::Value;

/// Further parameters are ignored.
const MAX_PARAMETERS: usize = 1000;
/// One more value turns the list into an object, which no list or text rule accepts.
const MAX_LIST_VALUES: usize = 100;
/// Brackets below this depth collapse into one literal name.
const MAX_BRACKETS: usize = 5;

// Wire: a parameter with one of these names at any level is left out, whatever its value.
const BUILTIN_MEMBERS: [&str; 12] = [
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// Parses a query string (without `?`) or an `application/x-www-form-urlencoded` body into an object whose leaves are texts.
pub fn parse_query(text: &[u8]) -> Value {
    let mut root = Members::new();
    for parameter in text.split(|byte| *byte == b'&').filter(|part| !part.is_empty()).take(MAX_PARAMETERS) {
        let (name, value) = split_parameter(parameter);
        let segments = split_name(&decode(name));
        if let [first, rest @ ..] = &segments[..]
            && !segments.iter().any(|segment| BUILTIN_MEMBERS.contains(&segment.as_str()))
        {
            let first = if first.is_empty() { "0" } else { first };
            let slot = root.entry(first.to_owned()).or_default();
            *slot = std::mem::take(slot).with(rest, decode(value));
        }
    }
    Node::Object(root).into_value()
}

/// Splits at the `=` after the name; one inside brackets belongs to the name (`a[x=y]=z`).
fn split_parameter(parameter: &[u8]) -> (&[u8], &[u8]) {
    let Some(first) = find(parameter, b"=") else { return (parameter, b"") };
    let name = &parameter[..first];
    let opens_bracket =
        name.iter().rposition(|byte| *byte == b'[').is_some_and(|open| !name[open..].contains(&b']'));
    let end = if opens_bracket { find(parameter, b"]=").map_or(first, |close| close + 1) } else { first };
    (&parameter[..end], &parameter[end + 1..])
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn decode(text: &[u8]) -> String {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).decode_utf8_lossy().into_owned()
}

/// `a[b][]` becomes `["a", "b", ""]`; unbalanced brackets are literal, text between or after brackets is ignored. Empty for
/// an empty name.
fn split_name(name: &str) -> Vec<String> {
    let Some((start, _)) = next_bracket(name, 0) else {
        return if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
    };
    let mut segments = Vec::new();
    if start > 0 {
        segments.push(name[..start].to_owned());
    }
    let mut from = start;
    let mut brackets = 0;
    while let Some((open, close)) = next_bracket(name, from) {
        if brackets == MAX_BRACKETS {
            segments.push(name[open..].to_owned());
            break;
        }
        segments.push(name[open + 1..close].to_owned());
        brackets += 1;
        from = close + 1;
    }
    segments
}

/// The places of the next `[` and the `]` that closes it with no other bracket between.
fn next_bracket(name: &str, from: usize) -> Option<(usize, usize)> {
    let close = from + name.get(from..)?.find('[')?;
    let mut open = close;
    for (offset, character) in name[close..].char_indices() {
        match character {
            '[' => open = close + offset,
            ']' => return Some((open, close + offset)),
            _ => {}
        }
    }
    None
}

/// A value while it grows.
#[derive(Default)]
enum Node {
    #[default]
    Vacant,
    Text(String),
    /// Sparse: the gaps of `a[7]=x` close at the end.
    List(Items),
    Object(Members),
}

type Items = BTreeMap<usize, Node>;
type Members = IndexMap<String, Node>;

/// Where in a list a bracket points.
enum Place {
    /// `[]`
    Next,
    /// `[7]`
    At(usize),
}

impl Node {
    fn with(self, segments: &[String], text: String) -> Self {
        match (segments, self) {
            ([], node) => node.with_text(text),
            ([name, rest @ ..], Self::Object(members)) => Self::with_member(members, name, rest, text),
            ([segment, rest @ ..], node) => match list_place(segment) {
                Some(place) => Self::with_item(node.into_items(), place, rest, text),
                None => Self::with_member(node.into_members(), segment, rest, text),
            },
        }
    }

    fn with_text(self, text: String) -> Self {
        match self {
            Self::Vacant => Self::Text(text),
            // Wire: a plain value beside bracketed ones becomes a member name.
            Self::Object(mut members) => {
                members.entry(text).or_insert_with(|| Self::Text(String::new()));
                Self::Object(members)
            }
            node => Self::with_item(node.into_items(), Place::Next, &[], text),
        }
    }

    fn with_member(mut members: Members, name: &str, rest: &[String], text: String) -> Self {
        let name = if name.is_empty() { members.len().to_string() } else { name.to_owned() };
        let slot = members.entry(name).or_default();
        *slot = std::mem::take(slot).with(rest, text);
        Self::Object(members)
    }

    fn with_item(mut items: Items, place: Place, rest: &[String], text: String) -> Self {
        let end = items.last_key_value().map_or(0, |(last, _)| last + 1);
        let place = match place {
            Place::Next if rest.is_empty() => end,
            Place::Next => 0,
            Place::At(place) if rest.is_empty() && items.contains_key(&place) => end,
            Place::At(place) => place,
        };
        let slot = items.entry(place).or_default();
        *slot = std::mem::take(slot).with(rest, text);
        if items.len() > MAX_LIST_VALUES { Self::Object(named_by_index(items)) } else { Self::List(items) }
    }

    fn into_items(self) -> Items {
        match self {
            Self::Vacant => Items::new(),
            Self::List(items) => items,
            other => Items::from([(0, other)]),
        }
    }

    fn into_members(self) -> Members {
        match self {
            Self::Vacant => Members::new(),
            Self::Object(members) => members,
            Self::List(items) => named_by_index(items),
            Self::Text(text) => Members::from([(text, Self::Text(String::new()))]),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Vacant => Value::Null,
            Self::Text(text) => Value::String(text),
            Self::List(items) => items.into_values().map(Self::into_value).collect(),
            Self::Object(members) => {
                members.into_iter().map(|(name, node)| (name, node.into_value())).collect()
            }
        }
    }
}

fn named_by_index(items: Items) -> Members {
    items.into_iter().map(|(index, item)| (index.to_string(), item)).collect()
}

/// Indexes from the list limit on are member names.
fn list_place(segment: &str) -> Option<Place> {
    if segment.is_empty() {
        return Some(Place::Next);
    }
    let index: usize = segment.parse().ok()?;
    (index < MAX_LIST_VALUES && index.to_string() == segment).then_some(Place::At(index))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Value {
        parse_query(text.as_bytes())
    }

    #[test]
    fn parameters_become_texts_lists_and_objects() {
        let cases = [
            ("", json!({})),
            ("&&", json!({})),
            ("=x", json!({})),
            ("a=1", json!({"a": "1"})),
            ("a=1&b=2", json!({"a": "1", "b": "2"})),
            ("x", json!({"x": ""})),
            ("x=", json!({"x": ""})),
            ("x=a=b", json!({"x": "a=b"})),
            ("a.b=1", json!({"a.b": "1"})),
            ("a=b;c=d", json!({"a": "b;c=d"})),
            // lists
            ("a=1&a=2", json!({"a": ["1", "2"]})),
            ("a[]=1&a[]=2", json!({"a": ["1", "2"]})),
            ("a[]=1", json!({"a": ["1"]})),
            ("a[]", json!({"a": [""]})),
            ("a[0]=1&a[1]=2", json!({"a": ["1", "2"]})),
            ("a[1]=2&a[0]=1", json!({"a": ["1", "2"]})),
            ("a[7]=x&a[3]=y", json!({"a": ["y", "x"]})),
            ("a=1&a[]=2", json!({"a": ["1", "2"]})),
            ("a[]=1&a=2", json!({"a": ["1", "2"]})),
            ("a[0]=1&a[0]=2", json!({"a": ["1", "2"]})),
            ("a[99]=x", json!({"a": ["x"]})),
            ("a[100]=x", json!({"a": {"100": "x"}})),
            ("a[01]=x", json!({"a": {"01": "x"}})),
            ("a[-1]=x", json!({"a": {"-1": "x"}})),
            ("a[99999999999999999999999]=x", json!({"a": {"99999999999999999999999": "x"}})),
            // objects
            ("tags[plan]=pro&tags[seat]=7", json!({"tags": {"plan": "pro", "seat": "7"}})),
            ("tags%5Bplan%5D=pro", json!({"tags": {"plan": "pro"}})),
            ("tags%5bplan%5d=pro", json!({"tags": {"plan": "pro"}})),
            ("params[sub%20domain]=a%2Fb", json!({"params": {"sub domain": "a/b"}})),
            ("params%5Bsub+domain%5D=a%2Fb", json!({"params": {"sub domain": "a/b"}})),
            ("a[b][c]=1&a[b][d]=2", json!({"a": {"b": {"c": "1", "d": "2"}}})),
            ("a[0][b]=1&a[0][c]=2&a[1][b]=3", json!({"a": [{"b": "1", "c": "2"}, {"b": "3"}]})),
            ("a[][b]=1&a[][c]=2", json!({"a": [{"b": "1", "c": "2"}]})),
            ("a[x=y]=z", json!({"a": {"x=y": "z"}})),
            ("a=[b]=c", json!({"a": "[b]=c"})),
            ("[a]=1", json!({"a": "1"})),
            ("[]=1", json!({"0": "1"})),
            // mixtures
            ("a[0]=1&a[b]=2", json!({"a": {"0": "1", "b": "2"}})),
            ("a[b]=2&a[0]=1", json!({"a": {"b": "2", "0": "1"}})),
            ("a[b]=1&a[]=2", json!({"a": {"b": "1", "1": "2"}})),
            ("a[b]=1&a=c", json!({"a": {"b": "1", "c": ""}})),
            ("a=c&a[b]=1", json!({"a": {"c": "", "b": "1"}})),
            // unbalanced brackets
            ("a[b=c", json!({"a[b": "c"})),
            ("a]b=c", json!({"a]b": "c"})),
            ("a[b[c]=x", json!({"a[b": {"c": "x"}})),
            ("a[b]c[d]e=x", json!({"a": {"b": {"d": "x"}}})),
            // depth
            ("a[b][c][d][e][f]=x", json!({"a": {"b": {"c": {"d": {"e": {"f": "x"}}}}}})),
            ("a[b][c][d][e][f][g][h]=x", json!({"a": {"b": {"c": {"d": {"e": {"f": {"[g][h]": "x"}}}}}}})),
            // decoding
            ("q=a+b%20c%2Bd", json!({"q": "a b c+d"})),
            ("q=100%&r=%zz&s=%4", json!({"q": "100%", "r": "%zz", "s": "%4"})),
            ("q=%C3%A9", json!({"q": "\u{e9}"})),
            ("q=%ff", json!({"q": "\u{fffd}"})),
            ("q=%00", json!({"q": "\u{0}"})),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn names_of_builtin_members_are_left_out_at_every_level() {
        for name in BUILTIN_MEMBERS {
            for text in [
                format!("{name}=1"),
                format!("a[{name}]=1"),
                format!("a[b][{name}][c]=1"),
                format!("{name}[a]=1"),
            ] {
                assert_eq!(parse(&format!("{text}&x=y")), json!({"x": "y"}), "{text}");
            }
        }
    }

    #[test]
    fn parameters_beyond_a_thousand_are_ignored() {
        let text: String = (0..1200).map(|number| format!("k{number}=v&")).collect();
        let Value::Object(members) = parse(&text) else { panic!("not an object") };
        assert_eq!((members.len(), members.contains_key("k999")), (1000, true));
    }

    #[test]
    fn the_hundred_and_first_value_makes_the_list_invalid() {
        for name in ["a", "a[]"] {
            let values = |count: usize| parse(&format!("{name}=v&").repeat(count))["a"].take();
            assert_eq!(values(100).as_array().map(Vec::len), Some(100), "{name}");
            assert!(values(101).is_object(), "{name}");
            assert!(values(500).is_object(), "{name}");
        }
    }

    #[test]
    fn any_bytes_give_an_object() {
        // A fixed pseudo-random walk over the bytes that mean something, and over all others.
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize
        };
        for _ in 0..5_000 {
            let length = next() % 40;
            let special = b"[]=&%+a0\xff\xc3.";
            let text: Vec<u8> = (0..length)
                .map(|_| if next() % 8 == 0 { next() as u8 } else { special[next() % special.len()] })
                .collect();
            assert!(parse_query(&text).is_object(), "{text:?}");
        }
    }
}
