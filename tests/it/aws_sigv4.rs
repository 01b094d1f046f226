//! AWS_SIGV4: `POST /auth/aws-sigv4/:key`, the renewal of temporary keys, and signed calls, against an STS and an API that
//! compute every signature anew.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::app::TestSettings;
use crate::support::aws::{OPERATOR, ROLE, Signed, Sts, parameters};
use crate::support::target::{Seen, Target, answer, insert_integration, ok_json};
use crate::support::{Case, TestApp, check, run};

const KEY: &str = "aws";

struct World {
    app: TestApp,
    sts: Sts,
    /// An API of the service `execute-api`.
    api: Target,
}

fn builtin() -> Value {
    json!({"service": "execute-api", "stsMode": "builtin", "awsAccessKeyId": OPERATOR.0,
        "awsSecretAccessKey": OPERATOR.1, "defaultRegion": "eu-west-1"})
}

impl World {
    async fn start(custom: &Value) -> World {
        let sts = Sts::start().await;
        let api = Target::start(|seen| match seen.target.as_str() {
            "/moved" => answer(307, &[("location", "/landed?b=2&a=1")], ""),
            _ => verdict(seen),
        })
        .await;
        let entry = json!({
            "display_name": "AWS", "docs": "https://docs.example.com", "auth_mode": "AWS_SIGV4",
            "proxy": {"base_url": api.url(), "headers": {"x-amz-target": "Table.Get"}},
            "credentials": {"role_arn": {"type": "string", "title": "Role", "description": "Role", "pattern": "^arn:aws"}},
            "integration_config": {"service": {"type": "string", "title": "Service", "description": "Service"}},
        });
        let settings = TestSettings::default().set("AWS_ENDPOINT_URL_STS", sts.target.url());
        let app = settings.catalog(json!({ "aws": entry }).to_string()).start().await;
        insert_integration(&app, KEY, Some(custom)).await;
        World { app, sts, api }
    }

    fn path(&self, token: &str, more: &str) -> String {
        format!("/auth/aws-sigv4/{KEY}?connect_session_token={token}{more}")
    }

    async fn token(&self) -> String {
        let session = self.app.client().post("/connect/sessions", json!({"end_user": {"id": "u1"}}));
        session.expect(201).await["data"]["token"].as_str().unwrap().to_owned()
    }

    async fn connect(&self, more: &str, body: Value) -> String {
        let path = self.path(&self.token().await, more);
        let answer = self.app.anonymous().post(path, body).expect(200).await;
        answer["connectionId"].as_str().unwrap().to_owned()
    }

    async fn connection(&self, id: &str) -> Value {
        self.app.client().get(format!("/connections/{id}?provider_config_key={KEY}")).expect(200).await
    }

