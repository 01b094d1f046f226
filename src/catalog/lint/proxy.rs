//! The `proxy` section: header names, retry hints, pagination and the verification of credentials.

use http::HeaderName;
use regex::Regex;
use serde_json::Value;

use super::note::{Entry, Notes};
use crate::auth::AuthMode;

pub(super) fn check(entry: &Entry<'_>, notes: &mut Notes) {
    check_headers(entry, notes);
    check_retry(entry, notes);
    check_in_body(entry, notes);
    check_paginate(entry, notes);
    check_verification(entry, notes);
}

fn check_headers(entry: &Entry<'_>, notes: &mut Notes) {
    for path in [&["proxy", "headers"][..], &["proxy", "verification", "headers"], &["token_headers"]] {
        for (name, _) in entry.members(path) {
            check_header(&[path, &[name.as_str()]].concat(), name, path[0] == "proxy", notes);
        }
    }
    for key in ["at", "after"] {
        let path = ["proxy", "retry", key];
        let one = entry.text(&path);
        for name in entry.texts(&path).chain(one) {
            check_header(&path, name, true, notes);
        }
    }
    if let Some(name) = entry.text(&["proxy", "retry", "remaining"]) {
        check_header(&["proxy", "retry", "remaining"], name, true, notes);
    }
}

fn check_header(path: &[&str], name: &str, is_lower: bool, notes: &mut Notes) {
    if name.parse::<HeaderName>().is_err() {
        let message = format!("`{name}` is no name of a header");
        notes.warn("header-name", path, message, "Use letters, digits, `-`, `_` and `.`.");
    } else if is_lower && name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        notes.warn(
            "header-name",
            path,
            format!("`{name}` has capitals"),
            "Write header names in lower case.",
        );
    }
}

fn check_retry(entry: &Entry<'_>, notes: &mut Notes) {
    let has = |key| entry.at(&["proxy", "retry", key]).is_some();
    if has("at") && has("after") {
        let message = "`after` is not looked at, because `at` is there";
        notes.warn("retry", &["proxy", "retry", "after"], message, "Keep the one that the API really sends.");
    }
    let is_empty = entry.members(&["proxy", "retry"]).next().is_none();
    if entry.at(&["proxy", "retry"]).is_some() && is_empty {
        notes.warn("retry", &["proxy", "retry"], "the section says nothing", "Leave it out.");
    }
}

fn check_in_body(entry: &Entry<'_>, notes: &mut Notes) {
    let path = ["proxy", "retry", "in_body", "value"];
    let Some(text) = entry.text(&path) else { return };
    let bare = text.strip_prefix('/').unwrap_or(text);
    match Regex::new(bare.strip_suffix('/').unwrap_or(bare)) {
        Err(_) => {
            notes.warn(
                "retry",
                &path,
                "the pattern is no regular expression",
                "Without it nothing is read from bodies.",
            );
        }
        Ok(pattern) if pattern.captures_len() < 2 => {
            notes.warn(
                "retry",
                &path,
                "the pattern captures nothing",
                "Put the time to read in parentheses.",
            );
        }
        Ok(_) => {}
    }
}

fn check_paginate(entry: &Entry<'_>, notes: &mut Notes) {
    let path = ["proxy", "paginate"];
    let has = |key: &str| entry.text(&["proxy", "paginate", key]).is_some();
    let missing = match entry.text(&["proxy", "paginate", "type"]) {
        Some("cursor") if !has("cursor_path_in_response") || !has("cursor_name_in_request") => {
            "`cursor_path_in_response` and `cursor_name_in_request`"
        }
        Some("offset") if !has("offset_name_in_request") => "`offset_name_in_request`",
        Some("link") if !has("link_rel_in_response_header") && !has("link_path_in_response_body") => {
            "`link_rel_in_response_header` or `link_path_in_response_body`"
        }
        None if entry.at(&path).is_some() => "a `type`",
        _ => return,
    };
    let advice = "Without it every caller has to give it.";
    notes.warn("paginate", &path, format!("this kind of pagination needs {missing}"), advice);
}

fn check_verification(entry: &Entry<'_>, notes: &mut Notes) {
    let path = ["proxy", "verification"];
    if entry.at(&path).is_none() {
        return;
    }
    let endpoints = ["proxy", "verification", "endpoints"];
    if entry.texts(&endpoints).next().is_none() {
        let advice = "Name a cheap call that only good credentials can make, for example /v1/me.";
        notes.warn("verification", &path, "there is no endpoint, so credentials are taken untested", advice);
    }
    for endpoint in entry.texts(&endpoints).filter(|endpoint| !endpoint.starts_with(['/', '$'])) {
        let message = format!("`{endpoint}` does not begin with a slash");
        notes.warn("verification", &endpoints, message, "Endpoints are put behind the base URL.");
    }
    let is_run = matches!(
        entry.mode,
        Some(
            AuthMode::ApiKey
                | AuthMode::Basic
                | AuthMode::Tba
                | AuthMode::Jwt
                | AuthMode::Signature
                | AuthMode::InstallPlugin
        )
    );
    if let Some(mode) = entry.mode.filter(|_| !is_run) {
        let message = format!("{mode} never runs it: obtaining a token is taken as proof");
        notes.warn("verification", &path, message, "Leave it out.");
    }
    let is_get = entry.text(&["proxy", "verification", "method"]).is_none_or(|method| method == "GET");
    if is_get && entry.at(&["proxy", "verification", "data"]).is_some_and(|data| data != &Value::Null) {
        let message = "a GET has no body";
        notes.warn(
            "verification",
            &["proxy", "verification", "data"],
            message,
            "Add `method: POST`, or leave it out.",
        );
    }
}
