//! Rate limits that replicas share through Redis, and what is left of them when Redis is away.

use chrono::TimeDelta;

use crate::support::app::TestSettings;
use crate::support::client::Reply;
use crate::support::{TestApp, run, test_setting};

fn redis(test: &str) -> Option<String> {
    let url = test_setting("TEST_REDIS_URL");
    if url.is_none() {
        assert_ne!(
            test_setting("HITCHPOST_TEST_REQUIRE").as_deref(),
            Some("all"),
            "TEST_REDIS_URL is not set"
        );
        eprintln!("SKIPPED: {test}, because TEST_REDIS_URL is not set");
    }
    url
}

fn settings(redis: &str, limit: u64) -> TestSettings {
    TestSettings::default().set("NANGO_REDIS_URL", redis).set("DEFAULT_RATE_LIMIT_PER_MIN", limit.to_string())
}

async fn ask(app: &TestApp) -> Reply {
    app.client().get("/integrations").send().await
}

fn remaining(reply: &Reply) -> u64 {
    reply.header("x-ratelimit-remaining").expect("the header").parse().expect("a number")
}

// One test: the account, and with it the window, is the same for every server of the test process.
#[test]
fn replicas_share_a_window() {
    let Some(redis) = redis("replicas_share_a_window") else { return };
    run(async {
        let first = settings(&redis, 3).start().await;
        let second = first.replica().await;
        let replies = [ask(&first).await, ask(&second).await, ask(&first).await];
        assert_eq!(replies.each_ref().map(remaining), [2, 1, 0], "near the end every point is asked for");
        let reset = |reply: &Reply| reply.header("x-ratelimit-reset").map(str::to_owned);
        assert_eq!(reset(&replies[0]), reset(&replies[1]), "one window, one end");
        for app in [&second, &first, &second] {
            let blocked = ask(app).await;
            assert_eq!(blocked.status, 429);
            assert_eq!(blocked.code(), "too_many_request");
            assert_eq!((remaining(&blocked), blocked.header("retry-after")), (0, Some("60")));
        }
        // Both have the same time.
        first.advance(TimeDelta::seconds(61));
        assert_eq!(ask(&second).await.status, 200);

        // A large limit is taken in leases, and all of them together are no more than the limit.
        first.advance(TimeDelta::seconds(61));
        let third = settings(&redis, 200).start().await;
        third.advance(first.now() - third.now());
        let fourth = third.replica().await;
        let mut served = 0;
        for _ in 0..150 {
            for app in [&third, &fourth] {
                served += u64::from(ask(app).await.status == 200);
            }
        }
        assert!((196..=200).contains(&served), "{served} of 200");
    });
}

#[test]
fn without_an_answer_of_redis_every_process_counts_alone() {
    run(async {
        // Nobody listens there.
        let first = settings("redis://127.0.0.1:1", 2).start().await;
        let second = first.replica().await;
        for app in [&first, &second] {
            let replies = [ask(app).await, ask(app).await, ask(app).await];
            assert_eq!(replies.each_ref().map(|reply| reply.status.as_u16()), [200, 200, 429]);
            assert_eq!(replies.each_ref().map(remaining), [1, 0, 0]);
        }
    });
}
