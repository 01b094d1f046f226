//! Apps with user login: the user's tokens and the installation's, installations that wait for an owner.

use std::time::Duration;

use chrono::TimeDelta;
use hitchpost::oauth::completion::{CompletionError, complete_installation};
use serde_json::{Value, json};

use crate::apps::oddities;
use crate::apps_world::{APP_LINK, USER_APP, World};
use crate::support::github::Canned;
use crate::support::run;

#[test]
fn a_login_with_an_installation_brings_both_tokens() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        let begun = world.begin(USER_APP).await;
        assert_eq!(begun.target.as_str(), format!("{APP_LINK}/installations/new?state={}", begun.state));
        let code = world.github.issue_code();
        let more = format!("&code={code}&installation_id=77&setup_action=install");
        let ended = world.end(begun, "/oauth/callback", &more).await;
        assert_eq!(ended.frame["is_pending"], false);
        let id = ended.connection_id();
        let connection = world.read(USER_APP, id).await;
        assert_eq!(connection["credentials"]["type"], "APP");
        assert_eq!(connection["credentials"]["access_token"], "ghs_3");
        let config = &connection["connection_config"];
        assert_eq!((&config["installation_id"], &config["app_id"]), (&json!("77"), &json!("12345")));
        assert_eq!(config["handle"], "octocat");
        assert_eq!(config["jwtToken"], connection["credentials"]["jwtToken"]);
        let user = &config["userCredentials"];
        assert_eq!((&user["type"], &user["access_token"]), (&json!("OAUTH2"), &json!("ghu_2")));
        assert_eq!(user["refresh_token"], "ghr_2");
        assert_eq!(connection["tags"]["plan"], "pro");

        let row = world.row(USER_APP, id).await.expect("a row");
        let stored = row.connection_config.to_string();
        assert!(!stored.contains("ghu_") && !stored.contains("ghr_"), "sealed: {stored}");
        let hidden = world.app.client().get(world.connection_path(USER_APP, id)).expect(200).await;
        assert_eq!(hidden["connection_config"]["userCredentials"].get("refresh_token"), None);
        let exchange = &world.github.calls("/login/").pop().expect("an exchange").form;
        assert_eq!(exchange["redirect_uri"], format!("{}/oauth/callback", world.app.url()));
    });
}

#[test]
fn both_tokens_are_renewed_and_a_failing_user_is_not_fatal() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        let ended = world.install_as_user("77").await;
        let id = ended.connection_id();
        for (app, user) in [("ghs_4", "5"), ("ghs_6", "7")] {
            world.app.advance(TimeDelta::minutes(46));
            let read = world.read(USER_APP, id).await;
            assert_eq!(read["credentials"]["access_token"], app);
            let held = &read["connection_config"]["userCredentials"];
            assert_eq!(held["access_token"], format!("ghu_{user}"));
            assert_eq!(held["refresh_token"], format!("ghr_{user}"));
        }
        let refused = Canned::json(200, &json!({"error": "bad_refresh_token"}));
        world.github.answer_next("login", refused);
        world.app.advance(TimeDelta::minutes(46));
        let read = world.read(USER_APP, id).await;
        assert_eq!(read["credentials"]["access_token"], "ghs_8");
        assert_eq!(read["connection_config"]["userCredentials"]["access_token"], "ghu_7");

        let logins = world.github.calls("/login/").len();
        world.github.revoke("77");
        world.app.advance(TimeDelta::minutes(46));
        let refused = world.app.client().get(world.connection_path(USER_APP, id)).expect(400).await;
        assert_eq!(refused["error"]["payload"]["type"], "github_app_token_fetch_error");
        assert_eq!(
            world.github.calls("/login/").len(),
            logins,
            "the user's token is not used up for nothing"
        );
    });
}

#[test]
fn an_installation_that_is_known_is_authorized_again_as_it_is() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        let first = world.install_as_user("77").await;
        let id = first.connection_id();
        let before = world.read(USER_APP, id).await;
        let logins = world.github.calls("/login/").len();
        let token =
            world.session(json!({"end_user": {"id": "somebody else"}, "tags": {"plan": "free"}})).await;
        let begun = world.begin_with(USER_APP, &token, "&params[mine]=1").await;
        let again =
            world.end(begun, "/oauth/callback", "&code=x&installation_id=77&setup_action=update").await;
        assert_eq!(again.connection_id(), id);
        assert_eq!(world.count().await, 1);
        assert_eq!(world.github.calls("/login/").len(), logins, "no exchange");
        let after = world.read(USER_APP, id).await;
        assert_ne!(after["credentials"]["access_token"], before["credentials"]["access_token"]);
        for name in ["tags", "end_user"] {
            assert_eq!(after[name], before[name], "{name}");
        }
        let config = |connection: &Value| {
            let mut config = connection["connection_config"].clone();
            config["jwtToken"] = Value::Null;
            config
        };
        assert_eq!(config(&after), config(&before));
    });
}

