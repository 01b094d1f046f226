//! The modes whose tokens are not OAuth's: logins of a provider's own, and tokens that are signed here.

mod assertions;
mod bill;
mod jwt;
mod signature;
mod two_step;
mod two_step_failures;

use axum::response::Response;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::app::TestSettings;
use crate::support::client::Ask;
use crate::support::target::{Seen, Target, insert_integration};

pub const RSA_KEY: &str = include_str!("../../src/modes/signed_jwt/testdata/rsa_pkcs8.pem");

/// A server with one integration `acme`, whose provider is the target.
pub struct Stage {
    pub app: TestApp,
    pub target: Target,
}

impl Stage {
    /// `entry` may say `TARGET` for the target's URL.
    pub async fn start(entry: Value, answer: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Stage {
        Self::with_custom(entry, None, answer).await
    }

    /// The operator set these fields of the integration.
    pub async fn with_custom(
        mut entry: Value,
        custom: Option<Value>,
        answer: impl Fn(&Seen) -> Response + Send + Sync + 'static,
    ) -> Stage {
        let target = Target::start(answer).await;
        entry["display_name"] = "Acme".into();
        entry["docs"] = "https://docs.example.com".into();
        let catalog = json!({ "acme": entry }).to_string().replace("TARGET", &target.url());
        let app = TestSettings::default().catalog(catalog).start().await;
        insert_integration(&app, "acme", custom.as_ref()).await;
        Stage { app, target }
    }

    /// `POST /auth/...` with a new session; `query` begins with `&`.
    pub async fn submit(&self, route: &str, query: &str, body: Value) -> Ask {
        let session = json!({"end_user": {"id": "u1"}});
        let session = self.app.client().post("/connect/sessions", session).expect(201).await;
        let token = session["data"]["token"].as_str().unwrap();
        self.app.anonymous().post(format!("/auth/{route}/acme?connect_session_token={token}{query}"), body)
    }

    /// A connection's id.
    pub async fn connect(&self, route: &str, query: &str, body: Value) -> String {
        let answer = self.submit(route, query, body).await.expect(200).await;
        assert_eq!(answer["providerConfigKey"], "acme");
        answer["connectionId"].as_str().unwrap().to_owned()
    }

    /// The code and the message of a refusal, whose envelope must be the old one exactly when `is_legacy`.
    pub async fn refusal(&self, route: &str, query: &str, body: Value, is_legacy: bool) -> (String, String) {
        let answer = self.submit(route, query, body).await.expect(400).await;
        let text = |name: &str| answer["error"][name].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer["error"].get("payload").is_some(), is_legacy, "{answer}");
        (text("code"), text("message"))
    }

    pub fn read(&self, id: &str, query: &str) -> Ask {
        self.app.client().get(format!("/connections/{id}?provider_config_key=acme{query}"))
    }

    pub async fn connection(&self, id: &str) -> Value {
        self.read(id, "").expect(200).await
    }

    pub async fn credentials(&self, id: &str) -> Value {
        self.connection(id).await["credentials"].take()
    }

    /// Calls the provider through the proxy; gives what it was sent.
    pub async fn proxied(&self, id: &str, path: &str) -> Seen {
        let ask = self.app.client().get(format!("/proxy{path}"));
        let reply = ask.header("provider-config-key", "acme").header("connection-id", id).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        self.target.last()
    }

    pub fn advance(&self, seconds: i64) {
        self.app.advance(TimeDelta::seconds(seconds));
    }

    /// How often the target was called at this path.
    pub fn calls(&self, path: &str) -> usize {
        self.target.seen().iter().filter(|seen| seen.target == path).count()
    }

    /// Everything that is stored of the connections, as bytes.
    pub async fn stored(&self) -> Vec<u8> {
        let rows: Vec<(Option<Vec<u8>>, Value)> = sqlx::query_as(
            "SELECT credentials, connection_config FROM connections WHERE environment_id = $1",
        )
        .bind(self.app.environment_id.0)
        .fetch_all(&self.app.app.db)
        .await
        .unwrap();
        rows.into_iter()
            .flat_map(|(sealed, config)| {
                [sealed.unwrap_or_default(), config.to_string().into_bytes()].concat()
            })
            .collect()
    }
}

/// Milliseconds from the stage's now until `expires_at`.
pub fn lifetime(stage: &Stage, credentials: &Value) -> i64 {
    let end = credentials["expires_at"].as_str().expect("an end");
    (chrono::DateTime::parse_from_rfc3339(end).unwrap().to_utc() - stage.app.now()).num_milliseconds()
}
