//! Mistakes in a settings file, told with file, line, place and advice. Pure.

use super::document::Document;
use crate::api::input::{Issue, IssueCode};
use crate::error::ApiError;

/// A mistake at one place of the file.
#[derive(Debug)]
pub struct Problem {
    path: Vec<String>,
    text: String,
}

impl Problem {
    pub fn new(path: &[&str], text: impl Into<String>) -> Self {
        Problem { path: path.iter().map(ToString::to_string).collect(), text: text.into() }
    }

    /// The mistakes that a refusal of the domain tells of.
    pub fn from_error(path: &[&str], error: &ApiError) -> Vec<Self> {
        let body = error.body();
        let Some(issues) = body["error"]["errors"].as_array() else {
            return vec![Problem::new(path, error.message())];
        };
        let text = |issue: &serde_json::Value| {
            let member = issue["path"].as_array().and_then(|path| path.last()?.as_str());
            format!("{} {}", member.unwrap_or_default(), issue["message"].as_str().unwrap_or_default())
        };
        issues.iter().map(|issue| Problem::new(path, text(issue).trim())).collect()
    }

    /// What is wrong, without its place.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The mistake as one line for people.
    pub fn show(&self, file: &str, document: &Document) -> String {
        show_at(file, document.line(&self.path), &self.path, &self.text)
    }
}

/// What the readers found, one mistake for each unknown member. `known` names the members that an object may have.
pub fn from_issue(
    issue: &Issue,
    known: impl Fn(&[String]) -> Option<&'static [&'static str]>,
) -> Vec<Problem> {
    let problem = |path: Vec<String>, text: String| Problem { path, text };
    if issue.code != IssueCode::UnrecognizedKeys {
        return vec![problem(issue.path.clone(), issue.message.clone())];
    }
    let names = issue.message.split_once(": ").map_or("", |(_, names)| names);
    let advice = match known(&issue.path) {
        Some(known) => format!("known here: {}", known.join(", ")),
        None => "is it misspelt?".to_owned(),
    };
    let unknown = names.split(", ").map(|name| {
        let mut path = issue.path.clone();
        path.push(name.to_owned());
        problem(path, format!("nobody knows this key; {advice}"))
    });
    unknown.collect()
}

/// `file:line: place: text`, as editors and people read it.
pub fn show_at(file: &str, line: Option<u64>, path: &[String], text: &str) -> String {
    let line = line.filter(|line| *line > 0).map(|line| format!(":{line}")).unwrap_or_default();
    let place = if path.is_empty() { String::new() } else { format!("{}: ", path.join(".")) };
    format!("{file}{line}: {place}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unknown_member_is_a_mistake_of_its_own() {
        let issue = Issue::new(IssueCode::UnrecognizedKeys, vec!["a".into()], "unknown keys: x, y");
        let problems = from_issue(&issue, |_| Some(&["b", "c"]));
        let shown: Vec<String> = problems.iter().map(|problem| problem.path.join(".")).collect();
        assert_eq!(shown, ["a.x", "a.y"]);
        assert_eq!(problems[0].text, "nobody knows this key; known here: b, c");
    }
}
