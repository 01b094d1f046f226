//! The Markdown in which our guides are written, as blocks that templates can show: headings, paragraphs, lists, tables and
//! code. Nothing of it becomes markup by itself. Pure.

/// A part of a guide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    Heading {
        /// Whether it stands below another one.
        is_inner: bool,
        text: String,
        id: String,
        /// What the part says down to the next heading, in lower case.
        words: String,
    },
    Paragraph(Vec<Span>),
    List(Vec<Vec<Span>>),
    Table {
        head: Vec<Vec<Span>>,
        rows: Vec<Vec<Vec<Span>>>,
    },
    Code(String),
}

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    Text(String),
    Code(String),
    Strong(String),
    Link { text: String, href: String },
}

/// Reads a guide; its first heading is the title, which pages show themselves.
pub fn read(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        let end = end_of_block(&lines, at);
        let part = &lines[at..end];
        if !lines[at].starts_with('#') {
            note_words(&mut blocks, part);
        }
        blocks.extend(read_block(part));
        at = end;
    }
    blocks
}

/// Where the block ends that begins at a line.
fn end_of_block(lines: &[&str], at: usize) -> usize {
    let first = lines[at];
    let rest = &lines[at + 1..];
    let length = if first.starts_with("```") {
        rest.iter().position(|line| line.starts_with("```")).map_or(rest.len(), |end| end + 1)
    } else if first.starts_with('#') || first.trim().is_empty() {
        0
    } else if first.starts_with('|') {
        rest.iter().position(|line| !line.starts_with('|')).unwrap_or(rest.len())
    } else {
        let is_list = item_of(first).is_some();
        let is_over = |line: &&str| {
            line.trim().is_empty() || begins_block(line) || (!is_list && item_of(line).is_some())
        };
        rest.iter().position(is_over).unwrap_or(rest.len())
    };
    at + 1 + length
}

fn begins_block(line: &str) -> bool {
    line.starts_with("```") || line.starts_with('#') || line.starts_with('|')
}

/// What follows the mark of a list item.
fn item_of(line: &str) -> Option<&str> {
    let numbered =
        || line.split_once(". ").filter(|(number, _)| number.parse::<u8>().is_ok()).map(|(_, rest)| rest);
    line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).or_else(numbered)
}

fn read_block(lines: &[&str]) -> Option<Block> {
    let first = lines[0];
    if first.starts_with("```") {
        let inner = lines[1..].strip_suffix(&["```"]).unwrap_or(&lines[1..]);
        return Some(Block::Code(inner.join("\n")));
    }
    if first.starts_with('#') {
        let text = first.trim_start_matches('#').trim().replace('`', "");
        let level = first.len() - first.trim_start_matches('#').len();
        let id = slug(&text);
        return (level > 1).then(|| Block::Heading { is_inner: level > 2, text, id, words: String::new() });
    }
    if first.starts_with('|') {
        let mut rows = lines.iter().map(|line| cells(line));
        let head = rows.next().unwrap_or_default();
        return Some(Block::Table { head, rows: rows.skip(1).collect() });
    }
    if first.trim().is_empty() {
        return None;
    }
    if item_of(first).is_none() {
        return Some(Block::Paragraph(spans(&lines.join(" "))));
    }
    let mut items: Vec<String> = Vec::new();
    for line in lines {
        match (item_of(line), items.last_mut()) {
            (Some(item), _) => items.push(item.to_owned()),
            (None, Some(last)) => *last = format!("{last} {}", line.trim()),
            (None, None) => {}
        }
    }
    Some(Block::List(items.iter().map(|item| spans(item)).collect()))
}

/// Adds what a block says to the heading above it.
fn note_words(blocks: &mut [Block], lines: &[&str]) {
    let heading = blocks.iter_mut().rev().find_map(|block| match block {
        Block::Heading { words, .. } => Some(words),
        _ => None,
    });
    if let Some(words) = heading {
        words.push_str(&lines.join(" ").to_lowercase());
        words.push(' ');
    }
}

/// The anchor of a heading, as the usual readers of Markdown make it.
fn slug(text: &str) -> String {
    let kept = text
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect::<String>();
    kept.replace(' ', "-")
}

fn cells(line: &str) -> Vec<Vec<Span>> {
    // An escaped stroke is part of a cell.
    const STROKE: &str = "\u{0}";
    let line = line.trim().replace("\\|", STROKE);
    let inner = line.strip_prefix('|').unwrap_or(&line);
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    inner.split('|').map(|cell| spans(&cell.trim().replace(STROKE, "|"))).collect()
}

