//! Every code of the error contract is produced by some test, or is said not to be. `error_codes.txt` is the contract; the
//! tests of this folder are the proof, because a code that they name in an assertion is one that they get.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::contract::declared_codes;

const TABLE: &str = include_str!("error_codes.txt");

struct Row {
    code: &'static str,
    /// `None`: the code has no status of its own, for example on a websocket.
    status: Option<u16>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Produced,
    Later,
    Never,
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(row).collect()
}

fn row(line: &'static str) -> Row {
    let columns: Vec<&str> = line.splitn(4, ' ').collect();
    let [_section, code, status, fate] = columns[..] else { panic!("not a row: {line}") };
    let fate = match fate.split(':').next() {
        Some("produced") => Fate::Produced,
        Some("later") => Fate::Later,
        Some("never") => Fate::Never,
        _ => panic!("not a fate: {line}"),
    };
    Row { code, status: (status != "-").then(|| status.parse().expect("a status")), fate }
}

#[test]
fn every_code_in_scope_is_produced_by_a_test() {
    // Tables of cases stand outside the functions that run them, so a file is read as a whole.
    let units = files("src", "rs").into_iter().map(|file| unit_tests_of(&file));
    let tests: Vec<String> = files("tests/it", "rs").iter().map(|file| text_of(file)).chain(units).collect();
    assert!(tests.len() > 30, "{} files", tests.len());
    let missing: Vec<String> = rows()
        .iter()
        .filter(|row| row.fate == Fate::Produced && !tests.iter().any(|test| produces(test, row)))
        .map(|row| format!("{} {:?}", row.code, row.status))
        .collect();
    assert!(missing.is_empty(), "no test gets: {missing:#?}");
}

/// Whether a test names the code, and the status beside it.
fn produces(test: &str, row: &Row) -> bool {
    let has_status = row.status.is_none_or(|status| test.contains(&status.to_string()));
    has_status && test.contains(&format!("\"{}\"", row.code))
}

/// The text of a file with tests; nothing of files that only help.
fn text_of(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source file");
    if text.contains("#[test]") { text } else { String::new() }
}

fn unit_tests_of(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source file");
    text.split_once("#[cfg(test)]").map(|(_, tests)| tests.to_owned()).unwrap_or_default()
}

#[test]
fn what_comes_later_is_not_there_yet() {
    let produced: BTreeSet<&str> =
        rows().iter().filter(|row| row.fate == Fate::Produced).map(|row| row.code).collect();
    let declared = declared_codes();
    for row in rows().iter().filter(|row| row.fate != Fate::Produced && !produced.contains(row.code)) {
        assert!(!declared.contains_key(row.code), "{} is in the OpenAPI document: it is produced", row.code);
    }
}

#[test]
fn the_document_declares_codes_of_the_contract_only() {
    let rows = rows();
    let known = |code: &str, status: u16| {
        rows.iter().any(|row| row.code == code && row.fate == Fate::Produced)
            && (STATUSES_OF_THE_ROUTE.contains(&code)
                || rows.iter().any(|row| row.code == code && row.status.is_none_or(|known| known == status)))
    };
    for (code, statuses) in declared_codes() {
        for status in statuses {
            assert!(known(code, status), "{code} {status} is not in the table");
        }
    }
}

/// Codes whose status is that of an inner failure, which tests cannot all cause.
const STATUSES_OF_THE_ROUTE: [&str; 8] = [
    "invalid_credentials",
    "server_error",
    // 500 when the operator wants upstream's statuses.
    "proxy_connect_failed",
    "proxy_dns_failed",
    "proxy_tls_failed",
    "proxy_timeout",
    "proxy_upstream_aborted",
    "proxy_too_many_redirects",
];

/// Every code that the server's own constructors name is in the table: a new code comes with its row.
#[test]
fn every_code_that_the_source_names_is_in_the_table() {
    let rows = rows();
    let constructors = [
        "ApiError::bad_request(",
        "ApiError::unauthorized(",
        "ApiError::invalid(",
        "PopupError::new(",
        "StatusCode::",
    ];
    // The demo provider answers as a provider does, not as this server.
    let own = files("src", "rs").into_iter().filter(|file| !file.ends_with("demo/answers.rs"));
    for file in own {
        let text = fs::read_to_string(&file).expect("a source file");
        let code_only = text.split("#[cfg(test)]").next().unwrap_or_default();
        for constructor in constructors {
            for (start, _) in code_only.match_indices(constructor) {
                let Some(code) = first_text(&code_only[start + constructor.len()..]) else { continue };
                let is_known = rows.iter().any(|row| row.code == code);
                assert!(is_known, "{} answers {code}, which has no row", file.display());
            }
        }
    }
}

/// The code that is the first or second argument, when it is written out.
fn first_text(arguments: &str) -> Option<&str> {
    let start = arguments.find(['"', ')', ';', '(', '{'])?;
    let text = arguments[start..].strip_prefix('"')?;
    let text = &text[..text.find('"')?];
    let is_code = text.contains('_') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_code.then_some(text)
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), extension, &mut found);
    found
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|given| given == extension) {
            found.push(path);
        }
    }
}