    async fn call(&self, id: &str, method: &str, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Value {
        let ask = self.app.client().ask(method, format!("/proxy{path}"));
        let mut ask = ask.header("provider-config-key", KEY).header("connection-id", id).bytes(body);
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        ask.expect(200).await
    }
}

/// 200 when the signature is right, for the secret that STS gave with the access key.
fn verdict(seen: &Seen) -> axum::response::Response {
    let key = Signed::access_key(seen);
    let number = key.strip_prefix("ASIA").unwrap_or("none");
    let secret = format!("secret-{number}");
    let signed = Signed { seen, secret: &secret, region: "eu-west-1", service: "execute-api" };
    let has_token = seen.header("x-amz-security-token") == Some(&format!("session/{number}=="));
    match signed.check() {
        Ok(()) if has_token => ok_json("{}"),
        Ok(()) => answer(403, &[], "no session token"),
        Err(reason) => answer(403, &[], reason),
    }
}

/// Method, path, body and headers of a call.
type Row<'a> = (&'a str, &'a str, &'a [u8], &'a [(&'a str, &'a str)]);

fn role() -> Value {
    json!({ "role_arn": ROLE })
}

#[test]
fn a_role_becomes_a_connection_whose_calls_verify() {
    run(async {
        let world = World::start(&builtin()).await;
        let external = "0f3f6f0e-7a55-4f0a-9d63-2f3f3f3f3f3f";
        let id = world.connect(&format!("&params[external_id]={external}"), role()).await;
        let asked = &world.sts.target.seen()[0];
        let asked = parameters(asked);
        for (name, expected) in [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", ROLE),
            ("DurationSeconds", "3600"),
            ("ExternalId", external),
        ] {
            assert_eq!(asked[name], expected);
        }
        let session = asked["RoleSessionName"].strip_prefix("hitchpost-").unwrap();
        assert!(session.len() == 16 && session.bytes().all(|byte| byte.is_ascii_hexdigit()), "{session}");
        assert_eq!(world.sts.calls("GetCallerIdentity"), 1);
        let connection = world.connection(&id).await;
        let mut credentials = connection["credentials"].clone();
        let members = credentials.as_object_mut().unwrap();
        assert!(members.shift_remove("expires_at").is_some() && members.shift_remove("raw").is_some());
        let expected = json!({"type": "AWS_SIGV4", "role_arn": ROLE, "region": "eu-west-1", "service": "execute-api",
            "access_key_id": "ASIA1", "secret_access_key": "secret-1", "session_token": "session/1==",
            "external_id": external});
        assert_eq!(credentials, expected);
        let config = json!({"external_id": external, "role_arn": ROLE, "region": "eu-west-1", "service": "execute-api"});
        assert_eq!(connection["connection_config"], config);
        assert!(!connection.to_string().contains("operator-secret"));

        let form = ("content-type", "application/x-www-form-urlencoded");
        let json_type = ("content-type", "application/json; charset=utf-8");
        let cases: [Row<'_>; 8] = [
            ("GET", "/things?b=2&a=1&a=0&empty&q=a+b%2Bc%20d&%C3%BC=%E2%9C%93", b"", &[]),
            ("GET", "/a%20b/c:d/(e)/%E2%9C%93~", b"", &[]),
            ("POST", "/f", b"a=1&b=x+y", &[form]),
            ("POST", "/j", b"{\"a\": [1, 2]}", &[json_type, ("nango-proxy-x-amz-meta", "  two   words ")]),
            ("PUT", "/bytes", &[0, 159, 146, 150], &[("content-type", "application/octet-stream")]),
            ("PUT", "/zip", b"not really gzip", &[json_type, ("content-encoding", "gzip")]),
            (
                "DELETE",
                "/x",
                b"",
                &[("nango-proxy-authorization", "mine"), ("nango-proxy-x-amz-date", "old")],
            ),
            ("GET", "/moved", b"", &[]),
        ];
        for (method, path, body, headers) in cases {
            world.call(&id, method, path, body, headers).await;
            let seen = world.api.last();
            assert_eq!(seen.body, body, "{path}");
            assert_eq!(seen.header("x-amz-target"), Some("Table.Get"));
        }
        assert_eq!(world.api.last().target, "/landed?b=2&a=1");
    });
}

#[test]
fn ended_keys_are_renewed_once_before_the_call_and_again_later() {
    run(async {
        let world = World::start(&builtin()).await;
        let id = world.connect("", role()).await;
        let external = world.connection(&id).await["credentials"]["external_id"].clone();
        for number in 2..=3 {
            world.app.advance(TimeDelta::hours(2));
            let calls = (0..5).map(|_| world.call(&id, "GET", "/x", b"", &[]));
            futures_util::future::join_all(calls).await;
            let credentials = world.connection(&id).await["credentials"].clone();
            assert_eq!(credentials["access_key_id"], format!("ASIA{number}"));
            assert_eq!(credentials["external_id"], external, "the trust policy names it");
            assert_eq!(world.sts.calls("AssumeRole"), number);
        }
        assert_eq!(world.sts.calls("GetCallerIdentity"), 1, "only the first keys are checked");
    });
}

#[test]
fn a_refused_renewal_is_told_with_the_words_of_sts() {
    run(async {
        let world = World::start(&builtin()).await;
        let id = world.connect("", role()).await;
        world.app.advance(TimeDelta::hours(2));
        let denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not for operator-secret</Message></Error>";
        world.sts.say(Some((403, denied)));
        let path = format!("/connections/{id}?provider_config_key={KEY}");
        let refused = world.app.client().get(&path).expect(502).await;
        assert_eq!(refused["error"]["payload"]["type"], "aws_sigv4_sts_request_failed");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("403: AccessDenied: not for REDACTED"), "{message}");
        world.app.client().get(&path).expect(424).await;
        world.app.advance(TimeDelta::seconds(31));
        world.sts.say(None);
        assert_eq!(world.connection(&id).await["credentials"]["access_key_id"], "ASIA2");
    });
}

