//! TWO_STEP: every way in which a login fails, told in the provider's words and without a secret.

use std::sync::{Arc, Mutex};

use axum::response::Response;
use serde_json::{Value, json};

use super::Stage;
use crate::support::run;
use crate::support::target::{RawTarget, answer, ok_json};
use crate::support::{Case, check};

const PASSWORD: &str = "hunter2-\"quoted\"";

fn entry(extra: Value) -> Value {
    let mut entry = json!({
        "auth_mode": "TWO_STEP",
        "token_url": "TARGET/login",
        "token_params": {"user": "${credentials.user}", "password": "${credentials.password}"},
        "token_headers": {"authorization": "Basic ${base64(${credentials.user}:${credentials.password})}"},
        "token_response": {"token": "token"},
        "proxy": {"base_url": "TARGET"},
        "credentials": {"user": {}, "password": {"secret": true}},
        "connection_config": {"sub": {"optional": true}},
    });
    entry.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    entry
}

fn typed() -> Value {
    json!({"user": "ada", "password": PASSWORD})
}

#[track_caller]
fn has_no_secret(message: &str) {
    // Also as Basic authentication writes it.
    for secret in ["hunter2", "YWRhOmh1bnRlcjI", "made-up-token", "BEGIN"] {
        assert!(!message.contains(secret), "{message}");
    }
}

type Answer = fn() -> Response;