#[test]
fn a_changed_installation_needs_no_code() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        let begun = world.begin(USER_APP).await;
        let ended = world.end(begun, "/oauth/callback", "&installation_id=77&setup_action=update").await;
        let connection = world.read(USER_APP, ended.connection_id()).await;
        assert_eq!(connection["credentials"]["access_token"], "ghs_1");
        assert_eq!(connection["connection_config"].get("userCredentials"), None);
        // Without a user, only the installation's token is renewed.
        world.app.advance(TimeDelta::minutes(46));
        let read = world.read(USER_APP, ended.connection_id()).await;
        assert_eq!(read["credentials"]["access_token"], "ghs_2");
    });
}

#[test]
fn a_callback_without_code_or_change_is_refused() {
    run(async {
        let world = World::start().await;
        for more in [
            "&installation_id=77&setup_action=install",
            "&installation_id=77",
            "&setup_action=request",
            "&setup_action=update",
            "&error=access_denied",
        ] {
            let begun = world.begin(USER_APP).await;
            let (kind, message) = world.end(begun, "/oauth/callback", more).await.failure();
            assert_eq!(kind, "callback_err", "{more}");
            assert!(message.starts_with("No authorization code"), "{more}: {message}");
        }
        assert_eq!(world.count().await, 0);
    });
}

async fn request_approval(world: &World) -> String {
    let begun = world.begin(USER_APP).await;
    let code = world.github.issue_code();
    let ended = world.end(begun, "/oauth/callback", &format!("&code={code}&setup_action=request")).await;
    assert_eq!(ended.frame["is_pending"], true);
    ended.connection_id().to_owned()
}

fn approval(app_id: &Value, requester: &str) -> Value {
    json!({"action": "created", "installation": {"id": 77, "app_id": app_id}, "requester": {"login": requester}})
}

async fn complete(world: &World, event: &Value) -> Result<bool, CompletionError> {
    let environment = world.environment().await;
    complete_installation(&world.app.app, &environment, event).await.map(|completed| completed.is_some())
}

#[test]
fn a_requested_installation_waits_until_an_owner_approves() {
    run(async {
        let world = World::start().await;
        let id = request_approval(&world).await;
        let waiting = world.read(USER_APP, &id).await;
        assert_eq!(waiting["credentials"]["type"], "OAUTH2");
        let config = &waiting["connection_config"];
        assert_eq!((&config["pending"], &config["app_id"]), (&json!(true), &json!("12345")));
        assert_eq!(config["handle"], "octocat");
        assert!(config["pendingLog"].is_string());

        // While it waits, the user's tokens are renewed.
        world.app.advance(TimeDelta::hours(8));
        let renewed = world.read(USER_APP, &id).await;
        assert_ne!(renewed["credentials"]["access_token"], waiting["credentials"]["access_token"]);
        assert_eq!(renewed["connection_config"]["userCredentials"], renewed["credentials"]);

        world.github.add_installation("77");
        for event in [approval(&json!(12345), "stranger"), approval(&json!(1), "octocat")] {
            assert!(matches!(complete(&world, &event).await, Err(CompletionError::NotWaiting)));
        }
        let other = json!({"action": "deleted", "installation": {"id": 77, "app_id": 12345}});
        assert!(!complete(&world, &other).await.expect("nothing to do"));
        let event = approval(&json!(12345), "octocat");
        assert!(complete(&world, &event).await.expect("completed"));

        let done = world.read(USER_APP, &id).await;
        assert_eq!(done["credentials"]["type"], "APP");
        let config = &done["connection_config"];
        assert_eq!(config["installation_id"], 77);
        assert_eq!((config.get("pending"), config.get("pendingLog")), (None, None));
        assert_eq!(config["userCredentials"], renewed["credentials"]);
        assert_eq!((&done["tags"], &done["end_user"]), (&waiting["tags"], &waiting["end_user"]));
        assert!(
            matches!(complete(&world, &event).await, Err(CompletionError::NotWaiting)),
            "delivered twice"
        );

        world.app.advance(TimeDelta::minutes(46));
        let fresh = world.read(USER_APP, &id).await;
        assert_ne!(fresh["credentials"]["access_token"], done["credentials"]["access_token"]);
        let login = world.end(world.begin(USER_APP).await, "/oauth/callback", "&installation_id=77").await;
        assert_eq!(login.connection_id(), id, "a number is found by its text");
    });
}

