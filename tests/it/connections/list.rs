//! `GET /connections`.

use chrono::TimeDelta;
use hitchpost::db::{self, ConnectionRowId};
use serde_json::json;

use super::{api_key, app_with_keys, ids, import};
use crate::support::catalog::without;
use crate::support::{TestApp, run};

#[test]
fn the_list_shows_summaries_newest_first() {
    run(async {
        let app = app_with_keys(&[]).await;
        let client = app.client();
        assert_eq!(client.get("/connections").expect(200).await, json!({"connections": []}));
        let created_at = app.now();
        client.key_connection("plain", "c1").await;
        let list = client.get("/connections").expect(200).await;
        assert_eq!(
            without(&list["connections"][0], &["id"]),
            json!({
                "connection_id": "c1", "provider_config_key": "plain", "provider": "plain-key", "errors": [],
                "end_user": null, "tags": {}, "metadata": {},
                "created": hitchpost::time_format::format_micros_offset(created_at),
            })
        );
        app.advance(TimeDelta::seconds(1));
        client.key_connection("plain", "c2").await;
        client.key_connection("plain", "c3").await;
        for path in ["", "/", "?page=0", "?limit=2000"] {
            assert_eq!(ids(&client, path).await, ["c3", "c2", "c1"], "{path}");
        }
        assert_eq!(client.get("/connection").expect(200).await, client.get("/connections").expect(200).await);
        assert_eq!(ids(&client, "?limit=2").await, ["c3", "c2"]);
        assert_eq!(ids(&client, "?limit=2&page=1").await, ["c1"]);
        assert_eq!(ids(&client, "?limit=2&page=2").await, Vec::<String>::new());
        assert_eq!(ids(&client, "?limit=2000&page=9007199254740991").await, Vec::<String>::new());
        assert_eq!(ids(&app.stranger().await, "").await, Vec::<String>::new());
    });
}

#[test]
fn the_list_can_be_filtered() {
    run(async {
        let app = app_with_keys(&[]).await;
        let client = app.client();
        client.integration("plain-key", "other").await;
        let people = [
            (
                "plain",
                "a_1",
                json!({"end_user": {"id": "u1", "email": "ann@example.com", "display_name": "Ann 100%"}}),
            ),
            ("plain", "ab1", json!({"tags": {"end_user_id": "u1", "plan": "a:b,c"}})),
            ("other", "c1", json!({"end_user": {"id": "u2"}, "tags": {"plan": "pro", "end_user_id": "u1"}})),
        ];
        for (integration, id, extra) in people {
            let mut body = import(integration, id, api_key());
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            client.post("/connections", body).expect(201).await;
            app.advance(TimeDelta::seconds(1));
        }
        let c1 = client.get("/connections?connectionId=c1").expect(200).await["connections"][0]["id"].clone();
        let user = db::end_users::EndUser {
            end_user_id: "u2".into(),
            email: None,
            display_name: None,
            organization_id: Some("o1".into()),
            organization_display_name: None,
            tags: None,
        };
        let mut database = app.app.db.acquire().await.unwrap();
        let id = ConnectionRowId(c1.as_i64().unwrap());
        db::end_users::upsert_for_connection(&mut database, app.environment_id, id, &user, app.now())
            .await
            .unwrap();
        drop(database);
        for (query, expected) in [
            ("?connectionId=c1", vec!["c1"]),
            ("?connectionId=C1", vec![]),
            ("?integrationId=plain", vec!["ab1", "a_1"]),
            ("?integrationId=plain,%20other", vec!["c1", "ab1", "a_1"]),
            ("?integrationId=nope", vec![]),
            ("?search=ANN@", vec!["a_1"]),
            ("?search=100%25", vec!["a_1"]),
            ("?search=a_", vec!["a_1"]),
            ("?search=%25", vec!["a_1"]),
            ("?search=1", vec!["c1", "ab1", "a_1"]),
            ("?endUserId=u1", vec!["ab1", "a_1"]),
            ("?endUserId=u2", vec!["c1"]),
            ("?endUserId=u3", vec![]),
            ("?endUserOrganizationId=o1", vec!["c1"]),
            ("?endUserOrganizationId=o2", vec![]),
            ("?tags[plan]=pro", vec!["c1"]),
            ("?tags%5BPLAN%5D=pro", vec!["c1"]),
            ("?tags[plan]=a:b,c", vec!["ab1"]),
            ("?tags[end_user_id]=u1", vec!["c1", "ab1", "a_1"]),
            ("?tags[end_user_id]=u1&tags[plan]=pro", vec!["c1"]),
            ("?tags[end_user_id]=u2&tags[plan]=a:b,c", vec![]),
            ("?tags[end_user_id]=u1&integrationId=plain&search=ab", vec!["ab1"]),
        ] {
            assert_eq!(ids(&client, query).await, expected, "{query}");
        }
    });
}

