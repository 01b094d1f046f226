//! The first page of an environment: charts from what the writer of the log counted, and the counting itself.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use hitchpost::db::connection_counts;
use hitchpost::db::log_hours::{self, HourCount};
use hitchpost::logs::{Kind, LogError, NewOperation, Operation};
use hitchpost::{jobs, logs};
use serde_json::json;

use crate::dashboard::{operator, password_settings, with_password};
use crate::support::catalog::ENTRIES;
use crate::support::{TestApp, run};

fn start(app: &TestApp, kind: Kind) -> Operation {
    app.app.logs.start(NewOperation::new(kind, app.environment_id))
}

/// How many operations of each kind and state are counted, and how many of them have a duration.
async fn counted(app: &TestApp) -> BTreeMap<(String, String), (i64, i64)> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT kind, state, sum(count)::bigint, sum((SELECT sum(n) FROM unnest(durations) AS n))::bigint
         FROM log_hours WHERE environment_id = $1 GROUP BY 1, 2 HAVING sum(count) <> 0",
    )
    .bind(app.environment_id.0)
    .fetch_all(&app.app.db)
    .await
    .unwrap();
    rows.into_iter().map(|(kind, state, count, durations)| ((kind, state), (count, durations))).collect()
}

fn key(kind: Kind, state: &str) -> (String, String) {
    (kind.as_str().to_owned(), state.to_owned())
}

#[test]
fn every_operation_is_counted_once_whatever_it_goes_through() {
    run(async {
        let app = with_password().await;
        let flush = async || app.app.logs.flush(&app.app.db).await;
        start(&app, Kind::ProxyCall).succeed();
        start(&app, Kind::ProxyCall).fail(&LogError::new("x", "y"));
        let open = start(&app, Kind::AuthCreateConnection);
        let id = open.id().to_owned();
        open.leave_open();
        flush().await;
        let running = counted(&app).await;
        assert_eq!(running[&key(Kind::ProxyCall, "success")], (1, 1));
        assert_eq!(running[&key(Kind::ProxyCall, "failed")], (1, 1));
        let (open, _) = running.iter().find(|((kind, _), _)| kind.starts_with("auth")).unwrap();
        assert!(["running", "waiting"].contains(&open.1.as_str()), "{running:?}");

        app.advance(TimeDelta::minutes(2));
        let again = || NewOperation::new(Kind::AuthCreateConnection, app.environment_id);
        app.app.logs.resume(&id, again()).fail(&LogError::new("x", "y"));
        flush().await;
        app.app.logs.resume(&id, again()).succeed();
        flush().await;
        app.app.logs.resume(&id, again()).fail(&LogError::new("late", "and too late"));
        flush().await;
        let done = counted(&app).await;
        assert_eq!(done[&key(Kind::AuthCreateConnection, "success")], (1, 1), "{done:?}");
        assert_eq!(done.len(), 3, "nothing stays where it was: {done:?}");
    });
}

#[test]
fn calls_that_the_log_leaves_out_are_counted_too() {
    run(async {
        let app = password_settings().set("HITCHPOST_LOG_PROXY_SUCCESS_PCT", "0").start().await;
        assert!(!app.app.logs.wants_proxy_success());
        let calls = app.app.logs.unlogged_calls(app.environment_id);
        (0..5).for_each(|_| calls.note(std::time::Duration::from_millis(7)));
        app.app.logs.flush(&app.app.db).await;
        calls.note(std::time::Duration::from_millis(70));
        app.app.logs.flush(&app.app.db).await;
        assert_eq!(counted(&app).await, BTreeMap::from([(key(Kind::ProxyCall, "success"), (6, 6))]));
    });
}

