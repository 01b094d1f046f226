//! Addresses: pages for people, and where credentials are sent.

use serde_json::Value;
use url::Url;

use super::note::{Entry, Notes};

const PAGES: [&str; 3] = ["docs", "docs_connect", "setup_guide_url"];
const ADDRESSES: [&str; 6] =
    ["authorization_url", "token_url", "refresh_url", "request_url", "registration_url", "access_token_url"];

pub(super) fn check(entry: &Entry<'_>, notes: &mut Notes) {
    for page in PAGES {
        if let Some(text) = entry.text(&[page]) {
            check_page(page, text, notes);
        }
    }
    for name in ADDRESSES {
        match entry.at(&[name]) {
            Some(Value::String(text)) => check_address(&[name], text, notes),
            Some(Value::Object(members)) => {
                for (mode, text) in members.iter().filter_map(|(mode, text)| Some((mode, text.as_str()?))) {
                    check_address(&[name, mode], text, notes);
                }
            }
            _ => {}
        }
    }
    for path in [&["proxy", "base_url"][..], &["proxy", "verification", "base_url_override"]] {
        if let Some(text) = entry.text(path) {
            check_address(path, text, notes);
        }
    }
}

fn check_page(page: &str, text: &str, notes: &mut Notes) {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.has_host() => {}
        Ok(url) if url.scheme() == "http" && url.has_host() => {
            notes.warn("docs-link", &[page], "the page is not read over https", "Use the https address.");
        }
        _ => {
            let message = format!("`{text}` is no address of a page");
            notes.warn("docs-link", &[page], message, "Write a whole address: https://...");
        }
    }
}

fn check_address(path: &[&str], text: &str, notes: &mut Notes) {
    // A fallback has two sides; each is an address.
    for side in text.split("||").map(str::trim) {
        if side.starts_with("http://") && !is_this_machine(side) {
            let message = "credentials would go to this address in clear text";
            notes.warn(
                "insecure-url",
                path,
                message,
                "Use https, unless the service is on your own network.",
            );
        }
        let has_scheme =
            side.starts_with("https://") || side.starts_with("http://") || side.starts_with("${");
        if !has_scheme {
            let message = format!("`{side}` does not begin like an address");
            notes.warn(
                "not-a-url",
                path,
                message,
                "Begin with https:// or with a placeholder for the whole address.",
            );
        }
    }
}

fn is_this_machine(address: &str) -> bool {
    ["http://localhost", "http://127.0.0.1", "http://[::1]"].iter().any(|local| {
        address.strip_prefix(local).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '?']))
    })
}