/// Rows as a large environment has them, without the time that importing them would take.
async fn fill(app: &TestApp, count: i32) {
    let statement = "INSERT INTO connections (environment_id, integration_id, connection_id, tags, created_at, updated_at)
         SELECT i.environment_id, i.id, 'made-' || n, jsonb_build_object('plan', CASE WHEN n % 2 = 0 THEN 'pro' ELSE 'free' END),
             now() - interval '1 day' + n * interval '1 second', now()
         FROM integrations i, generate_series(1, $2) n WHERE i.environment_id = $1 AND i.unique_key = 'pk'";
    let query = sqlx::query(statement).bind(app.environment_id.0).bind(count);
    query.execute(&app.app.db).await.unwrap();
}

#[test]
fn deep_pages_follow_each_other_without_gap_or_repetition() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("plain-key", "pk").await;
        app.client().integration("plain-key", "other").await;
        fill(&app, 6_000).await;
        let ids = async |query: &str| {
            let list = app.client().get(format!("/connections?{query}")).expect(200).await;
            let list = list["connections"].as_array().unwrap().clone();
            list.iter().map(|one| one["connection_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let made =
            |newest: i32, count: i32| (0..count).map(|n| format!("made-{}", newest - n)).collect::<Vec<_>>();
        for filter in ["", "&integrationId=pk", "&integrationId=pk,other"] {
            let page = async |page: i32| ids(&format!("limit=100&page={page}{filter}")).await;
            for number in [50, 51, 52, 51, 58, 59] {
                assert_eq!(page(number).await, made(6_000 - 100 * number, 100), "page {number} {filter}");
            }
            assert_eq!(page(60).await, Vec::<String>::new());
            assert_eq!(
                ids(&format!("limit=70&page=85{filter}")).await,
                made(50, 50),
                "another size, and the end"
            );
        }
        app.client().key_connection("pk", "new").await;
        assert_eq!(ids("limit=100&page=51").await, made(901, 100), "shifted by the new one");
        app.client().delete("/connections/new?provider_config_key=pk").expect(200).await;
        assert_eq!(ids("limit=100&page=51").await, made(900, 100), "and back");
    });
}

#[test]
fn filters_find_what_is_not_among_the_newest() {
    run(async {
        let app = TestApp::with_providers().await;
        app.client().integration("plain-key", "pk").await;
        let old = json!({
            "provider_config_key": "pk", "connection_id": "Old-one", "credentials": {"type": "API_KEY", "apiKey": "k"},
            "tags": {"rare": "yes"}, "end_user": {"id": "u1", "email": "Ada@Example.com", "display_name": "100%_Ada"},
        });
        app.client().post("/connections", old).expect(201).await;
        // Older than everything that is filled in.
        let aged =
            "UPDATE connections SET created_at = created_at - interval '2 days' WHERE environment_id = $1";
        sqlx::query(aged).bind(app.environment_id.0).execute(&app.app.db).await.unwrap();
        fill(&app, 2_500).await;
        let count = async |query: &str| {
            let list = app.client().get(format!("/connections?{query}")).expect(200).await;
            list["connections"].as_array().unwrap().len()
        };
        for (query, expected) in [
            ("search=old-ONE", 1),
            ("search=ada@example", 1),
            ("search=0%25_a", 1),
            ("search=made-17&limit=2000", 111),
            ("search=made-17&limit=3", 3),
            ("search=nothing-like-it", 0),
            ("tags[rare]=yes", 1),
            ("tags[rare]=yes&search=made", 0),
            ("tags[plan]=pro&limit=2000", 1250),
            ("tags[plan]=pro&limit=2000&page=1", 0),
            ("tags[plan]=pro&limit=1000&page=1", 250),
            ("endUserId=u1", 1),
            ("connectionId=Old-one", 1),
            ("connectionId=old-one", 0),
            ("integrationId=nobody", 0),
            ("integrationId=pk&tags[rare]=yes", 1),
        ] {
            assert_eq!(count(query).await, expected, "{query}");
        }
    });
}
