//! That webhooks arrive: again after failures, in order, once for all replicas, and whatever other receivers do.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use hitchpost::db::webhook_queues::{self, Claim};
use hitchpost::webhooks::outgoing;
use serde_json::json;
use tokio::net::TcpListener;

use super::World;
use crate::support::app::TestSettings;
use crate::support::receiver::{Receiver, assert_signed};
use crate::support::run;

impl World {
    async fn later(&self, by: TimeDelta) {
        self.app.advance(by);
        self.app.settle_webhooks().await;
    }

    /// State, attempts and last status of the newest delivery.
    async fn newest(&self) -> (String, i32, Option<i16>) {
        sqlx::query_as(
            "SELECT state, attempts, last_status FROM webhook_deliveries WHERE environment_id = $1
             ORDER BY id DESC LIMIT 1",
        )
        .bind(self.app.environment_id.0)
        .fetch_one(&self.app.app.db)
        .await
        .expect("a delivery")
    }
}

fn state(state: &str, attempts: i32, status: Option<i16>) -> (String, i32, Option<i16>) {
    (state.to_owned(), attempts, status)
}

#[test]
fn a_failing_receiver_is_tried_after_3_and_9_seconds_and_then_more_slowly() {
    run(async {
        let world = World::start().await;
        world.receiver.answer_next(&[500, 503, 500]);
        world.tell("c1", 1, None).await;
        world.app.settle_webhooks().await;
        for (wait, attempts) in [(2, 1), (1, 2), (5, 2), (1, 3), (23, 3), (14, 4)] {
            world.later(TimeDelta::seconds(wait)).await;
            assert_eq!(world.receiver.seen().len(), attempts, "after {wait} s more");
        }
        assert_eq!(world.newest().await, state("delivered", 4, Some(200)));
        let ids: Vec<_> = world
            .receiver
            .seen()
            .iter()
            .map(|seen| seen.header("x-hitchpost-delivery").map(str::to_owned))
            .collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        let key = world.app.webhook_signing_key().await;
        world.receiver.seen().iter().for_each(|seen| assert_signed(seen, &key));
    });
}

#[test]
fn a_dead_receiver_is_given_up_after_a_day_and_not_before() {
    run(async {
        let world = World::start().await;
        world.receiver.always_answer(Some(502));
        world.tell("c1", 1, None).await;
        world.app.settle_webhooks().await;
        for hour in 0..24 {
            assert_eq!(world.newest().await.0, "waiting", "hour {hour}");
            world.later(TimeDelta::minutes(60)).await;
        }
        world.later(TimeDelta::minutes(80)).await;
        let (state, attempts, status) = world.newest().await;
        assert_eq!((state.as_str(), status), ("failed", Some(502)));
        assert!(attempts > 15, "{attempts} attempts");
        world.later(TimeDelta::hours(2)).await;
        assert_eq!(world.receiver.seen().len(), attempts as usize);
    });
}

#[test]
fn answers_say_whether_to_come_again() {
    run(async {
        let world = World::start().await;
        for status in [300, 304, 400, 401, 404, 410, 422] {
            world.receiver.answer_next(&[status]);
            world.tell("c1", 1, None).await;
            world.app.settle_webhooks().await;
            assert_eq!(world.newest().await, state("failed", 1, Some(status as i16)), "{status}");
        }
        let before = world.receiver.seen().len();
        world.receiver.answer_next_with(429, "retry-after", "20");
        world.tell("c1", 1, None).await;
        world.app.settle_webhooks().await;
        assert_eq!(world.newest().await, state("waiting", 1, Some(429)));
        world.later(TimeDelta::seconds(19)).await;
        assert_eq!(world.receiver.seen().len(), before + 1);
        world.later(TimeDelta::seconds(1)).await;
        assert_eq!(world.newest().await, state("delivered", 2, Some(200)));
    });
}

