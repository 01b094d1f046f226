//! Calls that are sent more than once: retries, redirects, and the refresh after a 401.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::run;
use crate::support::target::{Target, WorldPlan, answer, ok_json};

/// Answers with each status in turn, and with 200 from then on.
async fn scripted(statuses: Vec<(u16, Vec<(&'static str, &'static str)>)>) -> Target {
    let calls = AtomicUsize::new(0);
    Target::start(move |_| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        match statuses.get(call) {
            Some((status, headers)) => answer(*status, headers, "no"),
            None => ok_json("{}"),
        }
    })
    .await
}

/// Entry, `Retries`, `Retry-On`, statuses of the provider, final status, calls.
type Row = (Value, &'static str, &'static str, Vec<u16>, u16, usize);

#[test]
fn failures_are_retried_as_often_as_the_caller_says() {
    run(async {
        let again = |status| (status, vec![("x-wait", "0")]);
        let cases: Vec<Row> = vec![
            (json!({}), "0", "", vec![500], 500, 1),
            (json!({}), "3", "", vec![500, 429, 503], 200, 4),
            (json!({}), "2", "", vec![500, 500, 500], 500, 3),
            (json!({}), "3", "", vec![404], 404, 1),
            (json!({}), "3", "423,404", vec![404, 423], 200, 3),
            (json!({"error_code": ["409"]}), "3", "", vec![409, 500], 500, 2),
        ];
        for (entry, retries, retry_on, statuses, status, calls) in cases {
            let target = scripted(statuses.iter().map(|status| again(*status)).collect()).await;
            let mut retry = json!({"after": ["x-wait"]});
            retry.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
            let world = WorldPlan::new(target.url()).proxy(json!({ "retry": retry })).build().await;
            let ask = world.call("POST", "/r").json(&json!({"n": 1})).header("retries", retries);
            let reply = ask.header("retry-on", retry_on).send().await;
            assert_eq!((reply.status.as_u16(), target.seen().len()), (status, calls), "{statuses:?}");
            assert!(target.seen().iter().all(|seen| seen.text() == r#"{"n":1}"#));
        }
    });
}

#[test]
fn a_wait_in_the_body_is_found_and_the_body_still_delivered() {
    run(async {
        let target = Target::start(|_| answer(429, &[], r#"{"error": {"message": "wait 0 s"}}"#)).await;
        let in_body =
            json!({"in_body": {"path": "error.message", "value": "/wait (\\d+)/", "strategy": "after"}});
        let world = WorldPlan::new(target.url()).proxy(json!({ "retry": in_body })).build().await;
        let reply = world.get("/r").header("retries", "2").send().await;
        assert_eq!((reply.status.as_u16(), target.seen().len()), (429, 3));
        assert_eq!(reply.json()["error"]["message"], "wait 0 s");
    });
}

#[test]
fn redirects_are_followed_with_the_right_headers() {
    run(async {
        let other = Target::recording().await;
        let elsewhere = other.url();
        let target = Target::start(move |seen| match seen.target.as_str() {
            "/same" => answer(307, &[("location", "/end?x=1")], ""),
            "/see" => answer(302, &[("location", "end")], ""),
            "/other" => answer(308, &[("location", &format!("{elsewhere}/landed"))], ""),
            "/loop" => answer(302, &[("location", "/loop")], ""),
            "/none" => answer(304, &[("location", "/end")], ""),
            _ => ok_json("{}"),
        })
        .await;
        let world = WorldPlan::new(target.url()).build().await;
        let post = |path: &str| world.call("POST", path).json(&json!({"n": 1}));
        post("/same").header("nango-proxy-x-mine", "1").expect(200).await;
        let seen = target.last();
        assert_eq!((seen.target.as_str(), seen.text().as_str()), ("/end?x=1", r#"{"n":1}"#));
        assert_eq!((seen.header("x-api-key"), seen.header("x-mine")), (Some("key-0123456789"), Some("1")));
        post("/see").expect(200).await;
        let seen = target.last();
        assert_eq!((seen.method.as_str(), seen.text().as_str()), ("GET", ""));
        assert_eq!((seen.header("content-type"), seen.header("content-length")), (None, None));
        let ask =
            post("/other").header("nango-proxy-authorization", "mine").header("nango-proxy-x-mine", "1");
        ask.expect(200).await;
        let seen = other.last();
        assert_eq!((seen.target.as_str(), seen.text().as_str()), ("/landed", r#"{"n":1}"#));
        for (name, expected) in [("x-api-key", None), ("authorization", None), ("x-mine", Some("1"))] {
            assert_eq!(seen.header(name), expected, "{name}");
        }
        post("/other").header("forward-headers-on-redirect", "true").expect(200).await;
        assert_eq!(other.last().header("x-api-key"), Some("key-0123456789"));
        let before = target.seen().len();
        let reply = world.get("/loop").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (502, "proxy_too_many_redirects"));
        assert_eq!(target.seen().len() - before, 6);
        assert_eq!(world.get("/none").send().await.status, 304);
    });
}

#[test]
fn without_redirects_the_3xx_is_the_answer() {
    run(async {
        let target = Target::start(|_| answer(302, &[("location", "/x")], "")).await;
        let policy = r#"{"allowLoopback": true, "blockPrivateIps": false, "maxRedirects": 0}"#;
        let world = WorldPlan::new(target.url()).set("NANGO_OUTBOUND_URL_POLICY", policy).build().await;
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (302, Some("/x")));
    });
}

#[test]
fn entry_values_in_a_body_do_not_follow_to_another_origin() {
    run(async {
        let other = Target::recording().await;
        let elsewhere = other.url();
        let target = Target::start(move |_| answer(307, &[("location", &elsewhere)], "")).await;
        let world = WorldPlan::new(target.url()).proxy(json!({"body": {"k": "${apiKey}"}})).build().await;
        let reply = world.call("POST", "/x").json(&json!({"n": 1})).send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "base_url_override_not_allowed"));
        assert!(other.seen().is_empty());
    });
}

/// An OAuth provider: `/token` gives `at-2`, `at-3` ..., and the API accepts whatever is not `at-1`.
async fn oauth_provider() -> (Target, Arc<AtomicUsize>) {
    let refreshes = Arc::new(AtomicUsize::new(1));
    let count = Arc::clone(&refreshes);
    let target = Target::start(move |seen| {
        if seen.target == "/token" {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let body =
                json!({"access_token": format!("at-{number}"), "refresh_token": "r2", "expires_in": 3600});
            return answer(200, &[("content-type", "application/json")], body.to_string());
        }
        match seen.header("authorization") {
            Some("Bearer at-1") => answer(401, &[], "expired"),
            _ => ok_json("{}"),
        }
    })
    .await;
    (target, refreshes)
}

fn oauth_plan(target: &Target, expires_at: Option<String>) -> WorldPlan {
    let mut credentials = json!({"type": "OAUTH2", "access_token": "at-1", "refresh_token": "r1", "raw": {}});
    if let Some(expires_at) = expires_at {
        credentials["expires_at"] = expires_at.into();
    }
    WorldPlan::new(target.url())
        .provider(json!({
            "auth_mode": "OAUTH2",
            "authorization_url": format!("{}/authorize", target.url()),
            "token_url": format!("{}/token", target.url()),
            "proxy": {"base_url": target.url()},
        }))
        .credentials(credentials)
}

#[test]
fn a_401_refreshes_once_and_repeats_once() {
    run(async {
        let (target, refreshes) = oauth_provider().await;
        let world = oauth_plan(&target, None).build().await;
        // A token that was made a moment ago is not the reason for a 401.
        assert_eq!(world.get("/x").send().await.status, 401);
        world.app.advance(TimeDelta::seconds(61));
        let calls = (0..20).map(|_| world.call("POST", "/x").json(&json!({"n": 1})).send());
        for reply in futures_util::future::join_all(calls).await {
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        assert_eq!(refreshes.load(Ordering::SeqCst), 2, "one refresh for all of them");
        assert_eq!(target.last().text(), r#"{"n":1}"#);
    });
}

#[test]
fn the_refresh_after_a_401_can_be_switched_off() {
    run(async {
        let (target, refreshes) = oauth_provider().await;
        let world = oauth_plan(&target, None).set("HITCHPOST_PROXY_REFRESH_ON_401", "false").build().await;
        world.app.advance(TimeDelta::seconds(61));
        assert_eq!(world.get("/x").send().await.status, 401);
        assert_eq!(refreshes.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn an_ended_token_is_refreshed_before_the_call() {
    run(async {
        let (target, refreshes) = oauth_provider().await;
        let world = oauth_plan(&target, Some("2020-01-01T00:00:00.000Z".into())).build().await;
        world.get("/x").expect(200).await;
        world.get("/x").expect(200).await;
        assert_eq!(target.last().header("authorization"), Some("Bearer at-2"));
        assert_eq!(refreshes.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_token_near_its_end_is_used_while_it_is_refreshed() {
    run(async {
        let (target, refreshes) = oauth_provider().await;
        let world = oauth_plan(&target, None).build().await;
        let soon = hitchpost::time_format::format_millis_z(world.app.now() + TimeDelta::seconds(3600));
        let integration =
            hitchpost::integrations::find(&world.app.app, world.app.environment_id, "acme").await.unwrap();
        let credentials =
            json!({"type": "OAUTH2", "access_token": "at-0", "refresh_token": "r", "expires_at": soon});
        crate::support::target::insert_connection(
            &world.app,
            &integration.unwrap(),
            "c1",
            credentials,
            json!({}),
        )
        .await;
        world.app.advance(TimeDelta::seconds(3600 - 60));
        world.get("/x").expect(200).await;
        let first = target.seen().into_iter().find(|seen| seen.target == "/x").unwrap();
        assert_eq!(first.header("authorization"), Some("Bearer at-0"));
        // The refresh runs in the background; the next calls use its token once it is there.
        for _ in 0..1000 {
            world.get("/x").expect(200).await;
            if target.last().header("authorization") == Some("Bearer at-2") {
                break;
            }
        }
        assert_eq!(target.last().header("authorization"), Some("Bearer at-2"));
        assert_eq!(refreshes.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_failed_refresh_is_told_and_then_backed_off() {
    run(async {
        let target = Target::start(|_| answer(400, &[], r#"{"error":"invalid_grant"}"#)).await;
        let world = oauth_plan(&target, Some("2020-01-01T00:00:00.000Z".into())).build().await;
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "server_error"));
        let reply = world.get("/x").send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (424, "connection_refresh_backoff"));
    });
}
