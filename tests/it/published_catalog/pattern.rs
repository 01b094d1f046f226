//! Texts that fit the regular expressions of the catalog's forms. Knows what those use, and gives up on the rest.

use std::iter::Peekable;
use std::str::Chars;

/// A short text that should match `pattern`.
pub fn text_for(pattern: &str) -> Option<String> {
    let mut reader = Reader { rest: pattern.chars().peekable() };
    let text = reader.alternatives()?;
    reader.rest.next().is_none().then_some(text)
}

struct Reader<'p> {
    rest: Peekable<Chars<'p>>,
}

impl Reader<'_> {
    /// The first of `a|b|c`, up to the end of the group.
    fn alternatives(&mut self) -> Option<String> {
        let first = self.sequence()?;
        while self.rest.next_if_eq(&'|').is_some() {
            self.sequence()?;
        }
        Some(first)
    }

    fn sequence(&mut self) -> Option<String> {
        let mut text = String::new();
        while let Some(next) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let piece = match next {
                '^' | '$' => continue,
                '(' => self.group()?,
                '[' => self.class()?.to_string(),
                '\\' => escaped(self.rest.next()?).to_string(),
                '.' => "x".to_owned(),
                literal => literal.to_string(),
            };
            text.push_str(&piece.repeat(self.repetitions()?));
        }
        Some(text)
    }

    fn group(&mut self) -> Option<String> {
        if self.rest.next_if_eq(&'?').is_some() {
            // Only groups without a name are known; what looks ahead is not.
            self.rest.next_if_eq(&':')?;
        }
        let text = self.alternatives()?;
        self.rest.next_if_eq(&')').map(|_| text)
    }

    /// The first character of a class that begins no range that would be odd in a URL.
    fn class(&mut self) -> Option<char> {
        let is_negated = self.rest.next_if_eq(&'^').is_some();
        let mut members = Vec::new();
        loop {
            match self.rest.next()? {
                ']' if !members.is_empty() => break,
                '\\' => members.push(escaped(self.rest.next()?)),
                member => members.push(member),
            }
        }
        if is_negated { Some('x') } else { members.first().copied() }
    }

    fn repetitions(&mut self) -> Option<usize> {
        let count = match self.rest.peek() {
            Some('?' | '*') => 0,
            Some('+') => 1,
            Some('{') => return self.counted(),
            _ => return Some(1),
        };
        self.rest.next();
        Some(count)
    }

    fn counted(&mut self) -> Option<usize> {
        self.rest.next();
        let mut text = String::new();
        loop {
            match self.rest.next()? {
                '}' => break,
                part => text.push(part),
            }
        }
        text.split(',').next()?.parse().ok()
    }
}

fn escaped(letter: char) -> char {
    match letter {
        'd' => '1',
        'w' | 'S' => 'a',
        's' => ' ',
        other => other,
    }
}

#[test]
fn texts_fit_their_patterns() {
    for (pattern, expected) in [
        ("^(?:github_pat|ghp)_[A-Za-z0-9_]{3,255}$", Some("github_pat_AAA")),
        (r"^https?:\/\/[a-z0-9.-]+(:\d+)?(\/.*)?$", Some("http://a")),
        (r"^\d{10,19}$", Some("1111111111")),
        ("^[^@\\s]+@x$", Some("x@x")),
        ("^(?!a)b$", None),
    ] {
        assert_eq!(text_for(pattern).as_deref(), expected, "{pattern}");
    }
}
