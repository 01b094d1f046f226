//! TWO_STEP: logins as the entry describes them, and what becomes of their answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{RSA_KEY, Stage, lifetime};
use crate::support::run;
use crate::support::target::{Seen, answer, ok_json};

fn entry(extra: Value) -> Value {
    let mut entry = json!({
        "auth_mode": "TWO_STEP",
        "token_url": "TARGET/login",
        "token_params": {"user": "${credentials.user}", "password": "${credentials.password}"},
        "token_response": {"token": "data.token"},
        "proxy": {"base_url": "TARGET/api"},
        "credentials": {
            "user": {"type": "string", "title": "User", "description": "Yours"},
            "password": {"type": "string", "title": "Password", "description": "Yours", "secret": true},
        },
    });
    entry.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    entry
}

fn typed() -> Value {
    json!({"type": "TWO_STEP", "user": "ada", "password": "pw||${connectionConfig.sub}"})
}

fn body(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap_or_else(|_| panic!("not JSON: {}", seen.text()))
}

#[test]
fn a_login_becomes_a_connection_whose_token_goes_out() {
    run(async {
        let extra = json!({
            "token_url": "TARGET/${connectionConfig.sub}/login?v=1",
            "token_headers": {"x-sub": "${connectionConfig.sub}", "authorization": "Basic ${base64(${user}:x)}"},
            "token_response": {"token": "data.token", "token_expiration": "data.in", "token_expiration_strategy": "expireIn"},
            "token_response_metadata": ["data.tenant", "data.list", "data.flag"],
        });
        let stage = Stage::start(entry(extra), |seen| {
            answer(
                if seen.target.ends_with("/login?v=1") { 201 } else { 200 },
                &[("content-type", "text/plain")],
                r#"{"data": {"token": "tok-1", "in": "3600", "tenant": "T", "list": [], "flag": true}}"#,
            )
        })
        .await;
        let id = stage.connect("two-step", "&params[sub]=acme%20x", typed()).await;
        let seen = stage.target.last();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/acme%20x/login?v=1"));
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_eq!(
            (seen.header("x-sub"), seen.header("authorization")),
            (Some("acme x"), Some("Basic YWRhOng="))
        );
        // Values are never templates, whatever they look like.
        assert_eq!(body(&seen), json!({"user": "ada", "password": "pw||${connectionConfig.sub}"}));
        let connection = stage.connection(&id).await;
        let end = connection["credentials"]["expires_at"].clone();
        assert_eq!(lifetime(&stage, &connection["credentials"]), 3_600_000);
        assert_eq!(
            connection["credentials"],
            json!({"type": "TWO_STEP", "user": "ada", "password": "pw||${connectionConfig.sub}", "token": "tok-1",
                   "expires_at": end, "raw": {"data": {"token": "tok-1", "in": "3600", "tenant": "T", "list": [], "flag": true}}})
        );
        assert_eq!(
            connection["connection_config"],
            json!({"sub": "acme x", "data.tenant": "T", "data.flag": true})
        );
        let call = stage.proxied(&id, "/me").await;
        assert_eq!((call.target.as_str(), call.header("authorization")), ("/api/me", Some("Bearer tok-1")));
        let stored = String::from_utf8_lossy(&stage.stored().await).into_owned();
        assert!(!stored.contains("tok-1") && !stored.contains("pw||"), "{stored}");
    });
}

