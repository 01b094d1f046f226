//! Refreshing tokens and fetching them with client credentials.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use hitchpost::auth::Credentials;
use hitchpost::connections::{NewConnection, establish};
use hitchpost::db::environments;
use hitchpost::modes::Renewed;
use hitchpost::oauth::{ClientCredentialsInput, TokenError, obtain_client_credentials};
use hitchpost::refresh::{Force, fresh_credentials};
use serde_json::{Map, Value, json};

use crate::oauth_world::World;
use crate::support::provider::{CLIENT_ID, CLIENT_SECRET, Recorded};
use crate::support::run;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

/// A connection whose token lasted an hour and ends in a minute.
async fn connect(world: &World, credentials: Value, config: Value) {
    let app = &world.app.app;
    let mut credentials = credentials;
    credentials["type"] = "OAUTH2".into();
    credentials["expires_at"] =
        hitchpost::time_format::format_millis_z(world.app.now() + TimeDelta::hours(1)).into();
    let credentials = Credentials::from_json(credentials).expect("credentials");
    let environment = environments::find(&app.db, world.app.environment_id).await;
    let environment = environment.expect("the database answers").expect("the environment");
    let new = NewConnection::from_session("c1", &credentials, object(config), None);
    establish(app, &environment, &world.open_integration().await, new).await.expect("a connection");
    world.app.advance(TimeDelta::minutes(59));
}

async fn refresh(world: &World, force: Force) -> Result<Credentials, String> {
    let integration = Arc::new(world.open_integration().await);
    let (connection, _) = world.connection("c1").await;
    let fresh = fresh_credentials(&world.app.app, &integration, connection, force).await;
    fresh.map(|fresh| fresh.credentials).map_err(|error| format!("{}: {}", error.kind, error.message))
}

fn old_token() -> Value {
    json!({"access_token": "old", "refresh_token": "refresh-0", "raw": {}})
}

