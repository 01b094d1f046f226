//! Handshakes, and connections that wait for a webhook.

use serde_json::{Value, json};

use super::{World, accepted, hmac_hex, is, refused};
use crate::apps_world::{APP, APP_LINK, USER_APP, World as GitHubWorld};
use crate::support::github::{APP_ID, PRIVATE_KEY};
use crate::support::logged::{logged, of_kind};
use crate::support::run;

const SLACK: &str = "slackWebhookRouting";
const NOTION: &str = "notionWebhookRouting";
const ZOOM: &str = "zoomWebhookRouting";
const GRAPH: &str = "microsoftClientCredentialsWebhookRouting";

#[test]
fn handshakes_are_answered_and_go_no_further() {
    run(async {
        let world = World::start(&[SLACK, NOTION, ZOOM, GRAPH], json!({})).await;
        let challenge = r#"{"type":"url_verification","token":"t","challenge":"3eZbrw1aB"}"#;
        // A provider that signs its handshakes has to do so, once there is a secret.
        assert_eq!(refused(world.post(SLACK, challenge)).await, is(401, "webhook_missing_signature"));
        world.forget_secret(SLACK).await;
        let reply = world.post(SLACK, challenge).send().await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "3eZbrw1aB".to_owned()));

        let reply = world.post(&format!("{GRAPH}?validationToken=a%20b%3Cc%3E"), "").send().await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "a b<c>".to_owned()));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));

        let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;
        let time = world.app.now().timestamp();
        let signature = hmac_hex(super::HOOK_SECRET, &format!("v0:{time}:{body}"));
        let request = world.post(ZOOM, body).header("x-zm-signature", &format!("v0={signature}"));
        let answer = accepted(request.header("x-zm-request-timestamp", &time.to_string())).await;
        let encrypted = hmac_hex(super::HOOK_SECRET, "qgg8vlvZRS6UYooatFL8Aw");
        assert_eq!(answer, json!({"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": encrypted}));
        world.forget_secret(ZOOM).await;
        assert_eq!(refused(world.post(ZOOM, body)).await, is(401, "webhook_invalid_secret"));
        assert!(world.receivers().await.is_empty());
    });
}

#[test]
fn a_token_to_confirm_is_shown_to_those_who_may_see_secrets() {
    run(async {
        let world = World::start(&[NOTION], json!({})).await;
        let body = r#"{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}"#;
        assert_eq!(accepted(world.post(NOTION, body)).await, json!({"status": "success"}));
        assert!(world.receivers().await.is_empty());
        let path = format!("/integrations/{NOTION}");
        let plain = world.app.client().get(&path).expect(200).await;
        assert_eq!(plain["data"].get("webhook_verification_token"), None);
        let shown = world.app.client().get(format!("{path}?include=credentials")).expect(200).await;
        let token = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl";
        assert_eq!(shown["data"]["webhook_verification_token"], token);
        // It verifies nothing until the operator says so.
        let event = r#"{"type":"page.created","workspace_id":"w"}"#;
        let sign = |key: &str| {
            let signature = format!("sha256={}", hmac_hex(key, event));
            world.post(NOTION, event).header("x-notion-signature", &signature)
        };
        assert_eq!(refused(sign(token)).await, is(401, "webhook_invalid_signature"));
        accepted(sign(super::HOOK_SECRET)).await;
    });
}

#[test]
fn an_interaction_is_answered_and_passed_on() {
    run(async {
        let world = World::start(&[SLACK], json!({})).await;
        world.connect(SLACK, "c1", json!({"team.id": "T1"}), json!({})).await;
        let body =
            "payload=%7B%22type%22%3A%22view_submission%22%2C%22team%22%3A%7B%22id%22%3A%22T1%22%7D%7D";
        let time = world.app.now().timestamp();
        let signature = hmac_hex(super::HOOK_SECRET, &format!("v0:{time}:{body}"));
        let request = world.post(SLACK, body).header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("x-slack-signature", &format!("v0={signature}"));
        let reply = request.header("x-slack-request-timestamp", &time.to_string()).send().await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, String::new()));
        let forwarded = world.forwarded().await;
        assert_eq!(forwarded[0].connection_id.as_deref(), Some("c1"));
        assert_eq!(forwarded[0].body["payload"], json!({"type": "view_submission", "team": {"id": "T1"}}));
    });
}

/// The secret that GitHub is told for an app, as the specification computes it.
fn app_secret(private_key: &str) -> String {
    hex::encode(hitchpost::crypto::sha256(format!("{APP_ID}{private_key}{APP_LINK}").as_bytes()))
}

async fn post_event(
    world: &GitHubWorld,
    key: &str,
    event: &Value,
    delivery: &str,
) -> crate::support::client::Ask {
    let path = format!("/webhook/{}/{key}", world.environment().await.uuid);
    let body = event.to_string();
    let signature = format!("sha256={}", hmac_hex(&app_secret(PRIVATE_KEY.trim()), &body));
    let request =
        world.app.anonymous().ask("POST", path).header("content-type", "application/json").bytes(body);
    request.header("x-hub-signature-256", &signature).header("x-github-delivery", delivery)
}

