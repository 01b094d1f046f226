//! Plugins that are installed at the provider.

use serde_json::{Value, json};
use url::Url;

use crate::oauth_world::KEY;
use crate::support::app::TestSettings;
use crate::support::provider::Provider;
use crate::support::{Reply, Socket, TestApp, run};

const LINK: &str = "https://app.chat.test/initiate/plugin/1/?from=us";

struct World {
    app: TestApp,
    provider: Provider,
}

/// The catalog's provider with these credentials of the plugin.
async fn start(custom: Value) -> World {
    let provider = Provider::start().await;
    let entry = format!(
        "chat:
  display_name: Chat
  docs: https://docs.test
  auth_mode: INSTALL_PLUGIN
  redirect_uri_metadata: [website_id]
  proxy:
    base_url: {}
    verification: {{ method: GET, endpoints: ['/v1/website/${{connectionConfig.website_id}}'] }}
",
        provider.url()
    );
    let app = TestSettings::default().catalog(entry).start().await;
    let mut custom = custom;
    custom["app_link"] = LINK.into();
    let body = json!({"provider": "chat", "unique_key": KEY, "custom": custom});
    app.client().post("/integrations", body).expect(200).await;
    World { app, provider }
}

impl World {
    /// A whole installation: the page, and what the socket was told.
    async fn install(&self) -> (Reply, Value) {
        let session = json!({"end_user": {"id": "u1"}, "tags": {"plan": "pro"}});
        let reply = self.app.client().post("/connect/sessions", session).expect(201).await;
        let token = reply["data"]["token"].as_str().expect("a token");
        let mut socket = Socket::open(&self.app).await;
        let path = format!(
            "/oauth/connect/{KEY}?connect_session_token={token}&ws_client_id={}&params[website_id]=stolen",
            socket.id
        );
        let reply = self.app.anonymous().get(path).send().await;
        assert_eq!(reply.status, 302, "{}", reply.text());
        let target = Url::parse(reply.header("location").expect("a target")).expect("a URL");
        let payload =
            target.query_pairs().find(|(name, _)| name == "payload").expect("a payload").1.into_owned();
        assert_eq!(target.as_str(), format!("{LINK}&payload={payload}"));
        let cookie =
            reply.header("set-cookie").expect("a cookie").split(';').next().unwrap_or_default().to_owned();
        let path = format!("/oauth/callback?payload={payload}&website_id=w-9&token=t");
        let page = self.app.anonymous().get(path).header("cookie", &cookie).send().await;
        (page, socket.next().await.expect("an outcome"))
    }

    async fn read(&self, frame: &Value) -> Value {
        let id = frame["connection_id"].as_str().expect("an id");
        self.app.client().get(format!("/connections/{id}?provider_config_key={KEY}")).expect(200).await
    }
}

#[test]
fn an_installed_plugin_becomes_a_connection_with_the_operators_credentials() {
    run(async {
        for password in ["hunter2", "aHVudGVyMg=="] {
            let world = start(json!({"username": "plug", "password": password})).await;
            world.provider.answer_next(200, "application/json", "{}");
            let (page, frame) = world.install().await;
            assert_eq!((page.status.as_u16(), &frame["message_type"]), (200, &json!("success")), "{frame}");
            let connection = world.read(&frame).await;
            assert_eq!(
                connection["credentials"],
                json!({"type": "BASIC", "username": "plug", "password": "hunter2"})
            );
            assert_eq!(connection["connection_config"], json!({"website_id": "w-9"}));
            assert_eq!(connection["tags"]["plan"], "pro");
            let request = world.provider.last_request();
            assert_eq!(request.path, "/v1/website/w-9");
            assert_eq!(request.header("authorization"), "Basic cGx1ZzpodW50ZXIy");
        }
    });
}

#[test]
fn a_password_that_looks_encoded_may_still_be_meant_as_it_is() {
    run(async {
        let world = start(json!({"username": "plug", "password": "aHVudGVyMg=="})).await;
        world.provider.answer_next(401, "application/json", "{}");
        world.provider.answer_next(200, "application/json", "{}");
        let (_, frame) = world.install().await;
        assert_eq!(world.read(&frame).await["credentials"]["password"], "aHVudGVyMg==");
    });
}

#[test]
fn refused_plugins_reach_page_and_socket() {
    run(async {
        for (custom, status, kind, words) in [
            (json!({"username": "plug", "password": "hunter2"}), 401, "connection_test_failed", "status 401"),
            (json!({"username": "plug", "password": "hunter2"}), 404, "connection_test_failed", "status 404"),
            (json!({"username": "plug"}), 200, "provider_config_err", "username and password"),
        ] {
            let world = start(custom).await;
            world.provider.answer_next(status, "text/html", "<html>no hunter2");
            let (page, frame) = world.install().await;
            assert_eq!((page.status.as_u16(), &frame["error_type"]), (400, &json!(kind)), "{frame}");
            assert!(frame["error_desc"].as_str().unwrap_or_default().contains(words), "{frame}");
            assert!(!page.text().contains("hunter2"), "{}", page.text());
            let list = world.app.client().get("/connections").expect(200).await;
            assert_eq!(list["connections"], json!([]));
        }
    });
}
