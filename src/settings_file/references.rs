//! `${NAME}` in texts of a settings file: the value of a variable of the process. `$${` stands for `${` itself. Pure.

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Plain(&'t str),
    Reference(&'t str),
}

/// Replaces every reference by what `find` says.
///
/// # Errors
/// A sentence for each reference that cannot be used.
pub fn resolve(
    text: &str,
    find: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<String, Vec<String>> {
    let mut resolved = String::new();
    let mut problems = Vec::new();
    for piece in split(text).map_err(|problem| vec![problem])? {
        match piece {
            Piece::Plain(plain) => resolved.push_str(plain),
            Piece::Reference(name) => match find(name) {
                Ok(value) => resolved.push_str(&value),
                Err(problem) => problems.push(problem),
            },
        }
    }
    if problems.is_empty() { Ok(resolved) } else { Err(problems) }
}

/// The text that [`resolve`] turns into this one.
pub fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

fn split(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            // The dollar before stands for nothing but this.
            pieces.push(Piece::Plain(&rest[..at - 1]));
            pieces.push(Piece::Plain("${"));
            rest = &rest[at + 2..];
            continue;
        }
        let name = rest[at + 2..].split('}').next().unwrap_or_default();
        if !is_name(name) || !rest[at + 2 + name.len()..].starts_with('}') {
            return Err("`${` starts a reference such as `${CLIENT_SECRET}`; write `$${` for the characters themselves".into());
        }
        pieces.push(Piece::Plain(&rest[..at]));
        pieces.push(Piece::Reference(name));
        rest = &rest[at + 2 + name.len() + 1..];
    }
    pieces.push(Piece::Plain(rest));
    Ok(pieces)
}

fn is_name(text: &str) -> bool {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Vec<String>> {
        resolve(text, &mut |name| match name {
            "A" => Ok("1".to_owned()),
            "NESTED" => Ok("${A}".to_owned()),
            _ => Err(format!("no {name}")),
        })
    }

    #[test]
    fn references_are_replaced_once() {
        for (text, expected) in [
            ("", ""),
            ("plain $5 {x} $$", "plain $5 {x} $$"),
            ("${A}", "1"),
            ("a${A}b${A}", "a1b1"),
            ("${NESTED}", "${A}"),
            ("$${A}", "${A}"),
            ("x$${A} ${A}", "x${A} 1"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_bad_reference_is_told() {
        assert_eq!(read("${B} ${A} ${C}"), Err(vec!["no B".to_owned(), "no C".to_owned()]));
        for text in ["${", "${}", "${A", "${a b}", "${1}", "x ${A-b}"] {
            assert_eq!(read(text).map_err(|problems| problems.len()), Err(1), "{text}");
        }
    }

    #[test]
    fn an_escaped_text_comes_back() {
        for text in ["${A}", "$", "a ${ b", "$${A}", "${A}${B}"] {
            assert_eq!(read(&escape(text)).as_deref(), Ok(text), "{text}");
        }
    }
}