#[test]
fn the_page_draws_what_happened_in_the_period() {
    run(async {
        let app = password_settings().catalog(ENTRIES).start().await;
        let browser = operator(&app);
        let home = format!("/env/{}", app.environment_name);
        let empty = browser.get(&home).await;
        assert_eq!(empty.status, 200, "{}", empty.text());
        assert!(
            empty.text().contains("Nothing happened here yet")
                && !empty.text().contains("<svg viewBox=\"0 0 600")
        );

        (0..12).for_each(|_| start(&app, Kind::ProxyCall).succeed());
        start(&app, Kind::ProxyCall).fail(&LogError::new("x", "<b>y</b>"));
        start(&app, Kind::AuthRefreshToken).succeed();
        start(&app, Kind::AuthRefreshToken).fail(&LogError::new("x", "<b>y</b>"));
        app.app.logs.flush(&app.app.db).await;
        app.client().integration("plain-key", "k").await;
        for id in ["a", "b", "c"] {
            app.client().key_connection("k", id).await;
        }
        connection_counts::insert_all(&app.app.db, app.now()).await.unwrap();
        app.advance(TimeDelta::seconds(10));
        app.client().key_connection("k", "d").await;
        app.client().delete("/connections/a?provider_config_key=k").expect(200).await;
        app.app.logs.flush(&app.app.db).await;
        for period in ["", "?period=24h", "?period=7d", "?period=30d", "?period=nonsense"] {
            let html = browser.get(&format!("{home}{period}")).await.text();
            for text in [
                "13 proxied calls",
                "1 of them failed (7.7 %)",
                "2 operations failed",
                "1 proxied call, 1 others",
                "2 tokens refreshed",
                "1 of them failed (50.0 %)",
                "3 connections now",
                "for half of the calls",
                "<caption class=\"hidden\">Requests",
            ] {
                assert!(html.contains(text), "{period}: {text}: {html}");
            }
            assert!(!html.contains("<b>y</b>") && html.contains("What failed within a day"), "{period}");
        }
        let month = browser.get(&format!("{home}?period=30d")).await.text();
        assert!(month.contains("?period=30d\" aria-current=\"true\""), "{month}");
        app.advance(TimeDelta::days(8));
        connection_counts::insert_all(&app.app.db, app.now()).await.unwrap();
        let later = browser.get(&format!("{home}?period=7d")).await.text();
        assert!(later.contains("0 proxied calls") && later.contains("3 connections now"), "{later}");
        assert!(browser.get(&format!("{home}?period=30d")).await.text().contains("13 proxied calls"));
    });
}

#[test]
fn counts_end_by_retention() {
    run(async {
        let app = with_password().await;
        let [old, young] = [91, 89].map(|days| app.now() - TimeDelta::days(days));
        for hour in [old, young] {
            let count = HourCount {
                environment_id: app.environment_id,
                hour,
                kind: "proxy:call".into(),
                state: "success".into(),
                count: 1,
                durations: vec![0; 21],
            };
            log_hours::add(&app.app.db, &[count]).await.unwrap();
            sqlx::query(
                "INSERT INTO connection_counts (environment_id, counted_at, live) VALUES ($1, $2, 1)",
            )
            .bind(app.environment_id.0)
            .bind(hour)
            .execute(&app.app.db)
            .await
            .unwrap();
        }
        logs::roll_partitions(&app.app).await.unwrap();
        jobs::count_and_forget(&app.app).await.unwrap();
        let hours: Vec<chrono::DateTime<chrono::Utc>> = sqlx::query_scalar(
            "SELECT hour FROM log_hours WHERE environment_id = $1
             UNION ALL SELECT counted_at FROM connection_counts WHERE environment_id = $1 AND counted_at < $2",
        )
        .bind(app.environment_id.0)
        .bind(app.now() - TimeDelta::days(1))
        .fetch_all(&app.app.db)
        .await
        .unwrap();
        assert_eq!(hours, [young, young]);
    });
}

#[test]
fn days_are_counted_without_the_log() {
    run(async {
        let app = TestApp::start().await;
        start(&app, Kind::ActionRun).succeed();
        app.app.logs.flush(&app.app.db).await;
        sqlx::query("DELETE FROM log_operations WHERE environment_id = $1")
            .bind(app.environment_id.0)
            .execute(&app.app.db)
            .await
            .unwrap();
        let days = logs::count_by_day(&app.app, app.environment_id, Kind::ActionRun).await.unwrap();
        let today = days.last().unwrap();
        assert_eq!((today.total, today.success), (1, 1), "{}", json!(logs::show_day(today)));
    });
}
