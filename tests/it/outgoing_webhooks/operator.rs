//! What operators see of deliveries, and how they send them again.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::World;
use crate::support::receiver::Receiver;
use crate::support::{Case, Client, TestApp, check, run};

async fn operator(app: &TestApp) -> (Client, String) {
    (app.account_client().await, format!("env={}", app.environment_name))
}

const PATH: &str = "/api/v1/webhook-deliveries";

#[test]
fn deliveries_are_listed_by_filter_and_page() {
    run(async {
        let world = World::start().await;
        let (client, env) = operator(&world.app).await;
        world.receiver.answer_next(&[404]);
        for number in 0..5 {
            world.tell(&format!("c{number}"), number, None).await;
            world.app.settle_webhooks().await;
        }
        let list = async |query: &str| client.get(format!("{PATH}?{env}{query}")).expect(200).await;
        let ids = |page: &Value| -> Vec<String> {
            let rows = page["data"].as_array().unwrap().iter();
            rows.map(|row| row["connection_id"].as_str().unwrap().to_owned()).collect()
        };
        let first = list("&limit=3").await;
        assert_eq!(ids(&first), ["c4", "c3", "c2"]);
        let cursor = first["next_cursor"].as_str().expect("another page");
        let second = list(&format!("&limit=3&cursor={cursor}")).await;
        assert_eq!((ids(&second), &second["next_cursor"]), (vec!["c1".into(), "c0".into()], &Value::Null));
        for (query, expected) in [
            ("&state=failed", vec!["c0"]),
            ("&state=delivered&connection_id=c2", vec!["c2"]),
            ("&type=forward", vec![]),
            ("&type=auth&provider_config_key=acme&connection_id=c1", vec!["c1"]),
            ("&provider_config_key=other", vec![]),
        ] {
            assert_eq!(ids(&list(query).await), expected, "{query}");
        }
        let row = &list("&state=failed").await["data"][0];
        assert_eq!((&row["event"], &row["target"]), (&json!("refresh"), &json!("primary")));
        assert_eq!((&row["attempt_count"], &row["last_status"]), (&json!(1), &json!(404)));
        assert_eq!(row["url"], world.receiver.url("/hook"));
        assert!(row["finished_at"].is_string() && row["next_attempt_at"].is_null());
    });
}

#[test]
fn a_delivery_shows_its_body_and_every_attempt_and_can_be_sent_again() {
    run(async {
        let world = World::start().await;
        let (client, env) = operator(&world.app).await;
        world.receiver.answer_next(&[500, 400]);
        world.import("c1").await;
        world.app.settle_webhooks().await;
        world.app.advance(TimeDelta::seconds(3));
        world.app.settle_webhooks().await;
        let listed = client.get(format!("{PATH}?{env}")).expect(200).await;
        let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
        let read = async || client.get(format!("{PATH}/{id}?{env}")).expect(200).await["data"].clone();
        let shown = read().await;
        assert_eq!(shown["body"], world.receiver.seen()[0].text());
        assert_eq!(shown["state"], "failed");
        let attempts = shown["attempts"].as_array().unwrap();
        let told: Vec<_> =
            attempts.iter().map(|one| (&one["number"], &one["status"], &one["answer"])).collect();
        assert_eq!(
            told,
            [
                (&json!(1), &json!(500), &json!("told to say 500")),
                (&json!(2), &json!(400), &json!("told to say 400"))
            ]
        );
        assert!(attempts[0]["duration_ms"].is_u64());

        // To where webhooks go now.
        let new = Receiver::start().await;
        world.app.send_webhooks_to(&new.url("/new")).await;
        let replayed = client.post(format!("{PATH}/{id}/replay?{env}"), json!({})).expect(200).await;
        assert_eq!(replayed["data"]["id"], id);
        world.app.settle_webhooks().await;
        assert_eq!(new.seen().pop().expect("a webhook").text(), shown["body"].as_str().unwrap());
        assert_eq!(new.seen()[0].header("x-hitchpost-delivery"), Some(id.as_str()));
        let shown = read().await;
        assert_eq!((&shown["state"], &shown["attempt_count"]), (&json!("delivered"), &json!(3)));
        assert_eq!(shown["url"], new.url("/new"));
        client.post(format!("{PATH}/{id}/replay?{env}"), json!({})).expect(200).await;
        world.app.settle_webhooks().await;
        assert_eq!(new.seen().len(), 2, "delivered ones, too");
    });
}

#[test]
fn a_waiting_delivery_is_tried_at_once_even_when_the_breaker_is_open() {
    run(async {
        let world = World::start().await;
        let (client, env) = operator(&world.app).await;
        world.receiver.always_answer(Some(500));
        for number in 0..20 {
            world.tell(&format!("c{number}"), number, None).await;
        }
        world.app.settle_webhooks().await;
        let tried = world.receiver.seen().len();
        world.receiver.always_answer(None);
        let listed = client.get(format!("{PATH}?{env}&connection_id=c0")).expect(200).await;
        let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
        client.post(format!("{PATH}/{id}/replay?{env}"), json!({})).expect(200).await;
        world.app.settle_webhooks().await;
        assert!(world.receiver.seen().len() > tried);
    });
}

