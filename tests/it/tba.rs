//! Token-based authentication: `POST /auth/tba/:key`, its verification, and the realm of signed calls.

use serde_json::{Value, json};

use crate::support::target::{Seen, Target, WorldPlan, answer, ok_json};
use crate::support::{Case, TestApp, check, run};

/// Accepts calls of the token `tid`, whoever the consumer is, and says which realm and method it saw.
async fn books() -> Target {
    Target::start(|seen| {
        let accepted = seen.header("authorization").is_some_and(|text| text.contains("oauth_token=\"tid\""));
        if accepted { ok_json("{}") } else { answer(401, &[], r#"{"title": "Invalid login of tid-wrong"}"#) }
    })
    .await
}

async fn app(target: &Target) -> (TestApp, String) {
    let entry = json!({
        "display_name": "Books", "docs": "https://docs.example.com", "auth_mode": "TBA",
        "proxy": {"base_url": target.url(), "verification": {"endpoints": ["/me?a=b%20c"]}},
        "connection_config": {"accountId": {"type": "string", "title": "Account", "description": "Yours"}},
    });
    let app = TestApp::with_catalog(
        json!({ "books": entry, "free": {
        "display_name": "Free", "docs": "https://docs.example.com", "auth_mode": "TBA"} })
        .to_string(),
    )
    .await;
    for key in ["books", "free"] {
        let credentials = json!({"type": "TBA", "client_id": "ck", "client_secret": "cs-secret"});
        let body = json!({"provider": key, "unique_key": key, "credentials": credentials});
        app.client().post("/integrations", body).expect(200).await;
    }
    let session = app.client().post("/connect/sessions", json!({"end_user": {"id": "u1"}})).expect(201).await;
    let token = session["data"]["token"].as_str().unwrap().to_owned();
    (app, token)
}

fn consumer(seen: &Seen) -> &str {
    let (_, rest) = seen.header("authorization").unwrap().split_once("oauth_consumer_key=\"").unwrap();
    rest.split('"').next().unwrap()
}

#[test]
fn a_verified_token_is_stored_without_the_integrations_client() {
    run(async {
        let target = books().await;
        let (app, token) = app(&target).await;
        let path = format!("/auth/tba/books?connect_session_token={token}&params[accountId]=123-sb1");
        let typed = json!({"token_id": "tid", "token_secret": "tsec"});
        let answer = app.anonymous().post(&path, typed).expect(200).await;
        let asked = target.last();
        assert_eq!(asked.target, "/me?a=b%20c");
        let header = asked.header("authorization").unwrap();
        assert!(header.starts_with("OAuth realm=\"123_SB1\", oauth_consumer_key=\"ck\""), "{header}");
        assert!(header.contains("oauth_signature_method=\"HMAC-SHA256\""), "{header}");
        let id = answer["connectionId"].as_str().unwrap();
        let connection =
            app.client().get(format!("/connections/{id}?provider_config_key=books")).expect(200).await;
        let stored = json!({"type": "TBA", "token_id": "tid", "token_secret": "tsec", "config_override": {}});
        assert_eq!(connection["credentials"], stored);
        assert_eq!(connection["connection_config"], json!({"accountId": "123-sb1"}));

        let own = json!({"token_id": "tid", "token_secret": "tsec", "oauth_client_id_override": "own",
            "oauth_client_secret_override": "own-secret"});
        let answer = app.anonymous().post(&path, own).expect(200).await;
        assert_eq!(consumer(&target.last()), "own");
        let call = app.client().get("/proxy/x").header("provider-config-key", "books");
        call.header("connection-id", answer["connectionId"].as_str().unwrap()).expect(200).await;
        assert_eq!(consumer(&target.last()), "own");
    });
}

#[test]
fn the_route_refuses() {
    run(async {
        let target = books().await;
        let (app, token) = app(&target).await;
        let client = app.anonymous();
        let post = |key: &str, more: &str, body: Value| {
            client.post(format!("/auth/tba/{key}?connect_session_token={token}{more}"), body)
        };
        let account = "&params[accountId]=1";
        let wrong = json!({"token_id": "tid-wrong", "token_secret": "tsec"});
        check(vec![
            Case {
                name: "a wrong token",
                request: post("books", account, wrong.clone()),
                status: 400,
                code: "connection_test_failed",
            },
            Case {
                name: "no secret",
                request: post("books", account, json!({"token_id": "tid"})),
                status: 400,
                code: "invalid_body",
            },
            Case {
                name: "an unknown member",
                request: post("books", account, json!({"token_id": "t", "token_secret": "s", "x": 1})),
                status: 400,
                code: "invalid_body",
            },
            Case {
                name: "no account where the entry asks for one",
                request: post("books", "", json!({"token_id": "tid", "token_secret": "s"})),
                status: 400,
                code: "invalid_connection_config",
            },
        ])
        .await;
        let told = post("books", account, wrong).send().await.text();
        assert!(!told.contains("tid-wrong") && told.contains("Invalid login of REDACTED"), "{told}");
        let list = client.with_secret(&app.secret).get("/connections").expect(200).await;
        assert_eq!(list["connections"], json!([]));
        // Without an account in the entry there is no realm, and nothing to ask for.
        post("free", "", json!({"token_id": "t", "token_secret": "s"})).expect(200).await;
    });
}

#[test]
fn the_client_is_the_integrations_and_that_of_the_config_only_without_it() {
    run(async {
        let target = books().await;
        let copied = json!({"accountId": "a-b", "oauth_client_id": "copied", "oauth_client_secret": "x"});
        let plan =
            WorldPlan::new(target.url()).proxy(json!({"headers": {}})).provider(json!({"auth_mode": "TBA"}));
        let plan =
            plan.credentials(json!({"type": "TBA", "token_id": "tid", "token_secret": "s"})).config(copied);
        let world = plan.build().await;
        world.get("/x").expect(200).await;
        assert_eq!(consumer(&target.last()), "client-id");
        sqlx::query("UPDATE integrations SET oauth_client_id = NULL WHERE environment_id = $1")
            .bind(world.app.environment_id.0)
            .execute(&world.app.app.db)
            .await
            .unwrap();
        world.app.app.targets.forget_all();
        world.get("/x").expect(200).await;
        assert_eq!(consumer(&target.last()), "copied");
    });
}