#[test]
fn failures_carry_the_words_of_the_provider() {
    run(async {
        const FETCH: &str = "two_step_credentials_fetch_error";
        const INVALID: &str = "invalid_two_step_credentials";
        const INCOMPLETE: &str = "incomplete_raw_credentials";
        let cases: [(&str, Answer, &str, &str); 13] = [
            (
                "an OAuth error",
                || {
                    answer(
                        400,
                        &[],
                        r#"{"error": "invalid_grant", "error_description": "no user with hunter2-\"quoted\""}"#,
                    )
                },
                FETCH,
                "400 invalid_grant: no user with REDACTED",
            ),
            (
                "an error of its own",
                || {
                    answer(
                        401,
                        &[],
                        r#"{"message": "Basic YWRhOmh1bnRlcjItInF1b3RlZCI= is wrong", "token": "made-up-token"}"#,
                    )
                },
                FETCH,
                r#"401: {"message":"REDACTED is wrong","token":"REDACTED"}"#,
            ),
            (
                "a page",
                || {
                    answer(
                        503,
                        &[("content-type", "text/html")],
                        "<html><title>Down for\nmaintenance</title>hunter2",
                    )
                },
                FETCH,
                "503 with a web page titled \"Down for maintenance\"",
            ),
            ("no words", || answer(403, &[], ""), FETCH, "403 with an empty body"),
            (
                "200 that says no",
                || ok_json(r#"{"ok": false, "error": "wrong_password"}"#),
                INCOMPLETE,
                "200 wrong_password",
            ),
            (
                "200 with a page",
                || answer(200, &[("content-type", "text/html")], "<html>hunter2"),
                INVALID,
                "text/html",
            ),
            ("200 with nothing", || answer(200, &[], ""), INVALID, "0 bytes"),
            ("another success", || answer(202, &[], r#"{"token": "made-up-token"}"#), INVALID, "202"),
            (
                "no token",
                || ok_json(r#"{"status": "ok", "jwt": "made-up-token"}"#),
                INCOMPLETE,
                "no token at `token`. Its members: status, jwt.",
            ),
            ("an empty token", || ok_json(r#"{"token": ""}"#), INCOMPLETE, "no token at `token`"),
            ("a redirect to a page", || answer(302, &[("location", "/page")], ""), INVALID, "neither JSON"),
            ("a circle", || answer(302, &[("location", "/login")], ""), FETCH, "redirect"),
            ("too much", || answer(200, &[], "x".repeat(11 * 1024 * 1024)), FETCH, "10485760"),
        ];
        for (name, reply, code, text) in cases {
            let stage = Stage::start(entry(json!({})), move |seen| {
                if seen.target == "/page" { answer(200, &[], "<html>log in</html>") } else { reply() }
            })
            .await;
            let (found, message) = stage.refusal("two-step", "", typed(), true).await;
            assert_eq!(found, code, "{name}: {message}");
            assert!(message.contains(text), "{name}: {message}");
            has_no_secret(&message);
            assert!(stage.stored().await.is_empty(), "{name}");
        }
    });
}

#[test]
fn a_server_that_hangs_up_is_a_failed_login() {
    run(async {
        let raw = RawTarget::start("").await;
        let stage =
            Stage::start(entry(json!({"token_url": format!("{}/login", raw.url())})), |_| ok_json("{}"))
                .await;
        let (code, message) = stage.refusal("two-step", "", typed(), true).await;
        assert_eq!(code, "two_step_credentials_fetch_error");
        has_no_secret(&message);
    });
}

#[test]
fn what_is_missing_is_named_before_anything_is_sent() {
    run(async {
        let url = json!({"token_url": "TARGET/${connectionConfig.sub}/login"});
        let header = json!({"token_headers": {"x-tenant": "${connectionConfig.tenant}"}});
        let param = json!({"token_params": {"deep": {"otp": "${credentials.otp}"}}});
        let signed = json!({"signature": {"protocol": "RSA"},
            "token": {"signing_key": "${credentials.key}", "expires_in_ms": 1000}});
        let unusable = json!({"signature": {"protocol": "RSA"},
            "token": {"signing_key": "${credentials.password}", "expires_in_ms": 1000}});
        let assertion =
            json!({"assertion": {"type": "jwt", "key": "${credentials.password}", "payload": {"a": "b"}}});
        for (extra, query, body, is_legacy, code, text) in [
            (url, "", typed(), false, "invalid_connection_config", "connectionConfig.sub"),
            (
                header,
                "",
                typed(),
                false,
                "invalid_connection_config",
                "`x-tenant` of the token request: no value for connectionConfig.tenant",
            ),
            (param, "", typed(), false, "invalid_connection_config", "credentials.otp"),
            (
                json!({}),
                "",
                json!({"user": "ada"}),
                false,
                "invalid_connection_config",
                "`password` is required",
            ),
            (json!({"token_url": null}), "", typed(), true, "missing_token_url", "token URL"),
            (signed, "", typed(), true, "failed_to_generate", "credentials.key"),
            (unusable, "", typed(), true, "failed_to_sign", "neither PEM nor base64"),
            (assertion, "", typed(), true, "invalid_private_key_format", "neither PEM nor base64"),
            (
                json!({"token_url": "http://${connectionConfig.sub}.acme.test/login"}),
                "&params[sub]=evil.test%2F",
                typed(),
                false,
                "invalid_connection_config",
                "sub",
            ),
        ] {
            let stage = Stage::start(entry(extra.clone()), |_| ok_json("{}")).await;
            let (found, message) = stage.refusal("two-step", query, body, is_legacy).await;
            assert_eq!(found, code, "{extra}: {message}");
            assert!(message.contains(text), "{extra}: {message}");
            has_no_secret(&message);
            assert!(stage.target.seen().is_empty(), "{extra}");
        }
    });
}

#[test]
fn a_step_that_fails_fails_the_login() {
    run(async {
        let steps = json!([{"token_url": "TARGET/second", "token_params": {"ticket": "${step1.ticket}"}}]);
        for (first, second, text) in [
            (r#"{"ok": false, "error": "locked_out"}"#, (200, r#"{"token": "t"}"#), "200 locked_out"),
            (r#"{"other": 1}"#, (200, r#"{"token": "t"}"#), "no value for step1.ticket. Its members: other."),
            (
                r#"{"ticket": "made-up-token-1"}"#,
                (401, r#"{"m": "made-up-token-1 is old"}"#),
                "REDACTED is old",
            ),
            (r#"{"ticket": "made-up-token-1"}"#, (201, r#"{"token": "t"}"#), "201"),
        ] {
            let stage = Stage::start(entry(json!({"additional_steps": steps})), move |seen| {
                if seen.target == "/login" {
                    answer(200, &[], first)
                } else {
                    answer(second.0, &[], second.1)
                }
            })
            .await;
            let (code, message) = stage.refusal("two-step", "", typed(), true).await;
            assert_eq!(code, "two_step_credentials_fetch_error", "{message}");
            assert!(message.contains(text), "{message}");
            has_no_secret(&message);
        }
    });
}

#[test]
fn a_failed_renewal_is_reported_in_the_providers_words() {
    run(async {
        let is_open = Arc::new(Mutex::new(true));
        let door = Arc::clone(&is_open);
        let stage = Stage::start(entry(json!({"token_expires_in_ms": 60_000})), move |_| {
            if *door.lock().unwrap() {
                ok_json(r#"{"token": "made-up-token"}"#)
            } else {
                answer(
                    401,
                    &[],
                    r#"{"error": "locked", "error_description": "ada:hunter2-\"quoted\" is locked"}"#,
                )
            }
        })
        .await;
        let id = stage.connect("two-step", "", typed()).await;
        *is_open.lock().unwrap() = false;
        stage.advance(60);
        let refused = stage.read(&id, "").expect(400).await;
        assert_eq!(refused["error"]["code"], "invalid_credentials");
        assert_eq!(refused["error"]["payload"]["type"], "two_step_credentials_fetch_error");
        assert_eq!(refused["error"]["payload"]["connection"]["errors"][0]["type"], "auth");
        assert!(
            refused["error"]["message"].as_str().unwrap().contains("401 locked: ada:REDACTED is locked"),
            "{refused}"
        );
        has_no_secret(&refused.to_string());
        assert_eq!(
            stage.read(&id, "").expect(424).await["error"]["payload"]["type"],
            "connection_refresh_backoff"
        );
        *is_open.lock().unwrap() = true;
        stage.advance(31);
        assert_eq!(stage.credentials(&id).await["token"], "made-up-token");
    });
}

#[test]
fn the_route_refuses() {
    run(async {
        let stage = Stage::start(entry(json!({})), |_| ok_json("{}")).await;
        let options = json!({"user": "a", "password": "b", "assertionOption": "text"});
        let host = json!({"user": {"a": 1}, "password": "p"});
        check(vec![
            Case {
                name: "no object",
                request: stage.submit("two-step", "", json!(["x"])).await,
                status: 400,
                code: "invalid_body",
            },
            Case {
                name: "bad options",
                request: stage.submit("two-step", "", options).await,
                status: 400,
                code: "invalid_body",
            },
            Case {
                name: "a tree for a text",
                request: stage.submit("two-step", "", host).await,
                status: 400,
                code: "invalid_connection_config",
            },
            Case {
                name: "another mode",
                request: stage.submit("jwt", "", json!({"a": "b"})).await,
                status: 400,
                code: "invalid_auth_mode",
            },
            Case {
                name: "another mode still",
                request: stage
                    .submit(
                        "bill",
                        "",
                        json!({"username": "u", "password": "p", "organization_id": "o", "dev_key": "d"}),
                    )
                    .await,
                status: 400,
                code: "invalid_auth_mode",
            },
            Case {
                name: "no caller",
                request: stage.app.anonymous().post("/auth/two-step/acme", typed()),
                status: 401,
                code: "missing_public_key",
            },
        ])
        .await;
        assert!(stage.target.seen().is_empty());
    });
}