#[test]
fn events_of_a_connection_arrive_in_order_and_do_not_hold_up_those_of_another() {
    run(async {
        let world = World::start().await;
        world.receiver.answer_next(&[500, 500]);
        for number in 0..4 {
            world.tell("first", number, None).await;
        }
        world.app.settle_webhooks().await;
        assert_eq!(world.arrived("first"), ["0"], "the others wait for it");
        world.tell("second", 0, None).await;
        world.app.settle_webhooks().await;
        assert_eq!(world.arrived("second"), ["0"], "refused, too");
        world.tell("third", 0, None).await;
        world.app.settle_webhooks().await;
        assert_eq!(world.arrived("third"), ["0"]);
        world.later(TimeDelta::seconds(3)).await;
        assert_eq!(world.arrived("first"), ["0", "0", "1", "2", "3"]);
    });
}

#[test]
fn a_failing_primary_address_does_not_stop_the_secondary() {
    run(async {
        let world = World::start().await;
        let second = Receiver::start().await;
        world.app.set_webhooks(json!({"secondary_url": second.url("/")})).await;
        world.receiver.always_answer(Some(500));
        for number in 0..3 {
            world.tell("c1", number, None).await;
        }
        world.app.settle_webhooks().await;
        assert_eq!(second.seen().len(), 3);
        assert_eq!(world.receiver.seen().len(), 1);
    });
}

#[test]
fn many_failures_open_the_breaker_of_an_address_and_one_success_closes_it() {
    run(async {
        let world = World::start().await;
        world.receiver.always_answer(Some(500));
        for number in 0..40 {
            world.tell(&format!("c{number}"), number, None).await;
        }
        world.app.settle_webhooks().await;
        let tried = world.receiver.seen().len();
        assert!((6..=32).contains(&tried), "the breaker opened after {tried}");
        world.later(TimeDelta::seconds(30)).await;
        assert_eq!(world.receiver.seen().len(), tried, "nothing is sent while it is open");
        world.later(TimeDelta::seconds(31)).await;
        assert_eq!(world.receiver.seen().len(), tried + 1, "one tries");
        world.later(TimeDelta::seconds(30)).await;
        assert_eq!(world.receiver.seen().len(), tried + 1, "in vain");
        world.receiver.always_answer(None);
        world.later(TimeDelta::seconds(31)).await;
        world.later(TimeDelta::minutes(2)).await;
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM webhook_deliveries WHERE environment_id = $1 AND state <> 'delivered'",
        )
        .bind(world.app.environment_id.0)
        .fetch_one(&world.app.app.db)
        .await
        .unwrap();
        assert_eq!(waiting, 0, "nothing was dropped");
    });
}

