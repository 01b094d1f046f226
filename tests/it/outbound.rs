//! Connections that start on the provider's side.

use hitchpost::oauth::completion::{CompletionError, complete_outbound};
use serde_json::{Value, json};

use crate::oauth_world::{KEY, World, insert_integration};
use crate::support::app::TestSettings;
use crate::support::provider::{CLIENT_SECRET, Provider};
use crate::support::{Case, check, run};

const ENTRY: &str = "installation: outbound
disable_pkce: true
token_url: PROVIDER/installations/${connectionConfig.installation.uuid}/authorizations/
token_params: { grant_type: authorization_code }
authorization_code_param_in_webhook: data.installation.code
webhook_response_metadata: [installation.uuid]";

async fn start() -> World {
    let provider = Provider::start().await;
    let catalog = provider.entry("sentry-oauth", ENTRY);
    World::with_provider(provider, TestSettings::default().catalog(catalog), "sentry-oauth").await
}

async fn wait_for(world: &World, actor: &str) -> String {
    let token = world.session(|_| {}).await;
    let path = format!("/auth/oauth-outbound/{KEY}?connect_session_token={token}&params[actor]={actor}");
    let reply = world.app.anonymous().ask("POST", path).expect(200).await;
    assert_eq!(reply["providerConfigKey"], KEY);
    reply["connectionId"].as_str().expect("an id").to_owned()
}

async fn read(world: &World, id: &str) -> Value {
    let path = format!("/connections/{id}?provider_config_key={KEY}&refresh_token=true");
    world.app.client().get(path).expect(200).await
}

fn event(actor: Value) -> Value {
    json!({"action": "created", "actor": {"id": actor}, "installation": {"uuid": "uu-1"},
        "data": {"installation": {"code": "the-code", "uuid": "uu-1"}}})
}

async fn complete(world: &World, event: &Value) -> Result<bool, CompletionError> {
    let environment = hitchpost::db::environments::find(&world.app.app.db, world.app.environment_id).await;
    let environment = environment.expect("the database answers").expect("an environment");
    let integration = world.open_integration().await;
    let completed = complete_outbound(&world.app.app, &environment, &integration, event).await;
    completed.map(|completed| completed.is_some())
}

#[test]
fn a_connection_waits_for_the_provider_and_is_completed_by_its_event() {
    run(async {
        let world = start().await;
        let id = wait_for(&world, "9").await;
        let waiting = read(&world, &id).await;
        assert_eq!(waiting["credentials"], json!({"type": "OAUTH2"}));
        let log = waiting["connection_config"]["pendingLog"].clone();
        assert!(log.is_string());
        assert_eq!(waiting["connection_config"], json!({"actor": "9", "pending": true, "pendingLog": log}));
        assert_eq!(waiting["end_user"]["id"], "u1");

        for other in [event(json!("8")), event(json!("9 "))] {
            assert!(matches!(complete(&world, &other).await, Err(CompletionError::NotWaiting)));
        }
        let mut without_code = event(json!("9"));
        without_code["data"] = json!({});
        assert!(!complete(&world, &without_code).await.expect("nothing to do"));

        let answer = json!({"token": "tok-1", "refreshToken": "ref-1", "expiresAt": "2099-01-01T00:00:00Z"});
        world.provider.answer_next(201, "application/json", answer.to_string());
        // The provider writes numbers or texts.
        assert!(complete(&world, &event(json!(9))).await.expect("completed"));
        let request = world.provider.last_request();
        assert_eq!(request.path, "/installations/uu-1/authorizations/");
        assert_eq!((request.param("code"), request.param("client_secret")), ("the-code", CLIENT_SECRET));

        let done = read(&world, &id).await;
        assert_eq!(done["credentials"]["access_token"], "tok-1");
        assert_eq!(done["credentials"]["refresh_token"], "ref-1");
        assert_eq!(done["connection_config"], json!({"actor": "9", "installation.uuid": "uu-1"}));
        assert_eq!((&done["tags"], &done["end_user"]), (&waiting["tags"], &waiting["end_user"]));
        assert!(matches!(complete(&world, &event(json!(9))).await, Err(CompletionError::NotWaiting)));
    });
}

#[test]
fn a_refused_code_leaves_the_connection_waiting() {
    run(async {
        let world = start().await;
        let id = wait_for(&world, "9").await;
        for (status, body) in [(400, r#"{"error":"invalid_grant"}"#), (200, "<html>"), (201, "{}")] {
            world.provider.answer_next(status, "application/json", body);
            assert!(matches!(complete(&world, &event(json!(9))).await, Err(CompletionError::Token(_))));
        }
        assert_eq!(read(&world, &id).await["connection_config"]["pending"], true);
    });
}

#[test]
fn the_route_refuses_what_does_not_start_at_the_provider() {
    run(async {
        let world = start().await;
        insert_integration(&world.app, "plain", "github", Some(CLIENT_SECRET)).await;
        insert_integration(&world.app, "keyed", "github-pat", None).await;
        let token = world.session(|_| {}).await;
        let post = |key: &str, more: &str| {
            let path = format!("/auth/oauth-outbound/{key}?connect_session_token={token}{more}");
            world.app.anonymous().ask("POST", path)
        };
        let nobody = world.app.anonymous().ask("POST", format!("/auth/oauth-outbound/{KEY}"));
        check(vec![
            Case { name: "nobody", request: nobody, status: 401, code: "missing_public_key" },
            Case { name: "unknown", request: post("nope", ""), status: 404, code: "unknown_provider_config" },
            Case { name: "a popup's", request: post("plain", ""), status: 400, code: "invalid_auth_mode" },
            Case { name: "a key's", request: post("keyed", ""), status: 400, code: "invalid_auth_mode" },
            Case {
                name: "an id of its own",
                request: post(KEY, "&connection_id=c1"),
                status: 400,
                code: "invalid_query_params",
            },
        ])
        .await;
        // The body is ignored, whatever it is.
        post(KEY, "").header("content-type", "text/plain").bytes("hello").expect(200).await;
    });
}

#[test]
fn a_waiting_connection_calls_without_a_token() {
    run(async {
        let world = start().await;
        let id = wait_for(&world, "9").await;
        let request = world.app.client().get("/proxy/anything").header("provider-config-key", KEY);
        let request = request.header("connection-id", &id).header("base-url-override", &world.provider.url());
        request.send().await;
        assert_eq!(world.provider.last_request().header("authorization"), "");
    });
}
