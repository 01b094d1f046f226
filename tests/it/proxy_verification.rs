//! Are credentials good? Asked of the provider's verification endpoints before they are stored.

use hitchpost::auth::Credentials;
use hitchpost::integrations;
use hitchpost::proxy::{VerificationFailure, verify_credentials};
use serde_json::{Map, Value, json};

use crate::support::run;
use crate::support::target::{Target, World, WorldPlan, answer, ok_json};

async fn verify(world: &World, credentials: Value) -> Result<(), VerificationFailure> {
    let app = &world.app;
    let integration = integrations::find(&app.app, app.environment_id, "acme").await.unwrap().unwrap();
    let credentials = Credentials::from_json(credentials).unwrap();
    verify_credentials(&app.app, &integration, &credentials, &Map::new()).await
}

#[test]
fn the_first_endpoint_that_accepts_decides() {
    run(async {
        let target = Target::start(|seen| match (seen.target.as_str(), seen.header("x-api-key")) {
            ("/v1/b/me", Some("good-key")) => ok_json("{}"),
            ("/v1/a", _) => answer(404, &[], ""),
            _ => answer(401, &[], r#"{"error": "wrong key bad-key-1"}"#),
        })
        .await;
        let verification = json!({"endpoints": ["/a", "/b/me"], "headers": {"x-extra": "1"}});
        let base = format!("{}/v1", target.url());
        let world = WorldPlan::new(base).proxy(json!({ "verification": verification })).build().await;
        assert_eq!(verify(&world, json!({"type": "API_KEY", "apiKey": "good-key"})).await, Ok(()));
        assert_eq!(target.last().header("x-extra"), Some("1"));
        let failure = verify(&world, json!({"type": "API_KEY", "apiKey": "bad-key-1"})).await.unwrap_err();
        let excerpt = r#"{"error": "wrong key REDACTED"}"#.to_owned();
        assert_eq!(failure, VerificationFailure::Rejected { status: 401, excerpt });
    });
}

#[test]
fn a_provider_in_trouble_is_asked_twice_and_blames_nobody() {
    run(async {
        let target = Target::start(|_| answer(503, &[], "later")).await;
        let verification = json!({"endpoints": ["/me"], "method": "POST", "data": {"a": 1}});
        let world = WorldPlan::new(target.url())
            .proxy(json!({"verification": verification, "body": {"k": "${apiKey}"}}))
            .build()
            .await;
        let failure = verify(&world, json!({"type": "API_KEY", "apiKey": "some-key"})).await.unwrap_err();
        assert!(matches!(failure, VerificationFailure::Unreachable { .. }), "{failure}");
        assert_eq!(target.seen().len(), 2);
        assert_eq!(target.last().text(), r#"{"a":1,"k":"some-key"}"#);
    });
}

#[test]
fn what_cannot_be_tested_is_accepted() {
    run(async {
        let target = Target::recording().await;
        let world = WorldPlan::new(target.url()).build().await;
        assert_eq!(verify(&world, json!({"type": "API_KEY", "apiKey": "k"})).await, Ok(()));
        assert!(target.seen().is_empty());
    });
}
