//! Fresh credentials: one refresh at a time, failures that are remembered, and leases that run out.

use chrono::TimeDelta;
use hitchpost::db::{connections, integrations, refresh_leases};
use hitchpost::jobs;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::token_endpoint::TokenEndpoint;
use crate::support::{TestApp, run};

const PATH: &str = "/connections/c1?provider_config_key=machine";

struct World {
    app: TestApp,
    endpoint: TokenEndpoint,
}

/// A connection with client credentials whose token ends in an hour.
async fn world() -> World {
    let endpoint = TokenEndpoint::start().await;
    let app = TestApp::with_catalog(format!(
        "machine:\n  display_name: Machine\n  auth_mode: OAUTH2_CC\n  docs: https://example.com\n  token_url: {}\n  \
         token_params: {{ grant_type: client_credentials }}\n  proxy: {{ base_url: \"https://machine.example\" }}\n",
        endpoint.url
    ))
    .await;
    let client = app.client();
    client.post("/integrations", json!({"provider": "machine", "unique_key": "machine"})).expect(200).await;
    let expires_at = (app.now() + TimeDelta::hours(1)).to_rfc3339();
    import(&app, "imported", &expires_at).await;
    World { app, endpoint }
}

async fn import(app: &TestApp, token: &str, expires_at: &str) {
    let body = json!({
        "provider_config_key": "machine", "connection_id": "c1",
        "credentials": {"type": "OAUTH2_CC", "token": token, "client_id": "id", "client_secret": "s3cr3t-of-c1",
                        "expires_at": expires_at},
    });
    app.client().post("/connections", body).expect(201).await;
}

impl World {
    async fn token(&self) -> Value {
        self.app.client().get(PATH).expect(200).await["credentials"]["token"].clone()
    }

    async fn row(&self) -> connections::Connection {
        let app = &self.app;
        let integration =
            integrations::find(&app.app.db, app.environment_id, "machine").await.unwrap().unwrap();
        connections::find(&app.app.db, app.environment_id, integration.id, "c1").await.unwrap().unwrap()
    }
}

#[test]
fn a_token_is_refreshed_when_it_is_close_to_its_end_and_not_before() {
    run(async {
        let world = world().await;
        world.app.advance(TimeDelta::minutes(44));
        assert_eq!(world.token().await, "imported");
        world.app.advance(TimeDelta::minutes(2));
        assert_eq!(world.token().await, "token-1");
        assert_eq!(world.token().await, "token-1");
        assert_eq!(world.endpoint.calls(), 1);
    });
}

#[test]
fn twenty_readers_over_two_replicas_cause_one_token_call() {
    run(async {
        let world = world().await;
        let replica = world.app.replica().await;
        world.app.advance(TimeDelta::hours(2));
        world.endpoint.hold();
        let readers: Vec<_> = (0..20)
            .map(|number| {
                let client = if number % 2 == 0 { world.app.client() } else { replica.client() };
                tokio::spawn(client.get(PATH).expect(200))
            })
            .collect();
        world.endpoint.wait_for_call().await;
        world.endpoint.release();
        for reader in readers {
            assert_eq!(reader.await.unwrap()["credentials"]["token"], "token-1");
        }
        assert_eq!(world.endpoint.calls(), 1);
    });
}

#[test]
fn a_forced_refresh_runs_even_when_the_token_is_good() {
    run(async {
        let world = world().await;
        let forced = world.app.client().get(format!("{PATH}&force_refresh=true")).expect(200).await;
        assert_eq!(forced["credentials"]["token"], "token-1");
    });
}

#[test]
fn a_refusal_is_reported_remembered_and_forgotten_after_a_success() {
    run(async {
        let world = world().await;
        let client = world.app.client();
        world.app.advance(TimeDelta::hours(2));
        world
            .endpoint
            .say(Some((401, json!({"error": "invalid_client", "error_description": "wrong secret"}))));
        let refused = client.get(PATH).expect(400).await;
        assert_eq!(refused["error"]["code"], "invalid_credentials");
        assert_eq!(refused["error"]["payload"]["type"], "client_credentials_fetch_error");
        assert_eq!(refused["error"]["payload"]["connection"]["errors"][0]["type"], "auth");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("invalid_client") && message.contains("wrong secret"), "{message}");
        assert!(!refused.to_string().contains("s3cr3t-of-c1"));
        assert_eq!(refused["error"]["payload"]["connection"]["credentials"], json!({}));

        let waiting = client.get(PATH).expect(424).await;
        assert_eq!(waiting["error"]["payload"]["type"], "connection_refresh_backoff");
        assert_eq!(world.endpoint.calls(), 1);

        world.app.advance(TimeDelta::seconds(31));
        world.endpoint.say(None);
        let healthy = client.get(PATH).expect(200).await;
        assert_eq!((&healthy["credentials"]["token"], &healthy["errors"]), (&json!("token-2"), &json!([])));
    });
}