#[test]
fn a_token_is_refreshed_and_the_old_refresh_token_kept() {
    run(async {
        let world = World::start(
            "token_params:\n  grant_type: authorization_code\n  audience: ${connectionConfig.aud}",
        )
        .await;
        world.provider.issue_refresh_token("refresh-0");
        connect(&world, old_token(), json!({"aud": "x"})).await;
        let json = refresh(&world, Force::No).await.expect("refreshed").to_json();
        assert_eq!(
            (&json["access_token"], &json["refresh_token"]),
            (&json!("access-1"), &json!("refresh-0"))
        );
        let body = Value::Object(world.provider.last_request().body);
        assert_eq!(
            body,
            json!({"grant_type": "refresh_token", "refresh_token": "refresh-0", "audience": "x",
                "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
        );
        let again = refresh(&world, Force::No).await.expect("still good").to_json();
        assert_eq!(again, json);
        assert_eq!(world.provider.requests().len(), 1);
    });
}

#[test]
fn a_rotated_refresh_token_replaces_the_old_one() {
    run(async {
        let world = World::start("").await;
        world.provider.rotate();
        world.provider.issue_refresh_token("refresh-0");
        connect(&world, old_token(), json!({})).await;
        for expected in ["refresh-1", "refresh-2"] {
            let json = refresh(&world, Force::Yes).await.expect("refreshed").to_json();
            assert_eq!(json["refresh_token"], expected);
            world.app.advance(TimeDelta::seconds(1));
        }
    });
}

#[test]
fn twenty_callers_make_one_refresh() {
    run(async {
        let world = World::start("").await;
        world.provider.rotate();
        world.provider.issue_refresh_token("refresh-0");
        world.provider.delay(Duration::from_millis(100));
        connect(&world, old_token(), json!({})).await;
        let integration = Arc::new(world.open_integration().await);
        let (connection, _) = world.connection("c1").await;
        let calls =
            (0..20).map(|_| fresh_credentials(&world.app.app, &integration, connection.clone(), Force::No));
        for fresh in futures_util::future::join_all(calls).await {
            assert_eq!(fresh.expect("refreshed").credentials.bearer_token(), Some("access-1"));
        }
        assert_eq!(world.provider.requests().len(), 1);
    });
}

#[test]
fn the_refresh_request_is_what_the_entry_says() {
    run(async {
        for (extra, raw, check) in [
            (
                "refresh_params:\n  grant_type: refresh_token\n  extra: ${connectionConfig.aud}",
                json!({}),
                (|request| request.param("extra") == "x") as fn(&Recorded) -> bool,
            ),
            ("refresh_url: PROVIDER/renew", json!({}), |request| request.path == "/renew"),
            ("authorization_method: header", json!({}), |request| {
                request.param("client_secret").is_empty()
                    && request.header("authorization").starts_with("Basic ")
            }),
            (
                "body_format: json",
                json!({"config_override": {"client_id": "own-1", "client_secret": "own-secret"}}),
                |request| {
                    request.param("client_id") == "own-1"
                        && request.header("content-type") == "application/json"
                },
            ),
            ("", json!({"config_override": {"client_id": "own-1"}}), |request| {
                request.param("client_id") == CLIENT_ID
            }),
        ] {
            let world = World::start(extra).await;
            world.provider.issue_refresh_token("refresh-0");
            let mut credentials = old_token();
            credentials.as_object_mut().expect("an object").extend(object(raw));
            connect(&world, credentials, json!({"aud": "x"})).await;
            let renewed = refresh(&world, Force::No).await.unwrap_or_else(|error| panic!("{extra}: {error}"));
            assert_eq!(renewed.bearer_token(), Some("access-1"), "{extra}");
            assert!(check(&world.provider.last_request()), "{extra}: {:?}", world.provider.last_request());
        }
    });
}

#[test]
fn a_failed_refresh_carries_the_words_of_the_provider_and_no_secret() {
    run(async {
        for (status, body, expected) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"refresh-0 is revoked"}"#,
                "400 invalid_grant: REDACTED is revoked",
            ),
            (503, "<html><title>Down</title>", "503 with a web page titled \"Down\""),
            (200, "{}", "no access token"),
        ] {
            let world = World::start("").await;
            connect(&world, old_token(), json!({})).await;
            world.provider.answer_next(status, "text/html", body);
            let error = refresh(&world, Force::No).await.expect_err("refused");
            assert!(
                error.starts_with("refresh_token_external_error: ") && error.contains(expected),
                "{error}"
            );
            let again = refresh(&world, Force::No).await.expect_err("backing off");
            assert!(again.starts_with("connection_refresh_backoff"), "{again}");
            assert_eq!(world.provider.requests().len(), 1);
        }
    });
}

const CC: &str = "auth_mode: OAUTH2_CC\ntoken_params:\n  grant_type: client_credentials";

async fn obtain(world: &World, input: ClientCredentialsInput, config: Value) -> Result<Renewed, TokenError> {
    let integration = world.open_integration().await;
    obtain_client_credentials(&world.app.app, &integration, input, &object(config)).await
}

fn typed() -> ClientCredentialsInput {
    ClientCredentialsInput {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned().into(),
        ..ClientCredentialsInput::default()
    }
}

#[test]
fn client_credentials_are_sent_as_the_entry_says() {
    run(async {
        let basic = "Basic Y2xpZW50LTE6czNjcmV0JnZhbHVl";
        for (extra, config, query, body, authorization) in [
            ("", json!({}), "", "client_id client_secret grant_type scope", ""),
            ("token_request_auth_method: basic", json!({}), "", "grant_type scope", basic),
            ("body_format: json", json!({}), "", "client_id client_secret grant_type scope", ""),
            ("body_format: query", json!({}), "client_id client_secret grant_type scope", "", ""),
            (
                "",
                json!({"authorization_params": {"audience": "a", "grant_type": "client_credentials"}}),
                "",
                "client_id client_secret grant_type scope audience",
                "",
            ),
        ] {
            let world = World::start(&format!("{CC}\n{extra}")).await;
            let renewed =
                obtain(&world, typed(), config).await.unwrap_or_else(|error| panic!("{extra}: {error}"));
            assert_eq!(renewed.credentials.bearer_token(), Some("access-1"));
            let request = world.provider.last_request();
            let names = |params: &Map<String, Value>| params.keys().cloned().collect::<Vec<_>>().join(" ");
            assert_eq!((names(&request.query), names(&request.body)), (query.into(), body.into()), "{extra}");
            assert_eq!(request.header("authorization"), authorization, "{extra}");
            assert_eq!((request.param("scope"), request.method.as_str()), ("read write:all", "POST"));
            assert_eq!(request.header("content-type").is_empty(), body.is_empty(), "{extra}");
        }
    });
}