#[test]
fn hundreds_waiting_for_a_receiver_that_hangs_do_not_delay_another() {
    run(async {
        // It accepts connections and never answers.
        let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = format!("http://{}/", hanging.local_addr().unwrap());
        let settings = TestSettings::default().set("NANGO_WEBHOOK_TIMEOUT_MS", "60000");
        let world = World::with(settings).await;
        for number in 0..300 {
            world.tell(&format!("dead-{number}"), number, Some(&dead)).await;
        }
        for number in 0..5 {
            let told = Instant::now();
            world.tell("live", number, None).await;
            while world.arrived("live").len() <= number {
                assert!(told.elapsed() < Duration::from_secs(1), "event {number} is late");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        // The tasks end with the runtime; their leases are the test's own.
        drop(hanging);
    });
}

#[test]
fn redirects_are_posted_again_within_the_origin_and_refused_beyond_it() {
    run(async {
        let world = World::start().await;
        let elsewhere = Receiver::start().await;
        let key = world.app.webhook_signing_key().await;
        for status in [301, 302, 307, 308] {
            world.receiver.answer_next_with(status, "location", "/moved");
            world.tell("c1", 1, None).await;
            world.app.settle_webhooks().await;
            let seen = world.receiver.seen().pop().unwrap();
            assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/moved"), "{status}");
            assert_signed(&seen, &key);
            assert_eq!(world.newest().await, state("delivered", 1, Some(200)));
            world.receiver.answer_next_with(status, "location", elsewhere.url("/"));
            world.tell("c1", 1, None).await;
            world.app.settle_webhooks().await;
            assert_eq!(world.newest().await, state("failed", 1, None), "{status}");
        }
        assert!(elsewhere.seen().is_empty());
        let before = world.receiver.seen().len();
        for _ in 0..20 {
            world.receiver.answer_next_with(307, "location", "/again");
        }
        world.tell("c1", 1, None).await;
        world.app.settle_webhooks().await;
        assert_eq!(world.newest().await, state("failed", 1, None));
        assert_eq!(world.receiver.seen().len(), before + 6, "five redirects");
    });
}

#[test]
fn an_address_that_the_policy_denies_is_skipped_at_once() {
    run(async {
        let world = World::start().await;
        world.tell("c1", 1, Some("http://169.254.169.254/latest")).await;
        world.app.settle_webhooks().await;
        assert_eq!(world.newest().await, state("refused", 1, None));
    });
}

#[test]
fn replicas_share_the_work_and_send_everything_once() {
    run(async {
        let world = World::start().await;
        let replica = world.app.replica().await;
        for number in 0..60 {
            world.tell(&format!("c{}", number % 20), number, None).await;
        }
        let environment = world.app.environment_id;
        let (first, second) = tokio::join!(
            outgoing::deliver_due(&world.app.app, environment),
            outgoing::deliver_due(&replica.app, environment)
        );
        first.and(second).unwrap();
        world.app.settle_webhooks().await;
        let mut numbers: Vec<usize> = (0..20)
            .flat_map(|connection| world.arrived(&format!("c{connection}")))
            .map(|number| number.parse().unwrap())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..60).collect::<Vec<_>>());
        for connection in 0..20 {
            let arrived = world.arrived(&format!("c{connection}"));
            let expected: Vec<String> = (0..3).map(|round| (round * 20 + connection).to_string()).collect();
            assert_eq!(arrived, expected);
        }
    });
}

#[test]
fn what_a_dead_replica_was_sending_is_sent_when_its_lease_ends() {
    run(async {
        let world = World::start().await;
        world.receiver.answer_next(&[500]);
        world.tell("c1", 1, None).await;
        world.app.settle_webhooks().await;
        world.app.advance(TimeDelta::seconds(3));
        let now = world.app.now();
        let app = &world.app.app;
        let claim = Claim {
            environments: Some(&[world.app.environment_id]),
            owner: app.rng.uuid(),
            lease_until: now + TimeDelta::seconds(30),
            per_endpoint: 10,
            in_total: 10,
            busy: (&[], &[]),
            breakers_since: now - TimeDelta::hours(1),
            now,
        };
        assert_eq!(webhook_queues::claim(&app.db, claim).await.unwrap().len(), 1);
        world.app.advance(TimeDelta::seconds(29));
        outgoing::deliver_due(app, world.app.environment_id).await.unwrap();
        assert_eq!(world.receiver.seen().len(), 1, "another replica is at it");
        world.later(TimeDelta::seconds(2)).await;
        assert_eq!(world.newest().await, state("delivered", 2, Some(200)));
    });
}

