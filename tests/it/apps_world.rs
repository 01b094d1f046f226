//! A server, GitHub, and integrations of two kinds of its apps.

use hitchpost::db::connections::{self as rows, Connection};
use hitchpost::db::environments::{self, Environment};
use serde_json::{Value, json};
use url::Url;

use crate::support::app::TestSettings;
use crate::support::github::{APP_ID, CLIENT_ID, CLIENT_SECRET, GitHub, PRIVATE_KEY};
use crate::support::{Reply, Socket, TestApp};

/// The integration of the plain app.
pub const APP: &str = "hub-app";
/// The integration of the app with user login.
pub const USER_APP: &str = "hub-user-app";
pub const APP_LINK: &str = "https://github.com/apps/acme";

pub struct World {
    pub app: TestApp,
    pub github: GitHub,
}

/// A sign-in between the redirect and the callback.
pub struct Begun {
    pub target: Url,
    pub state: String,
    pub cookie: String,
    pub socket: Socket,
}

/// Where a sign-in ended: the page, and what the waiting socket was told.
pub struct Ended {
    pub page: Reply,
    pub frame: Value,
}

impl Ended {
    /// The connection that the sign-in made.
    pub fn connection_id(&self) -> &str {
        assert_eq!(self.page.status, 200, "{}", self.frame);
        assert_eq!(self.frame["message_type"], "success", "{}", self.frame);
        self.frame["connection_id"].as_str().expect("an id")
    }

    /// The type and the words of its failure, which must be on the page too.
    pub fn failure(&self) -> (String, String) {
        assert_eq!(self.page.status, 400, "{}", self.page.text());
        assert_eq!(self.frame["message_type"], "error", "{}", self.frame);
        let text = |name: &str| self.frame[name].as_str().expect("a text").to_owned();
        let kind = text("error_type");
        assert!(self.page.text().contains(&kind), "{}", self.page.text());
        (kind, text("error_desc"))
    }
}

impl World {
    pub async fn start() -> World {
        let github = GitHub::start().await;
        let url = github.url();
        let catalog = format!(
            "hub-app:
  alias: github-app
  token_url: {url}/app/installations/${{connectionConfig.installation_id}}/access_tokens
  proxy: {{ base_url: {url} }}
hub-user-app:
  alias: github-app-oauth
  token_url:
    OAUTH2: {url}/login/oauth/access_token
    APP: {url}/app/installations/${{connectionConfig.installation_id}}/access_tokens
  proxy: {{ base_url: {url} }}
"
        );
        let app = TestSettings::default().catalog(catalog).start().await;
        github.keep_time(&app.app.clock);
        let world = World { app, github };
        world.integrate(APP, APP, PRIVATE_KEY).await;
        world.integrate(USER_APP, USER_APP, PRIVATE_KEY).await;
        world
    }

    /// Creates an integration with this private key.
    pub async fn integrate(&self, provider: &str, key: &str, private_key: &str) {
        let mut credentials =
            json!({"type": "APP", "app_id": APP_ID, "app_link": APP_LINK, "private_key": private_key});
        if provider == USER_APP {
            credentials["type"] = "CUSTOM".into();
            credentials["client_id"] = CLIENT_ID.into();
            credentials["client_secret"] = CLIENT_SECRET.into();
        }
        let body = json!({"provider": provider, "unique_key": key, "credentials": credentials});
        self.app.client().post("/integrations", body).expect(200).await;
    }

    /// A connect session token.
    pub async fn session(&self, body: Value) -> String {
        let reply = self.app.client().post("/connect/sessions", body).expect(201).await;
        reply["data"]["token"].as_str().expect("a token").to_owned()
    }

    /// Opens the popup of a new session.
    pub async fn begin(&self, key: &str) -> Begun {
        let token = self.session(json!({"end_user": {"id": "u1"}, "tags": {"plan": "pro"}})).await;
        self.begin_with(key, &token, "").await
    }

    pub async fn begin_with(&self, key: &str, token: &str, more: &str) -> Begun {
        let socket = Socket::open(&self.app).await;
        let path =
            format!("/oauth/connect/{key}?connect_session_token={token}&ws_client_id={}{more}", socket.id);
        let reply = self.app.anonymous().get(path).send().await;
        assert_eq!(reply.status, 302, "{}", reply.text());
        let target = Url::parse(reply.header("location").expect("a target")).expect("a URL");
        let state = target.query_pairs().find(|(name, _)| name == "state" || name == "payload");
        let state = state.expect("a state").1.into_owned();
        let cookie = reply.header("set-cookie").expect("a cookie");
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Begun { target, state, cookie, socket }
    }

    /// The browser comes back to `path` with these further parameters.
    pub async fn end(&self, mut begun: Begun, path: &str, more: &str) -> Ended {
        let path = format!("{path}?state={}{more}", begun.state);
        let request = self.app.anonymous().get(path).header("cookie", &begun.cookie);
        let page = request.header("accept", "text/html").send().await;
        let frame = begun.socket.next().await.expect("an outcome");
        Ended { page, frame }
    }

    /// A whole installation of the plain app.
    pub async fn install(&self, installation: &str) -> Ended {
        let begun = self.begin(APP).await;
        let more = format!("&installation_id={installation}&setup_action=install");
        self.end(begun, "/app-auth/connect", &more).await
    }

    /// A whole installation of the app with user login.
    pub async fn install_as_user(&self, installation: &str) -> Ended {
        let begun = self.begin(USER_APP).await;
        let code = self.github.issue_code();
        let more = format!("&code={code}&installation_id={installation}&setup_action=install");
        self.end(begun, "/oauth/callback", &more).await
    }

    pub fn connection_path(&self, key: &str, id: &str) -> String {
        format!("/connections/{id}?provider_config_key={key}")
    }

    /// The connection as the API shows it, refresh tokens included.
    pub async fn read(&self, key: &str, id: &str) -> Value {
        let path = format!("{}&refresh_token=true", self.connection_path(key, id));
        self.app.client().get(path).expect(200).await
    }

    /// The connection's row.
    pub async fn row(&self, key: &str, id: &str) -> Option<Connection> {
        let app = &self.app.app;
        let integration = hitchpost::integrations::find(app, self.app.environment_id, key).await;
        let integration = integration.expect("the database answers").expect("an integration");
        let found = rows::find(&app.db, self.app.environment_id, integration.row.id, id).await;
        found.expect("the database answers")
    }

    pub async fn environment(&self) -> Environment {
        let found = environments::find(&self.app.app.db, self.app.environment_id).await;
        found.expect("the database answers").expect("an environment")
    }

    /// How many connections there are.
    pub async fn count(&self) -> usize {
        let list = self.app.client().get("/connections").expect(200).await;
        list["connections"].as_array().map_or(0, Vec::len)
    }
}
