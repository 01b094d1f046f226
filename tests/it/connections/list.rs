//! `GET /connections`.

use chrono::TimeDelta;
use hitchpost::db::{self, ConnectionRowId};
use serde_json::json;

use super::{api_key, app_with_keys, ids, import};
use crate::support::catalog::without;
use crate::support::run;

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
