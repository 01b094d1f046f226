//! The page about the state of the server.

use chrono::TimeDelta;
use hitchpost::db::replicas;
use hitchpost::jobs;

use crate::dashboard::{PASSWORD, operator, password_settings, with_password};
use crate::support::catalog::ENTRIES;
use crate::support::run;

const PATH: &str = "/settings/health";

#[test]
fn the_page_tells_what_the_server_stands_on() {
    run(async {
        let app = with_password().await;
        let page = operator(&app).get(PATH).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let html = page.text();
        for text in
            ["PostgreSQL", "Answers in", "Migrations", "delete old data", "(answers you)", "Seals new values"]
        {
            assert!(html.contains(text), "{text}: {html}");
        }
        let known = hitchpost::db::MIGRATOR.iter().count();
        assert!(html.contains(&format!("{known} of {known} applied")), "{html}");
        assert!(html.contains("NANGO_SERVER_URL names this machine only"), "{html}");
        let key = hitchpost::crypto::Cipher::fingerprints(&app.app.cipher).next().unwrap();
        assert!(html.contains(key));
        assert!(!html.contains("BwcHBwcH") && !html.contains(PASSWORD), "no secret");
    });
}

#[test]
fn the_browser_may_ask_the_public_address_and_nobody_else() {
    run(async {
        let app = password_settings()
            .set("NANGO_SERVER_URL", "https://connect.acme.test/base")
            .set("NANGO_PUBLIC_CONNECT_URL", "https://ui.acme.test/x")
            .start()
            .await;
        let page = operator(&app).get(PATH).await;
        let policy = page.header("content-security-policy").unwrap();
        let asked = policy.split("; ").find(|directive| directive.starts_with("connect-src")).unwrap();
        assert_eq!(
            asked,
            "connect-src 'self' https://connect.acme.test https://ui.acme.test wss://connect.acme.test"
        );
        assert!(policy.contains("default-src 'none'"));
        let html = page.text();
        assert!(html.contains("data-websocket=\"wss://connect.acme.test/base/\""), "{html}");
        assert!(
            html.contains("curl -i https://connect.acme.test/base/oauth/callback"),
            "commands for those without scripts"
        );
        let other = operator(&app).get("/settings/environments").await;
        assert!(other.header("content-security-policy").unwrap().contains("connect-src 'self';"));
    });
}

#[test]
fn replicas_are_seen_until_they_are_silent_for_long() {
    run(async {
        let app = with_password().await;
        let other = app.replica().await;
        jobs::beat(&other.app).await.unwrap();
        let id = other.app.replica.to_string();
        let row = async || {
            let html = operator(&app).get(PATH).await.text();
            html.split("<tr>").find(|row| row.contains(&id)).map(str::to_owned)
        };
        assert!(row().await.expect("it is listed").contains("Running"));
        app.advance(TimeDelta::minutes(3));
        assert!(row().await.expect("it is listed").contains("Silent"));
        app.advance(TimeDelta::days(2));
        assert!(row().await.is_none(), "forgotten");
        replicas::purge(&app.app.db, app.now() - jobs::REMEMBERED).await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM replicas WHERE id = $1")
            .bind(other.app.replica)
            .fetch_one(&app.app.db)
            .await
            .unwrap();
        assert_eq!(left, 0);
    });
}

#[test]
fn failing_refreshes_are_named() {
    run(async {
        let app = password_settings().catalog(ENTRIES).start().await;
        app.client().integration("plain-key", "acme").await;
        let connection = "cust-failing";
        app.client()
            .post(
                "/connections",
                serde_json::json!({"provider_config_key": "acme", "connection_id": connection,
                    "credentials": {"type": "API_KEY", "apiKey": "k"}}),
            )
            .expect(201)
            .await;
        sqlx::query("UPDATE connections SET last_refresh_failure = $1, refresh_exhausted = true WHERE connection_id = $2")
            .bind(app.now() + TimeDelta::days(400))
            .bind(connection)
            .execute(&app.app.db)
            .await
            .unwrap();
        let html = operator(&app).get(PATH).await.text();
        assert!(html.contains(">cust-failing</a>") && html.contains("Given up"), "{html}");
        assert!(html.contains("cannot be refreshed"));
        sqlx::query(
            "UPDATE connections SET deleted_at = $1, last_refresh_failure = NULL WHERE connection_id = $2",
        )
        .bind(app.now())
        .bind(connection)
        .execute(&app.app.db)
        .await
        .unwrap();
    });
}