#[test]
fn a_reconnect_keeps_region_and_external_id() {
    run(async {
        let world = World::start(&builtin()).await;
        let id = world.connect("", json!({"role_arn": ROLE, "region": "eu-west-1"})).await;
        let external = world.connection(&id).await["credentials"]["external_id"].clone();
        let body = json!({"connection_id": id, "integration_id": KEY});
        let session = world.app.client().post("/connect/sessions/reconnect", body).expect(201).await;
        let more = "&params[external_id]=1f3f6f0e-7a55-4f0a-9d63-2f3f3f3f3f3f";
        let path = world.path(session["data"]["token"].as_str().unwrap(), more);
        let body = json!({"role_arn": ROLE, "region": "us-east-1"});
        let answer = world.app.anonymous().post(path, body).expect(200).await;
        assert_eq!(answer["connectionId"], id.as_str());
        let credentials = world.connection(&id).await["credentials"].clone();
        assert_eq!((&credentials["external_id"], &credentials["region"]), (&external, &json!("eu-west-1")));
    });
}

#[test]
fn only_uuids_of_the_browser_become_external_ids() {
    run(async {
        let world = World::start(&builtin()).await;
        let id = world.connect("&params[external_id]=guess", role()).await;
        let external = world.connection(&id).await["connection_config"]["external_id"].clone();
        assert!(uuid::Uuid::parse_str(external.as_str().unwrap()).is_ok(), "{external}");
        let config = json!({"end_user": {"id": "u1"}, "integrations_config_defaults":
            {KEY: {"connection_config": {"external_id": "tenant/7"}}}});
        let session = world.app.client().post("/connect/sessions", config).expect(201).await;
        let path = world.path(session["data"]["token"].as_str().unwrap(), "");
        let answer = world.app.anonymous().post(path, role()).expect(200).await;
        let connection = world.connection(answer["connectionId"].as_str().unwrap()).await;
        assert_eq!(connection["connection_config"]["external_id"], "tenant/7");
    });
}