#[test]
fn the_body_has_the_form_that_the_entry_names() {
    run(async {
        let tree = json!({"request": {"$version": "2", "login": {"user": "${credentials.user}", "n": 1}}});
        for (extra, method, target, content_type, sent) in [
            (json!({}), "POST", "/login", "application/json", r#"{"user":"a<b","password":"p w"}"#),
            (
                json!({"body_format": "form"}),
                "POST",
                "/login",
                "application/x-www-form-urlencoded",
                "user=a%3Cb&password=p+w",
            ),
            (
                json!({"body_format": "xml", "token_params": tree, "token_response": {"token": "data.token"}}),
                "POST",
                "/login",
                "application/xml",
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><request version=\"2\"><login><user>a&lt;b</user><n>1</n></login></request>",
            ),
            (
                json!({"token_request_method": "GET", "token_url": "TARGET/login?u=${credentials.user}"}),
                "GET",
                "/login?u=a%3Cb",
                "",
                "",
            ),
            (
                json!({"token_headers": {"Content-Type": "application/vnd.acme+json"}}),
                "POST",
                "/login",
                "application/vnd.acme+json",
                r#"{"user":"a<b","password":"p w"}"#,
            ),
        ] {
            let is_xml = extra["body_format"] == "xml";
            let stage = Stage::start(entry(extra.clone()), move |_| {
                ok_json(if is_xml {
                    "<data a='1'><token>t</token></data>"
                } else {
                    r#"{"data": {"token": "t"}}"#
                })
            })
            .await;
            let id = stage.connect("two-step", "", json!({"user": "a<b", "password": "p w"})).await;
            let seen = stage.target.last();
            assert_eq!((seen.method.as_str(), seen.target.as_str()), (method, target), "{extra}");
            assert_eq!(seen.header("content-type").unwrap_or_default(), content_type, "{extra}");
            assert_eq!(seen.text(), sent, "{extra}");
            assert_eq!(stage.credentials(&id).await["token"], "t", "{extra}");
        }
    });
}

#[test]
fn a_login_is_repeated_when_its_token_ends() {
    run(async {
        let calls = AtomicUsize::new(0);
        let extra = json!({
            "token_response": {"token": "data.token", "token_expiration": "end"},
            "token_response_metadata": ["data.token"],
            "refresh_token_response_metadata": ["data.rest"],
        });
        let stage = Stage::start(entry(extra), move |seen| {
            if seen.target != "/login" {
                return ok_json("{}");
            }
            let number = calls.fetch_add(1, Ordering::SeqCst) + 1;
            let text = json!({"data": {"token": format!("tok-{number}"), "rest": format!("r{number}")}, "end": 4_000_000_000_u64});
            answer(200, &[], text.to_string())
        })
        .await;
        let id = stage.connect("two-step", "", typed()).await;
        assert_eq!(stage.credentials(&id).await["token"], "tok-1");
        for number in 2..=3 {
            stage.advance(1);
            let forced = stage.read(&id, "&force_refresh=true").expect(200).await;
            assert_eq!(forced["credentials"]["token"], format!("tok-{number}"));
            // Metadata is read once; what the entry wants of every answer is read again.
            let config = json!({"data.token": "tok-1", "data.rest": format!("r{number}")});
            assert_eq!(forced["connection_config"], config);
            assert_eq!(
                stage.proxied(&id, "/x").await.header("authorization"),
                Some(&*format!("Bearer tok-{number}"))
            );
        }
    });
}

#[test]
fn short_tokens_are_renewed_in_the_last_third_of_their_life() {
    run(async {
        let extra = json!({"token_expires_in_ms": 300_000});
        let stage = Stage::start(entry(extra), |_| ok_json(r#"{"data": {"token": 12345}}"#)).await;
        let id = stage.connect("two-step", "", typed()).await;
        let credentials = stage.credentials(&id).await;
        assert_eq!((lifetime(&stage, &credentials), &credentials["token"]), (300_000, &json!("12345")));
        for (pause, logins) in [(190, 1), (20, 2), (190, 2), (20, 3)] {
            stage.advance(pause);
            stage.credentials(&id).await;
            assert_eq!(stage.calls("/login"), logins);
        }
    });
}

#[test]
fn a_token_without_an_end_is_not_renewed() {
    run(async {
        for (extra, is_endless) in [(json!({"token_expires_in_ms": 0}), true), (json!({}), false)] {
            let stage = Stage::start(entry(extra), |_| ok_json(r#"{"data": {"token": "t"}}"#)).await;
            let id = stage.connect("two-step", "", typed()).await;
            let credentials = stage.credentials(&id).await;
            assert_eq!(credentials.get("expires_at").is_none(), is_endless, "{credentials}");
            stage.advance(90 * 365 * 86_400);
            stage.credentials(&id).await;
            assert_eq!(stage.calls("/login"), 1);
        }
    });
}

#[test]
fn a_refresh_token_is_used_rotated_and_hidden() {
    run(async {
        let extra = json!({
            "refresh_url": "TARGET/renew",
            "refresh_token_params": {"token": "${credentials.refresh_token}", "old": "${credentials.token}"},
            "refresh_token_headers": {"x-renew": "1"},
            "token_response": {"token": "jwt", "refresh_token": "nested.again", "token_expiration": "in",
                               "token_expiration_strategy": "expireIn"},
        });
        let stage =
            Stage::start(entry(extra), |seen| match (seen.target.as_str(), body(seen)["token"].as_str()) {
                ("/login", _) => ok_json(r#"{"jwt": "t1", "nested": {"again": "refresh-1"}, "in": "1h"}"#),
                ("/renew", Some("refresh-1")) => {
                    ok_json(r#"{"jwt": "t2", "nested": {"again": "refresh-2"}, "in": 3600}"#)
                }
                ("/renew", Some("refresh-2")) => ok_json(r#"{"jwt": "t3", "in": 3600}"#),
                _ => answer(500, &[], "unexpected"),
            })
            .await;
        let id = stage.connect("two-step", "", typed()).await;
        let shown = stage.credentials(&id).await;
        assert!(!shown.to_string().contains("refresh-1"), "{shown}");
        let whole = stage.read(&id, "&refresh_token=true").expect(200).await;
        assert_eq!(whole["credentials"]["refresh_token"], "refresh-1");
        assert_eq!(whole["credentials"]["raw"]["nested"]["again"], "refresh-1");
        for (token, sent, kept) in [("t2", "refresh-1", "refresh-2"), ("t3", "refresh-2", "refresh-2")] {
            stage.advance(3500);
            let renewed = stage.read(&id, "&refresh_token=true").expect(200).await;
            assert_eq!(
                (&renewed["credentials"]["token"], &renewed["credentials"]["refresh_token"]),
                (&json!(token), &json!(kept))
            );
            let seen = stage.target.last();
            assert_eq!((seen.target.as_str(), seen.header("x-renew")), ("/renew", Some("1")));
            assert_eq!(body(&seen)["token"], sent);
        }
        assert_eq!(stage.calls("/login"), 1);
    });
}

#[test]
fn a_refused_refresh_token_is_followed_by_a_login() {
    run(async {
        let extra = json!({
            "refresh_token_params": {"refresh": "${credentials.refresh_token}"},
            "token_response": {"token": "t", "refresh_token": "r"},
        });
        let logins = AtomicUsize::new(0);
        let stage = Stage::start(entry(extra), move |seen| {
            if body(seen).get("refresh").is_some() {
                return answer(401, &[], r#"{"error": "refresh token expired"}"#);
            }
            let number = logins.fetch_add(1, Ordering::SeqCst) + 1;
            answer(200, &[], json!({"t": format!("t{number}"), "r": format!("r{number}")}).to_string())
        })
        .await;
        let id = stage.connect("two-step", "", typed()).await;
        stage.advance(1);
        let renewed = stage.read(&id, "&force_refresh=true&refresh_token=true").expect(200).await;
        assert_eq!(
            (&renewed["credentials"]["token"], &renewed["credentials"]["refresh_token"]),
            (&json!("t2"), &json!("r2"))
        );
        assert_eq!(stage.target.seen().len(), 3);
    });
}

#[test]
fn further_steps_use_the_answers_before_them() {
    run(async {
        let extra = json!({
            "body_format": "form",
            "token_response": {"token": "session", "token_expiration": "until"},
            "token_response_headers": ["set-cookie", "X-Csrf"],
            "token_response_metadata": ["first", "host"],
            "additional_steps": [
                {"token_url": "TARGET/tenants/${step1.tenants.0.id}", "token_request_method": "GET",
                 "token_headers": {"authorization": "Bearer ${step1.interim}", "cookie": "${credentials._cookies}"}},
                {"token_url": "${step2.host}/final", "body_format": "json",
                 "token_params": {"ticket": "${step2.ticket}", "user": "${credentials.user}", "csrf": "${credentials.X-Csrf}"}},
            ],
        });
        let stage = Stage::start(entry(extra), |seen| {
            let host = format!("http://{}", seen.header("host").unwrap());
            match seen.target.as_str() {
                "/login" => answer(
                    200,
                    &[("set-cookie", "sid=1; Path=/; HttpOnly"), ("x-csrf", "c-1")],
                    r#"{"interim": "interim-secret", "tenants": [{"id": "t 1"}], "first": "1"}"#,
                ),
                "/tenants/t%201" => answer(
                    200,
                    &[("set-cookie", "lb=2")],
                    json!({"host": host, "ticket": "tick"}).to_string(),
                ),
                "/final" => answer(200, &[], r#"{"session": "final", "until": "2099-01-01"}"#),
                _ => ok_json("{}"),
            }
        })
        .await;
        let id = stage.connect("two-step", "", typed()).await;
        let seen = stage.target.seen();
        assert_eq!(
            (seen[1].method.as_str(), seen[1].header("authorization")),
            ("GET", Some("Bearer interim-secret"))
        );
        assert_eq!((seen[1].header("cookie"), seen[1].header("content-type")), (Some("sid=1"), None));
        assert_eq!(body(&seen[2]), json!({"ticket": "tick", "user": "ada", "csrf": "c-1"}));
        let connection = stage.connection(&id).await;
        let credentials = &connection["credentials"];
        assert_eq!(credentials["raw"], json!({"session": "final", "until": "2099-01-01"}));
        for (name, value) in [
            ("token", "final"),
            ("sid", "1"),
            ("lb", "2"),
            ("_cookies", "sid=1; lb=2"),
            ("X-Csrf", "c-1"),
            ("expires_at", "2099-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(credentials[name], value, "{credentials}");
        }
        assert_eq!(connection["connection_config"]["first"], "1");
    });
}

#[test]
fn the_default_authorization_gives_way_to_headers_that_carry_the_token() {
    run(async {
        for (headers, name, value, has_default) in [
            (json!({"x-token": "${accessToken}"}), "x-token", "t", false),
            (json!({"cookie": "${credentials._cookies}"}), "cookie", "sid=1", false),
            (json!({"x-token": "${credentials.token}"}), "x-token", "t", true),
            (json!({"x-user": "${credentials.user}"}), "x-user", "ada", true),
            (json!({"authorization": "Session ${accessToken}"}), "authorization", "Session t", false),
        ] {
            let extra = json!({"token_response_headers": ["Set-Cookie"],
                               "proxy": {"base_url": "TARGET", "headers": headers}});
            let stage = Stage::start(entry(extra), |_| {
                answer(200, &[("set-cookie", "sid=1")], r#"{"data": {"token": "t"}}"#)
            })
            .await;
            let id = stage.connect("two-step", "", typed()).await;
            let seen = stage.proxied(&id, "/x").await;
            assert_eq!(seen.header(name), Some(value), "{headers}");
            assert_eq!(seen.header("authorization") == Some("Bearer t"), has_default, "{headers}");
        }
    });
}

#[test]
fn a_whole_answer_can_be_the_token() {
    run(async {
        for (text, header, expected, token) in [
            ("plain-token\n", "${accessToken}", "plain-token", json!("plain-token")),
            (r#""quoted""#, "${accessToken}", "quoted", json!("quoted")),
            (r#"{"sid": "s", "error": 0}"#, "${credentials.token.sid}", "s", json!({"sid": "s", "error": 0})),
        ] {
            let extra = json!({"token_response": {"token": ""}, "proxy": {"base_url": "TARGET", "headers": {"x-t": header}}});
            let stage =
                Stage::start(entry(extra), move |_| answer(200, &[("content-type", "text/html")], text))
                    .await;
            let id = stage.connect("two-step", "", typed()).await;
            assert_eq!(stage.credentials(&id).await["token"], token);
            assert_eq!(stage.proxied(&id, "/x").await.header("x-t"), Some(expected), "{text}");
        }
    });
}

#[test]
fn what_the_operator_set_wins_and_is_not_stored_with_the_connection() {
    run(async {
        let extra = json!({
            "token_params": {"user": "${credentials.user}", "clientSecret": "${credentials.clientSecret}"},
            "credentials": {"user": {}, "clientSecret": {"secret": true}},
            "integration_config": {"clientSecret": {"secret": true}, "region": {"optional": true}},
        });
        let custom = json!({"clientSecret": "operator-secret", "region": ""});
        let stage =
            Stage::with_custom(entry(extra), Some(custom), |_| ok_json(r#"{"data": {"token": "t"}}"#)).await;
        let id = stage.connect("two-step", "", json!({"user": "ada", "clientSecret": "mine"})).await;
        for _ in 0..2 {
            assert_eq!(body(&stage.target.last()), json!({"user": "ada", "clientSecret": "operator-secret"}));
            stage.advance(1);
            let connection = stage.read(&id, "&force_refresh=true").expect(200).await;
            assert!(!connection.to_string().contains("clientSecret"), "{connection}");
        }
    });
}

#[test]
fn defaults_are_filled_in_and_optional_fields_left_out() {
    run(async {
        let extra = json!({
            "token_params": {"user": "${credentials.user}", "otp": "${credentials.otp}", "deep": {"otp": "${otp}", "x": 1},
                             "scope": "${credentials.scope}"},
            "token_headers": {"x-otp": "${credentials.otp}"},
            "credentials": {"user": {}, "otp": {"optional": true}, "scope": {"hidden": true, "default_value": "all"}},
        });
        let stage = Stage::start(entry(extra), |_| ok_json(r#"{"data": {"token": "t"}}"#)).await;
        let id = stage.connect("two-step", "", json!({"user": "ada"})).await;
        let seen = stage.target.last();
        assert_eq!(body(&seen), json!({"user": "ada", "deep": {"x": 1}, "scope": "all"}));
        assert_eq!(seen.header("x-otp"), None);
        assert_eq!(stage.credentials(&id).await["scope"], "all");
    });
}

#[test]
fn a_signed_token_is_a_credential_of_the_login() {
    run(async {
        let extra = json!({
            "body_format": "form",
            "signature": {"protocol": "RSA"},
            "token": {"signing_key": "${credentials.privateKey}", "expires_in_ms": 300_000, "header": {"alg": "RS256"},
                      "payload": {"iss": "${credentials.user}"}},
            "token_params": {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "${credentials.token}"},
            "credentials": {"user": {}, "privateKey": {"secret": true}},
        });
        let stage = Stage::start(entry(extra), |_| ok_json(r#"{"data": {"token": "t"}}"#)).await;
        let id = stage.connect("two-step", "", json!({"user": "ada", "privateKey": RSA_KEY})).await;
        let sent = stage.target.last().text();
        let (_, jwt) = sent.split_once("&assertion=").expect("an assertion");
        assert_eq!(jwt.split('.').count(), 3);
        assert_eq!(stage.credentials(&id).await["token"], "t");
    });
}