#[test]
fn the_custom_method_and_token_headers_are_honoured() {
    run(async {
        let world = World::start(&format!(
            "{CC}\ntoken_request_auth_method: custom\ntoken_headers:\n  x-own: ${{connectionConfig.own}}"
        ))
        .await;
        world.provider.answer_next(
            200,
            "application/json",
            r#"{"data":{"token":"nested"},"team":{"id":"T"}}"#,
        );
        let renewed =
            obtain(&world, typed(), json!({"own": "1"})).await.unwrap_or_else(|error| panic!("{error}"));
        let request = world.provider.last_request();
        assert_eq!((request.param("username"), request.param("password")), (CLIENT_ID, CLIENT_SECRET));
        assert_eq!(request.header("x-own"), "1");
        assert_eq!(renewed.credentials.bearer_token(), Some("nested"));
        assert_eq!(renewed.credentials.expires_at(), Some(world.app.now() + TimeDelta::minutes(55)));
    });
}

#[test]
fn what_a_client_credentials_connection_gains() {
    run(async {
        let world =
            World::start(&format!("{CC}\ntoken_response_metadata: [team.id]\nexpires_in_unit: milliseconds"))
                .await;
        world.provider.add_to_answers(json!({"team": {"id": "T"}, "expires_in": 60_000}));
        let renewed = obtain(&world, typed(), json!({"oauth_scopes": "a,b"}))
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(Value::Object(renewed.connection_config), json!({"team.id": "T"}));
        assert_eq!(world.provider.last_request().param("scope"), "a b");
        assert_eq!(renewed.credentials.expires_at(), Some(world.app.now() + TimeDelta::minutes(1)));
        let gained = obtain(&world, typed(), json!({})).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            Value::Object(gained.connection_config),
            json!({"oauth_scopes": "read,write:all", "team.id": "T"})
        );
    });
}

#[test]
fn refused_client_credentials_say_why() {
    run(async {
        let wrong = ClientCredentialsInput { client_secret: "wrong-secret".to_owned().into(), ..typed() };
        let certificate = ClientCredentialsInput { client_certificate: Some("PEM".into()), ..typed() };
        let bad_key = ClientCredentialsInput { client_private_key: Some("{}".to_owned().into()), ..typed() };
        let jwt = "token_request_auth_method: private_key_jwt";
        for (extra, input, kind, text) in [
            ("", wrong, "client_credentials_fetch_error", "400 invalid_client: Client authentication failed"),
            ("", certificate, "client_credentials_fetch_error", "mutual TLS"),
            (jwt, typed(), "missing_client_private_key", "client_private_key"),
            (jwt, bad_key, "invalid_certificate_or_key_format", "JWK"),
            (
                "token_url: https://${connectionConfig.sub}.test",
                typed(),
                "invalid_connection_config",
                "connectionConfig.sub",
            ),
            (
                "token_headers:\n  x: ${connectionConfig.sub}",
                typed(),
                "invalid_connection_config",
                "connectionConfig.sub",
            ),
        ] {
            let world = World::start(&format!("{CC}\n{extra}")).await;
            let error = obtain(&world, input, json!({})).await.err().expect("refused");
            assert_eq!(error.kind, kind, "{extra}");
            assert!(error.message.contains(text), "{extra}: {}", error.message);
            assert!(!error.message.contains("wrong-secret"));
        }
    });
}