#[test]
fn everything_that_was_given_up_is_sent_again_oldest_first() {
    run(async {
        let world = World::start().await;
        let (client, env) = operator(&world.app).await;
        world.receiver.answer_next(&[410, 410, 410]);
        for number in 0..3 {
            world.tell("c1", number, None).await;
            world.app.settle_webhooks().await;
        }
        let none = client.post(format!("{PATH}/replay?{env}&connection_id=c2"), json!({})).expect(200).await;
        assert_eq!(none["data"]["replayed"], 0);
        let all = client.post(format!("{PATH}/replay?{env}&connection_id=c1"), json!({})).expect(200).await;
        assert_eq!(all["data"]["replayed"], 3);
        let trail = format!("/api/v1/audit-trail?{env}&resources=webhook&actions=replayed");
        let events = client.get(trail).expect(200).await;
        assert_eq!(events["data"][0]["targets"].as_array().map(Vec::len), Some(3), "{events}");
        world.app.settle_webhooks().await;
        assert_eq!(world.arrived("c1"), ["0", "1", "2", "0", "1", "2"]);
    });
}

#[test]
fn a_delivery_is_one_operation_of_the_logs_with_a_message_for_each_request() {
    run(async {
        let world = World::start().await;
        let (client, env) = operator(&world.app).await;
        world.receiver.answer_next(&[500, 307]);
        world.tell("c1", 1, None).await;
        world.app.settle_webhooks().await;
        let listed = client.get(format!("{PATH}?{env}")).expect(200).await;
        let id = listed["data"][0]["operation_id"].as_str().unwrap().to_owned();
        let app = &world.app.app;
        let stored = async || -> (String, Value, Vec<String>) {
            app.logs.flush(&app.db).await;
            let (state, data) = sqlx::query_as("SELECT state, data FROM log_operations WHERE id = $1")
                .bind(&id)
                .fetch_one(&app.db)
                .await
                .unwrap();
            let messages: Vec<Value> =
                sqlx::query_scalar("SELECT body FROM log_messages WHERE operation_id = $1 ORDER BY seq")
                    .bind(&id)
                    .fetch_all(&app.db)
                    .await
                    .unwrap();
            let texts = messages.iter().map(|message| message["message"].as_str().unwrap().to_owned());
            (state, data, texts.collect())
        };
        let (state, data, texts) = stored().await;
        assert_eq!(state, "running");
        assert_eq!((&data["integrationName"], &data["connectionName"]), (&json!("acme"), &json!("c1")));
        let posted = format!("POST {}", world.receiver.url("/hook"));
        assert_eq!((texts.len(), &texts[0]), (2, &posted), "{texts:?}");
        assert!(texts[1].starts_with("The receiver answered 500. It is sent again at "), "{texts:?}");
        world.app.advance(TimeDelta::seconds(3));
        world.app.settle_webhooks().await;
        let (state, data, texts) = stored().await;
        assert_eq!((state.as_str(), texts.len()), ("failed", 4), "{texts:?}");
        assert_eq!(data["error"]["message"], "The receiver answered 307.");
        let delivery = listed["data"][0]["id"].as_str().unwrap();
        client.post(format!("{PATH}/{delivery}/replay?{env}"), json!({})).expect(200).await;
        world.app.settle_webhooks().await;
        let (state, _, texts) = stored().await;
        assert_eq!((state.as_str(), texts.len()), ("success", 5), "{texts:?}");
    });
}

#[test]
fn deliveries_of_others_and_of_nobody_are_not_found() {
    run(async {
        let world = World::start().await;
        let (client, env) = operator(&world.app).await;
        world.import("c1").await;
        world.app.settle_webhooks().await;
        let listed = client.get(format!("{PATH}?{env}")).expect(200).await;
        let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
        let nobody = "00000000-0000-4000-8000-000000000000";
        let stranger = TestApp::start().await;
        let other = format!("env={}", stranger.environment_name);
        let case = |name, request, status, code| Case { name, request, status, code };
        check(vec![
            case("another environment", client.get(format!("{PATH}/{id}?{other}")), 404, "not_found"),
            case("unknown", client.get(format!("{PATH}/{nobody}?{env}")), 404, "not_found"),
            case(
                "replay unknown",
                client.post(format!("{PATH}/{nobody}/replay?{env}"), json!({})),
                404,
                "not_found",
            ),
            case("no id", client.get(format!("{PATH}/x?{env}")), 400, "invalid_uri_params"),
            case("no environment", client.get(PATH), 400, "invalid_query_params"),
            case("unknown environment", client.get(format!("{PATH}?env=nope")), 404, "not_found"),
            case("bad state", client.get(format!("{PATH}?{env}&state=lost")), 400, "invalid_query_params"),
            case("bad cursor", client.get(format!("{PATH}?{env}&cursor=x")), 400, "invalid_query_params"),
            case("bad limit", client.get(format!("{PATH}?{env}&limit=201")), 400, "invalid_query_params"),
            case(
                "unknown parameter",
                client.get(format!("{PATH}?{env}&page=1")),
                400,
                "invalid_query_params",
            ),
            case(
                "a key of the environment",
                world.app.client().get(format!("{PATH}?{env}")),
                403,
                "forbidden",
            ),
            case("nobody", world.app.anonymous().get(format!("{PATH}?{env}")), 401, "missing_auth_header"),
        ])
        .await;
    });
}
