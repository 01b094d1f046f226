//! A server, a provider and one integration between them.

use hitchpost::auth::Credentials;
use hitchpost::connections;
use hitchpost::db::connect_sessions::{self, ConnectSession};
use hitchpost::db::connections::Connection;
use hitchpost::db::integrations::{self, Integration};
use hitchpost::db::{ConnectSessionId, IntegrationId, connections as rows};
use hitchpost::integrations::{OpenIntegration, seal_object};
use serde_json::{Value, json};
use url::Url;

use crate::support::app::TestSettings;
use crate::support::provider::{CLIENT_ID, CLIENT_SECRET};
use crate::support::{Provider, Reply, TestApp};

pub const KEY: &str = "acme-prod";

pub struct World {
    pub app: TestApp,
    pub provider: Provider,
    pub integration: Integration,
}

/// A sign-in between the redirect and the callback.
pub struct Begun {
    pub authorize: Url,
    /// `name=value`
    pub cookie: String,
    pub set_cookie: String,
}

impl World {
    /// The entry `acme` has these further keys.
    pub async fn start(extra: &str) -> World {
        Self::with_settings(extra, TestSettings::default()).await
    }

    pub async fn with_settings(extra: &str, settings: TestSettings) -> World {
        let provider = Provider::start().await;
        let catalog = provider.entry("acme", extra);
        Self::with_provider(provider, settings.catalog(catalog), "acme").await
    }

    pub async fn with_provider(provider: Provider, settings: TestSettings, entry: &str) -> World {
        let app = settings.start().await;
        let integration = insert_integration(&app, KEY, entry, Some(CLIENT_SECRET)).await;
        World { app, provider, integration }
    }

    /// A connect session token.
    pub async fn session(&self, change: impl FnOnce(&mut ConnectSession)) -> String {
        let app = &self.app.app;
        let token = format!("nango_connect_session_{}", app.rng.hex(32));
        let now = app.clock.now();
        let mut session = ConnectSession {
            id: ConnectSessionId(0),
            environment_id: self.app.environment_id,
            end_user: Some(json!({"id": "u1", "email": "jane@acme.test"})),
            organization: None,
            tags: json!({"end_user_id": "u1"}),
            has_tags: true,
            allowed_integrations: None,
            integrations_config_defaults: None,
            overrides: None,
            connection_id: None,
            webhook_url_override: None,
            operation_id: "op".to_owned(),
            created_at: now,
            expires_at: now + chrono::TimeDelta::minutes(30),
        };
        change(&mut session);
        connect_sessions::insert(&app.db, &session, &app.cipher.lookup_hash(&token))
            .await
            .expect("a session");
        token
    }

    /// Sealed defaults of a session for this integration.
    pub fn defaults(&self, value: Value) -> Option<Vec<u8>> {
        let all = json!({ KEY: value }).as_object().cloned().unwrap_or_default();
        seal_object(&self.app.app.cipher, &all).expect("sealed")
    }

    /// `GET /oauth/connect` with further parameters.
    pub async fn connect(&self, token: &str, more: &str) -> Reply {
        let path = format!("/oauth/connect/{KEY}?connect_session_token={token}{more}");
        self.app.anonymous().get(path).send().await
    }

    /// The same, which must succeed.
    pub async fn begin(&self, token: &str, more: &str) -> Begun {
        let reply = self.connect(token, more).await;
        assert_eq!(reply.status, 302, "{}", reply.text());
        let set_cookie = reply.header("set-cookie").expect("a cookie").to_owned();
        Begun {
            authorize: Url::parse(reply.header("location").expect("a target")).expect("a URL"),
            cookie: set_cookie.split(';').next().unwrap_or_default().to_owned(),
            set_cookie,
        }
    }

    /// The browser comes back.
    pub async fn callback(&self, begun: &Begun, target: &Url) -> Reply {
        self.callback_with(&begun.cookie, target).await
    }

    pub async fn callback_with(&self, cookie: &str, target: &Url) -> Reply {
        let path = format!("{}?{}", target.path(), target.query().unwrap_or_default());
        self.app.anonymous().get(path).header("cookie", cookie).send().await
    }

    /// A whole sign-in. The page that ended it.
    pub async fn sign_in(&self, token: &str, more: &str) -> Reply {
        let begun = self.begin(token, more).await;
        let target = self.provider.sign_in(begun.authorize.as_str()).await;
        self.callback(&begun, &target).await
    }

    /// The only live connection of the integration, with its credentials.
    pub async fn connection(&self, connection_id: &str) -> (Connection, Credentials) {
        let app = &self.app.app;
        let found = rows::find(&app.db, self.app.environment_id, self.integration.id, connection_id).await;
        let connection = found.expect("the database answers").expect("the connection exists");
        let credentials = connections::open(app, &connection).expect("readable credentials");
        (connection, credentials)
    }

    /// The integration with its provider.
    pub async fn open_integration(&self) -> OpenIntegration {
        let app = &self.app.app;
        let found = hitchpost::integrations::find(app, self.app.environment_id, KEY).await;
        found.expect("the database answers").expect("the integration exists")
    }
}

pub async fn insert_integration(
    app: &TestApp,
    key: &str,
    provider: &str,
    secret: Option<&str>,
) -> Integration {
    let now = app.now();
    let new = Integration {
        id: IntegrationId(0),
        environment_id: app.environment_id,
        unique_key: key.to_owned(),
        provider: provider.to_owned(),
        display_name: None,
        oauth_client_id: secret.map(|_| CLIENT_ID.to_owned()),
        oauth_client_secret: secret.map(|secret| app.app.cipher.seal_text(secret).expect("sealed")),
        oauth_scopes: Some("read,write:all".to_owned()),
        app_link: None,
        custom: None,
        forward_webhooks: true,
        accept_unverified_webhooks: false,
        created_at: now,
        updated_at: now,
    };
    integrations::insert(&app.app.db, &new, now).await.expect("an integration")
}
