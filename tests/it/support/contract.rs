//! Every answer that a test gets is compared with the OpenAPI document: its status, code, media type and shape. Bodies that
//! the server accepted are compared with it too, so the document cannot promise less or more than the server does.

use std::collections::HashMap;
use std::sync::LazyLock;

use hitchpost::api::openapi::{Operation, document, operations};
use serde_json::Value;

use super::client::Reply;
use super::schema::problems;

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(operations);

/// A request as it was sent.
pub struct Sent<'r> {
    pub method: &'r str,
    /// With the query.
    pub target: &'r str,
    pub content_type: &'r str,
    pub body: &'r [u8],
}

/// The operation that answers a method and path; `None` for those that are not in the document.
pub fn find_operation(method: &str, target: &str) -> Option<&'static Operation> {
    let method = if method == "HEAD" { "GET" } else { method };
    let path = target.split('?').next().unwrap_or_default();
    let parameters = |operation: &&Operation| operation.path.matches('{').count();
    let fitting = || OPERATIONS.iter().filter(|operation| fits(operation.path, path));
    // A literal goes before a parameter, whatever the method.
    let fewest = fitting().map(|operation| parameters(&operation)).min()?;
    let is_meant = |operation: &&Operation| operation.method.eq_ignore_ascii_case(method);
    fitting().filter(is_meant).find(|operation| parameters(operation) == fewest)
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(segment), Some(_)) if segment.starts_with("{*") => return true,
            (Some(wanted), Some(given))
                if wanted == given || (wanted.starts_with('{') && !given.is_empty()) => {}
            _ => return false,
        }
    }
}

/// Panics when the answer is not one that the document has for the request.
pub fn check_answer(sent: &Sent<'_>, reply: &Reply) {
    let Some(operation) = find_operation(sent.method, sent.target) else { return };
    let described = &document()["paths"][operation.document_path()][operation.method];
    let status = reply.status.as_u16();
    let what = format!("{} {} answered {status}", sent.method, sent.target);
    let code = reply.header("x-hitchpost-error");
    let is_forwarded = code.is_none() && described["responses"].get("default").is_some();
    if is_forwarded {
        return;
    }
    if let Some(code) = code {
        let declared = operation.refusals.get(&status).is_some_and(|codes| codes.contains(&code));
        assert!(declared, "{what} {code}, which the document does not have: {}", reply.text());
    }
    let response = described["responses"].get(status.to_string());
    let response = response.unwrap_or_else(|| panic!("{what}, which the document does not have"));
    check_headers(response, reply, &what);
    check_content(response, reply, &what);
    if reply.status.is_success() {
        check_accepted(described, sent);
    }
}

fn check_headers(response: &Value, reply: &Reply, what: &str) {
    for name in response["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        assert!(reply.headers.contains_key(name.as_str()), "{what} without {name}");
    }
}

fn check_content(response: &Value, reply: &Reply, what: &str) {
    let Some(content_type) = reply.header("content-type") else { return };
    let media_type = content_type.split(';').next().unwrap_or_default();
    let described = response["content"].get(media_type);
    let described = described.unwrap_or_else(|| panic!("{what} with {content_type}: {}", reply.text()));
    let is_readable = reply.header("content-encoding").is_none() && !reply.body.is_empty();
    if media_type == "application/json" && is_readable {
        let found = problems(document(), &described["schema"], &reply.json());
        assert!(found.is_empty(), "{what} with another shape: {found:#?}\n{}", reply.text());
    }
}

/// What the server took must be what the document says that it takes.
fn check_accepted(described: &Value, sent: &Sent<'_>) {
    if !sent.content_type.starts_with("application/json") {
        return;
    }
    let Some(schema) = described["requestBody"]["content"].get("application/json") else { return };
    let Ok(body) = serde_json::from_slice(sent.body) else { return };
    let found = problems(document(), &schema["schema"], &body);
    assert!(found.is_empty(), "{} {} accepted {body}: {found:#?}", sent.method, sent.target);
}

/// Every code that the document declares, with its statuses.
pub fn declared_codes() -> HashMap<&'static str, Vec<u16>> {
    let mut declared: HashMap<&str, Vec<u16>> = HashMap::new();
    for (status, codes) in OPERATIONS.iter().flat_map(|operation| &operation.refusals) {
        for code in codes {
            let statuses = declared.entry(code).or_default();
            if !statuses.contains(status) {
                statuses.push(*status);
            }
        }
    }
    declared
}