#[test]
fn old_deliveries_go_away_and_what_waited_too_long_is_given_up() {
    run(async {
        let world = World::start().await;
        world.tell("c1", 1, None).await;
        world.app.settle_webhooks().await;
        world.receiver.always_answer(Some(500));
        world.tell("c2", 2, None).await;
        world.tell("c2", 3, None).await;
        world.app.settle_webhooks().await;
        let db = &world.app.app.db;
        let ago = |days: i32| world.app.now() - TimeDelta::days(days.into());
        let environment = world.app.environment_id.0;
        sqlx::query("UPDATE webhook_deliveries SET finished_at = $2 WHERE environment_id = $1 AND state = 'delivered'")
            .bind(environment)
            .bind(ago(8))
            .execute(db)
            .await
            .unwrap();
        sqlx::query(
            "UPDATE webhook_deliveries SET queued_at = $2 WHERE environment_id = $1 AND state = 'waiting'",
        )
        .bind(environment)
        .bind(ago(2))
        .execute(db)
        .await
        .unwrap();
        outgoing::clean_up(&world.app.app).await.unwrap();
        let left: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT state, last_error FROM webhook_deliveries WHERE environment_id = $1 ORDER BY id",
        )
        .bind(environment)
        .fetch_all(db)
        .await
        .unwrap();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(left.iter().all(|(state, _)| state == "failed"), "{left:?}");
        world.app.app.logs.flush(db).await;
        let operations: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT state, data->'error'->>'message' FROM log_operations
             WHERE environment_id = $1 AND kind = 'webhook:connection_refresh' ORDER BY created_at, state",
        )
        .bind(environment)
        .fetch_all(db)
        .await
        .unwrap();
        let given_up = Some("The webhook was given up: the address could not be reached in time.".to_owned());
        let failed = ("failed".to_owned(), given_up);
        assert_eq!(operations.iter().filter(|operation| **operation == failed).count(), 2, "{operations:?}");
        assert_eq!(operations.iter().filter(|(state, _)| state == "success").count(), 1, "{operations:?}");
        let queues: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM webhook_queues q JOIN webhook_endpoints e ON e.id = q.endpoint_id WHERE e.environment_id = $1",
        )
        .bind(environment)
        .fetch_one(db)
        .await
        .unwrap();
        assert_eq!(queues, 0);
    });
}

#[test]
fn nothing_is_sent_for_an_environment_that_was_deleted() {
    run(async {
        let world = World::start().await;
        world.receiver.always_answer(Some(500));
        world.tell("c1", 1, None).await;
        world.app.settle_webhooks().await;
        let path = format!("/api/v1/environments?env={}", world.app.environment_name);
        world.app.account_client().await.delete(path).expect(204).await;
        world.later(TimeDelta::hours(1)).await;
        assert_eq!(world.receiver.seen().len(), 1);
        assert_eq!(world.newest().await.0, "failed");
    });
}

#[test]
fn what_waits_for_a_connections_own_address_goes_to_the_one_that_replaces_it() {
    run(async {
        let world = World::start().await;
        let (wrong, right) = (Receiver::start().await, Receiver::start().await);
        wrong.always_answer(Some(500));
        right.answer_next(&[200, 500]);
        world.import("c1").await;
        let point_to = async |url: &str| {
            let patch = json!({"webhook_url_override": url});
            world.app.client().patch("/connections/c1?provider_config_key=acme", patch).expect(200).await;
        };
        point_to(&wrong.url("/")).await;
        world.tell("c1", 1, Some(&wrong.url("/"))).await;
        world.app.settle_webhooks().await;
        point_to(&right.url("/")).await;
        world.later(TimeDelta::seconds(3)).await;
        assert_eq!((wrong.seen().len(), right.seen().len()), (1, 1));
        world.tell("c1", 2, Some(&right.url("/"))).await;
        world.app.settle_webhooks().await;
        point_to("").await;
        world.later(TimeDelta::seconds(3)).await;
        assert_eq!((wrong.seen().len(), right.seen().len()), (1, 2));
        assert_eq!(world.arrived("c1"), ["2"], "without one of its own, the environment's");
    });
}

#[test]
fn what_waits_for_an_address_goes_to_the_one_that_replaces_it() {
    run(async {
        let world = World::start().await;
        let new = Receiver::start().await;
        world.receiver.always_answer(Some(500));
        for number in 0..20 {
            world.tell(&format!("c{number}"), number, None).await;
        }
        world.app.settle_webhooks().await;
        world.app.send_webhooks_to(&new.url("/")).await;
        world.app.settle_webhooks().await;
        assert_eq!(new.seen().len(), 20, "at once, although the breaker was open");
        world.receiver.always_answer(None);
        let before = world.receiver.seen().len();
        new.always_answer(Some(500));
        world.tell("c1", 1, None).await;
        world.app.settle_webhooks().await;
        world.app.set_webhooks(json!({"primary_url": null})).await;
        world.app.settle_webhooks().await;
        assert_eq!(world.newest().await.0, "failed");
        assert_eq!((new.seen().len(), world.receiver.seen().len()), (21, before));
    });
}