#[test]
fn an_owners_approval_completes_the_connection_that_waits() {
    run(async {
        let world = GitHubWorld::start().await;
        let begun = world.begin(USER_APP).await;
        let code = world.github.issue_code();
        let ended = world.end(begun, "/oauth/callback", &format!("&code={code}&setup_action=request")).await;
        let id = ended.connection_id().to_owned();
        let event = json!({"action": "created", "installation": {"id": 77, "app_id": 12345},
            "requester": {"login": "octocat"}});
        let failed = post_event(&world, USER_APP, &event, "d1").await;
        assert_eq!(refused(failed).await, is(500, "webhook_completion_failed"));
        world.github.add_installation("77");
        // What an integration accepts unproved may be passed on, but completes nothing.
        let switch = |is_on: bool| {
            let patch = json!({ "accept_unverified_webhooks": is_on });
            world.app.client().patch(format!("/integrations/{USER_APP}"), patch).expect(200)
        };
        switch(true).await;
        let path = format!("/webhook/{}/{USER_APP}", world.environment().await.uuid);
        accepted(world.app.anonymous().post(path, event.clone())).await;
        assert_eq!(world.read(USER_APP, &id).await["connection_config"]["pending"], true);
        switch(false).await;
        // GitHub sends the delivery again, which is then a new one.
        accepted(post_event(&world, USER_APP, &event, "d1").await).await;
        let done = world.read(USER_APP, &id).await;
        assert_eq!(done["credentials"]["type"], "APP");
        assert_eq!(done["connection_config"]["installation_id"], 77);
        // The story of the sign-in goes on where it stopped: the owner's approval, without a token at first.
        let all = logged(&world.app).await;
        let sign_in = of_kind(&all, "auth", "create_connection")
            .into_iter()
            .find(|one| one.text("integrationName") == USER_APP && one.text("connectionName") == id);
        let sign_in = sign_in.expect("an operation");
        assert_eq!(sign_in.text("state"), "success");
        let texts = sign_in.texts();
        let said = |text: &str| texts.iter().filter(|one| **one == text).count();
        assert_eq!(said("It waits for an owner's approval."), 1, "{texts:?}");
        assert_eq!(said("The provider says that the installation is done."), 2, "{texts:?}");
        let errors = sign_in.messages.iter().filter(|message| message["meta"]["advice"].is_string());
        assert_eq!(errors.count(), 1, "{texts:?}");
        assert_eq!(accepted(post_event(&world, USER_APP, &event, "d1").await).await["status"], "duplicate");
        let refusal = is(400, "webhook_no_connection_or_existing_installation_id");
        assert_eq!(refused(post_event(&world, USER_APP, &event, "d2").await).await, refusal);
        // Other events are none of its business.
        accepted(
            post_event(&world, APP, &json!({"action": "opened", "installation": {"id": 77}}), "d3").await,
        )
        .await;
    });
}

#[test]
fn an_installation_at_the_provider_completes_the_connection_that_waits() {
    run(async {
        use crate::oauth_world::{KEY, World as OAuthWorld};
        use crate::support::app::TestSettings;
        use crate::support::provider::{CLIENT_SECRET, Provider};

        let provider = Provider::start().await;
        let entry = "installation: outbound
disable_pkce: true
token_url: PROVIDER/installations/${connectionConfig.installation.uuid}/authorizations/
token_params: { grant_type: authorization_code }
webhook_routing_script: sentryOauthWebhookRouting
authorization_code_param_in_webhook: data.installation.code
webhook_response_metadata: [installation.uuid]";
        let catalog = provider.entry("sentry-oauth", entry);
        let world =
            OAuthWorld::with_provider(provider, TestSettings::default().catalog(catalog), "sentry-oauth")
                .await;
        let token = world.session(|_| {}).await;
        let path = format!("/auth/oauth-outbound/{KEY}?connect_session_token={token}&params[actor]=9");
        let waiting = world.app.anonymous().ask("POST", path).expect(200).await;
        let id = waiting["connectionId"].as_str().expect("an id");

        let environment =
            hitchpost::db::environments::find(&world.app.app.db, world.app.environment_id).await;
        let uuid = environment.expect("the database answers").expect("an environment").uuid;
        let body = json!({"action": "created", "actor": {"id": 9}, "installation": {"uuid": "uu-1"},
            "data": {"installation": {"code": "the-code", "uuid": "uu-1"}}})
        .to_string();
        let post = |key: &str| {
            let request = world.app.anonymous().ask("POST", format!("/webhook/{uuid}/{KEY}"));
            let request = request.header("content-type", "application/json").bytes(body.as_str());
            request.header("sentry-hook-signature", &hmac_hex(key, &body))
        };
        assert_eq!(refused(post("nobody's")).await, is(401, "webhook_invalid_signature"));
        let answer = json!({"token": "tok-1", "refreshToken": "ref-1", "expiresAt": "2099-01-01T00:00:00Z"});
        world.provider.answer_next(201, "application/json", answer.to_string());
        accepted(post(CLIENT_SECRET)).await;
        let path = format!("/connections/{id}?provider_config_key={KEY}");
        let done = world.app.client().get(path).expect(200).await;
        assert_eq!(done["credentials"]["access_token"], "tok-1");
    });
}