#[test]
fn failures_on_four_days_exhaust_a_connection_until_a_forced_refresh_succeeds() {
    run(async {
        let world = world().await;
        let client = world.app.client();
        world.app.advance(TimeDelta::hours(2));
        world.endpoint.say(Some((400, json!({"error": "invalid_grant"}))));
        for day in 1..=4 {
            client.get(PATH).expect(400).await;
            world.app.advance(TimeDelta::seconds(31));
            let status = client.get(PATH).send().await.status.as_u16();
            assert_eq!(status, if day == 4 { 424 } else { 400 }, "a second failure on day {day} counts once");
            world.app.advance(TimeDelta::days(1));
        }
        let calls = world.endpoint.calls();
        let exhausted = client.get(PATH).expect(424).await;
        assert_eq!(exhausted["error"]["payload"]["type"], "connection_refresh_exhausted");
        assert_eq!(world.endpoint.calls(), calls, "an exhausted connection causes no traffic");
        world.endpoint.say(None);
        client.get(format!("{PATH}&force_refresh=true")).expect(200).await;
        client.get(PATH).expect(200).await;
    });
}

#[test]
fn the_lease_of_a_process_that_died_runs_out() {
    run(async {
        let world = world().await;
        world.app.advance(TimeDelta::hours(2));
        let (row, now) = (world.row().await, world.app.now());
        let until = now + TimeDelta::seconds(40);
        let db = &world.app.app.db;
        assert!(refresh_leases::take(db, row.environment_id, row.id, Uuid::nil(), until, now).await.unwrap());
        let reader = tokio::spawn(world.app.client().get(PATH).expect(200));
        // The reader polls; only time lets it go on.
        tokio::task::yield_now().await;
        assert_eq!(world.endpoint.calls(), 0);
        world.app.advance(TimeDelta::seconds(41));
        assert_eq!(reader.await.unwrap()["credentials"]["token"], "token-1");
    });
}

#[test]
fn a_connection_that_was_authorized_again_meanwhile_keeps_its_new_credentials() {
    run(async {
        let world = world().await;
        world.app.advance(TimeDelta::hours(2));
        world.endpoint.hold();
        let reader = tokio::spawn(world.app.client().get(PATH).expect(200));
        world.endpoint.wait_for_call().await;
        let expires_at = (world.app.now() + TimeDelta::hours(1)).to_rfc3339();
        import(&world.app, "authorized-again", &expires_at).await;
        world.endpoint.release();
        assert_eq!(reader.await.unwrap()["credentials"]["token"], "authorized-again");
        assert_eq!(world.token().await, "authorized-again");
    });
}

#[test]
fn idle_connections_are_refreshed_in_the_background() {
    run(async {
        let world = world().await;
        world.app.advance(TimeDelta::days(2));
        let (row, now) = (world.row().await, world.app.now());
        let ours = (row.environment_id, row.id);
        let idle_for = now - TimeDelta::days(1);
        // Other tests share the database, so only this connection is handed to the job.
        let idle = connections::list_idle(&world.app.app.db, idle_for, now, now, i64::MAX).await.unwrap();
        assert!(idle.contains(&ours));
        jobs::refresh_connections(&world.app.app, vec![ours]).await;
        jobs::flush(&world.app.app).await;
        let row = world.row().await;
        assert_eq!((row.last_refresh_success, row.last_fetched_at), (Some(now), Some(now)));
        let idle = connections::list_idle(&world.app.app.db, idle_for, now, now, i64::MAX).await.unwrap();
        assert!(!idle.contains(&ours));
    });
}