#[test]
fn an_approval_whose_token_fails_leaves_the_connection_waiting() {
    run(async {
        let world = World::start().await;
        let id = request_approval(&world).await;
        let event = approval(&json!("12345"), "octocat");
        assert!(matches!(complete(&world, &event).await, Err(CompletionError::Token(_))));
        assert_eq!(world.read(USER_APP, &id).await["connection_config"]["pending"], true);
        world.github.add_installation("77");
        assert!(complete(&world, &event).await.expect("completed"));
    });
}

#[test]
fn a_request_after_an_installation_waits_for_the_new_one() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("70");
        let ended = world.install_as_user("70").await;
        let id = ended.connection_id();
        let body = json!({"connection_id": id, "integration_id": USER_APP});
        let reply = world.app.client().post("/connect/sessions/reconnect", body).expect(201).await;
        let token = reply["data"]["token"].as_str().expect("a token");
        let begun = world.begin_with(USER_APP, token, "").await;
        let code = world.github.issue_code();
        let again = world.end(begun, "/oauth/callback", &format!("&code={code}&setup_action=request")).await;
        assert_eq!(again.connection_id(), id);
        assert_eq!(world.read(USER_APP, id).await["connection_config"].get("installation_id"), None);
        world.github.add_installation("77");
        assert!(complete(&world, &approval(&json!(12345), "octocat")).await.expect("completed"));
        assert_eq!(world.read(USER_APP, id).await["connection_config"]["installation_id"], 77);
    });
}

#[test]
fn a_user_without_a_name_cannot_wait_but_can_install() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        for canned in [
            Canned::json(403, &json!({"message": "no", "login": "octocat"})),
            Canned::new(200, "text/html", "<html>"),
        ] {
            world.github.answer_next("user", canned.clone());
            let begun = world.begin(USER_APP).await;
            let code = world.github.issue_code();
            let ended = world.end(begun, "/oauth/callback", &format!("&code={code}")).await;
            let (kind, message) = ended.failure();
            assert_eq!(kind, "unknown_err");
            assert!(message.contains("who signed in"), "{message}");
        }
        world.github.answer_next("user", Canned::json(500, &json!({})));
        let ended = world.install_as_user("77").await;
        let config = world.read(USER_APP, ended.connection_id()).await["connection_config"].clone();
        assert_eq!((config.get("handle"), &config["installation_id"]), (None, &json!("77")));
    });
}

#[test]
fn what_github_says_instead_of_tokens_reaches_page_and_socket() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        for (endpoint, expected_kind) in
            [("installation", "github_app_token_fetch_error"), ("login", "unknown_err")]
        {
            for (name, canned, expected) in oddities() {
                world.github.answer_next(endpoint, canned);
                let ended = world.install_as_user("77").await;
                let (kind, message) = ended.failure();
                assert_eq!(kind, expected_kind, "{endpoint}: {name}");
                assert!(message.contains(expected.unwrap_or_default()), "{endpoint}: {name}: {message}");
                let page = ended.page.text();
                for secret in ["secret-1", "eyJ", "ghu_", "ghr_", "s3cret"] {
                    assert!(!page.contains(secret), "{name}: {page}");
                }
            }
        }
        assert_eq!(world.count().await, 0);
    });
}

#[test]
fn a_refresh_whose_user_half_hangs_ends_with_its_installation_half() {
    run(async {
        let world = World::start().await;
        world.github.add_installation("77");
        let ended = world.install_as_user("77").await;
        let id = ended.connection_id();
        let canned = Canned { delay: Duration::from_secs(60), ..Canned::new(200, "application/json", "{}") };
        world.github.answer_next("login", canned);
        world.app.advance(TimeDelta::minutes(46));
        let read = world.read(USER_APP, id).await;
        assert_eq!(read["credentials"]["access_token"], "ghs_4");
        assert_eq!(read["connection_config"]["userCredentials"]["access_token"], "ghu_2");
    });
}