#[test]
fn a_broker_hands_out_keys_too() {
    run(async {
        // The broker's keys must be known to STS: it asks for them itself, as the operator.
        let world = World::start(&builtin()).await;
        let first = world.connect("", role()).await;
        let keys = world.connection(&first).await["credentials"].clone();
        for (proof, header, expected) in [
            (json!({"stsAuthType": "api_key", "stsApiKey": "k-1"}), "x-api-key", "k-1"),
            (
                json!({"stsAuthType": "api_key", "stsApiKey": "k-2", "stsAuthHeader": "x-mine"}),
                "x-mine",
                "k-2",
            ),
            (
                json!({"stsAuthType": "basic", "stsAuthUsername": "Aladdin", "stsAuthPassword": "open sesame"}),
                "authorization",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
        ] {
            let body = json!({"credentials": {"accessKeyId": keys["access_key_id"],
                "secretAccessKey": keys["secret_access_key"], "sessionToken": keys["session_token"],
                "expiration": 4_102_444_800_i64}})
            .to_string();
            let broker =
                Target::start(move |_| answer(200, &[("content-type", "application/json")], body.clone()))
                    .await;
            let mut custom = json!({"service": "execute-api", "stsMode": "custom", "stsEndpointUrl": broker.url(),
                "defaultRegion": "eu-west-1"});
            custom.as_object_mut().unwrap().extend(proof.as_object().unwrap().clone());
            let sealed = world.app.app.cipher.seal_text(&custom.to_string()).unwrap();
            sqlx::query("UPDATE integrations SET custom = $1 WHERE environment_id = $2")
                .bind(sealed)
                .bind(world.app.environment_id.0)
                .execute(&world.app.app.db)
                .await
                .unwrap();
            let id = world.connect("", role()).await;
            let asked = broker.last();
            assert_eq!(asked.header(header), Some(expected));
            let sent: Value = serde_json::from_slice(&asked.body).unwrap();
            assert_eq!((&sent["role_arn"], &sent["service"]), (&json!(ROLE), &json!("execute-api")));
            assert_eq!((&sent["region"], sent["external_id"].is_string()), (&json!("eu-west-1"), true));
            let credentials = world.connection(&id).await["credentials"].clone();
            assert_eq!(credentials["expires_at"], "2100-01-01T00:00:00.000Z");
            world.call(&id, "GET", "/x", b"", &[]).await;
        }
    });
}

#[test]
fn the_route_refuses() {
    run(async {
        let world = World::start(&builtin()).await;
        let session = world.token().await;
        let post = |more: &str, body: Value| world.app.anonymous().post(world.path(&session, more), body);
        check(vec![
            Case { name: "no role", request: post("", json!({})), status: 400, code: "invalid_body" },
            Case {
                name: "a bad region",
                request: post("", json!({"role_arn": ROLE, "region": "EU/west"})),
                status: 400,
                code: "invalid_body",
            },
            Case {
                name: "a bad region of the page",
                request: post("&params[region]=evil.test%2F", role()),
                status: 400,
                code: "missing_aws_sigv4_region",
            },
            Case {
                name: "a role that the entry's pattern refuses",
                request: post("", json!({"role_arn": "reader"})),
                status: 400,
                code: "invalid_connection_config",
            },
            Case {
                name: "an ARN without a name",
                request: post("", json!({"role_arn": "arn:aws:iam::1:role"})),
                status: 400,
                code: "missing_aws_sigv4_role_arn",
            },
            Case {
                name: "a role that nobody may assume",
                request: post("", json!({"role_arn": "arn:aws:iam::1:role/other"})),
                status: 502,
                code: "aws_sigv4_sts_request_failed",
            },
        ])
        .await;
        *world.sts.role_name.lock().unwrap() = "somebody-else";
        let reply = post("", role()).send().await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "connection_test_failed"));
        for (script, expected) in [
            ((502, "<html>Bad gateway, secret inside</html>"), "502 with 39 bytes that are no answer of STS"),
            ((200, "<html></html>"), "holds no temporary keys"),
            ((301, ""), "301"),
        ] {
            world.sts.say(Some(script));
            let reply = post("", role()).send().await;
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (502, "aws_sigv4_sts_request_failed"));
            assert!(reply.text().contains(expected), "{}", reply.text());
        }
        let list = world.app.client().get("/connections").expect(200).await;
        assert_eq!(list["connections"], json!([]));
    });
}

#[test]
fn incomplete_integrations_are_named() {
    run(async {
        let wrong = json!({"service": "s3", "awsAccessKeyId": OPERATOR.0, "awsSecretAccessKey": "not-the-secret",
            "defaultRegion": "eu-west-1"});
        for (custom, status, code) in [
            (json!({}), 400, "missing_aws_sigv4_config"),
            (json!({"awsAccessKeyId": "a"}), 400, "missing_aws_sigv4_service"),
            (json!({"service": "s3"}), 400, "missing_aws_sigv4_builtin_credentials"),
            (
                json!({"service": "s3", "awsAccessKeyId": "a", "awsSecretAccessKey": "b"}),
                400,
                "missing_aws_sigv4_region",
            ),
            (json!({"service": "s3", "stsMode": "custom"}), 400, "missing_aws_sigv4_sts_endpoint"),
            (json!({"service": "s3", "stsMode": "x"}), 400, "invalid_aws_sigv4_config"),
            (wrong, 502, "aws_sigv4_sts_request_failed"),
        ] {
            let world = World::start(&custom).await;
            let path = world.path(&world.token().await, "");
            let reply = world.app.anonymous().post(path, role()).send().await;
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{}", reply.text());
            assert!(!reply.text().contains("not-the-secret"));
        }
    });
}

#[test]
fn a_connection_may_bring_its_own_base_url() {
    run(async {
        let world = World::start(&builtin()).await;
        let id = world.connect("", role()).await;
        let elsewhere = Target::start(verdict).await;
        let integration = hitchpost::integrations::find(&world.app.app, world.app.environment_id, KEY);
        let integration = integration.await.unwrap().unwrap();
        let credentials = world.connection(&id).await["credentials"].clone();
        let config = json!({ "base_url": elsewhere.url() });
        crate::support::target::insert_connection(&world.app, &integration, "own", credentials, config).await;
        world.call("own", "GET", "/mine", b"", &[]).await;
        assert_eq!(elsewhere.last().target, "/mine");
    });
}