/// The pieces of a text.
fn spans(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((span, left)) = marked(rest) {
            if !plain.is_empty() {
                spans.push(Span::Text(std::mem::take(&mut plain)));
            }
            spans.push(span);
            rest = left;
        } else {
            plain.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    if !plain.is_empty() {
        spans.push(Span::Text(plain));
    }
    spans
}

/// The marked piece with which a text begins, and what follows it.
fn marked(text: &str) -> Option<(Span, &str)> {
    if let Some(inner) = text.strip_prefix('`') {
        let (code, left) = inner.split_once('`')?;
        return Some((Span::Code(code.to_owned()), left));
    }
    if let Some(inner) = text.strip_prefix("**") {
        let (strong, left) = inner.split_once("**")?;
        return Some((Span::Strong(strong.replace('`', "")), left));
    }
    if let Some(inner) = text.strip_prefix('*') {
        let (emphasized, left) = inner.split_once('*')?;
        let is_one = !emphasized.is_empty() && !emphasized.starts_with(' ') && !emphasized.ends_with(' ');
        return is_one.then(|| (Span::Text(emphasized.to_owned()), left));
    }
    let (name, left) = text.strip_prefix('[')?.split_once("](")?;
    let (href, left) = left.split_once(')')?;
    let is_one = !name.contains(['[', ']']);
    is_one.then(|| (Span::Link { text: name.replace('`', ""), href: href.to_owned() }, left))
}

#[cfg(test)]
impl Block {
    /// The anchor of a heading.
    pub fn id(&self) -> Option<&str> {
        match self {
            Block::Heading { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Where its links lead.
    pub fn links(&self) -> Vec<&str> {
        let spans: Vec<&Span> = match self {
            Block::Paragraph(spans) => spans.iter().collect(),
            Block::List(items) => items.iter().flatten().collect(),
            Block::Table { head, rows } => head.iter().chain(rows.iter().flatten()).flatten().collect(),
            Block::Heading { .. } | Block::Code(_) => Vec::new(),
        };
        let links = spans.into_iter().filter_map(|span| match span {
            Span::Link { href, .. } => Some(href.as_str()),
            _ => None,
        });
        links.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Span {
        Span::Text(text.to_owned())
    }

    #[test]
    fn a_guide_becomes_blocks() {
        let guide = "# Title\n\nOne *two*\nthree.\n\n## `a`: B, c\n\n* one\n  more\n* [two](#a-b-c) **x**\n\n```yaml\n# no heading\n\nb\n```\n\
                     | K | V |\n| --- | --- |\n| `a \\|\\| b` | <b> |\n### In\n";
        let blocks = read(guide);
        let heading = |is_inner, text: &str, id: &str, words: &str| Block::Heading {
            is_inner,
            text: text.to_owned(),
            id: id.to_owned(),
            words: words.to_owned(),
        };
        let words = "* one   more * [two](#a-b-c) **x**  ```yaml # no heading  b ``` | k | v | | --- | --- | | `a \\|\\| b` | <b> | ";
        let link = Span::Link { text: "two".to_owned(), href: "#a-b-c".to_owned() };
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut blocks = blocks.into_iter();
        assert_eq!(blocks.next(), Some(Block::Paragraph(vec![text("One "), text("two"), text(" three.")])));
        let Some(Block::Heading { words: found, text: title, id, is_inner: false }) = blocks.next() else {
            panic!("a heading")
        };
        assert_eq!((title.as_str(), id.as_str(), squeeze(&found)), ("a: B, c", "a-b-c", squeeze(words)));
        let rest: Vec<Block> = blocks.collect();
        let expected = [
            Block::List(vec![vec![text("one more")], vec![link, text(" "), Span::Strong("x".to_owned())]]),
            Block::Code("# no heading\n\nb".to_owned()),
            Block::Table {
                head: vec![vec![text("K")], vec![text("V")]],
                rows: vec![vec![vec![Span::Code("a || b".to_owned())], vec![text("<b>")]]],
            },
            heading(true, "In", "in", ""),
        ];
        assert_eq!(rest, expected);
    }

    #[test]
    fn what_is_not_closed_stays_text() {
        for odd in ["a ` b", "2 * 3 * 4", "[a] (b)", "**x", "[a](b"] {
            let found: String = spans(odd)
                .into_iter()
                .map(|span| match span {
                    Span::Text(text) => text,
                    other => panic!("{odd}: {other:?}"),
                })
                .collect();
            assert_eq!(found, odd);
        }
    }
}
