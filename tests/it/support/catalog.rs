//! Catalog entries for the tests of the API, and short ways to use them.

use serde_json::{Value, json};

use super::{Client, TestApp};

pub const ENTRIES: &str = r#"
acme:
  display_name: Acme CRM
  auth_mode: OAUTH2
  authorization_url: https://login.acme.example/authorize
  token_url: https://login.acme.example/token
  default_scopes: [read, write]
  webhook_routing_script: acmeWebhookRouting
  docs: https://docs.example/acme
acme-cc:
  display_name: Acme Machine
  auth_mode: OAUTH2_CC
  token_url: https://login.acme.example/token
  docs: https://docs.example/acme
acme-one:
  display_name: Acme One
  auth_mode: OAUTH1
  authorization_url: https://login.acme.example/authorize
  token_url: https://login.acme.example/token
  docs: https://docs.example/acme
mcp-box:
  display_name: MCP Box
  auth_mode: MCP_OAUTH2
  authorization_url: https://login.acme.example/authorize
  token_url: https://login.acme.example/token
  docs: https://docs.example/mcp
silent:
  display_name: Silent
  auth_mode: OAUTH2
  authorization_url: https://login.acme.example/authorize
  token_url: http://127.0.0.1:1/nobody-listens
  docs: https://docs.example/silent
plain-key:
  display_name: Plain Key
  auth_mode: API_KEY
  docs: https://docs.example/plain
vault:
  display_name: Vault
  auth_mode: API_KEY
  docs: https://docs.example/vault
  connection_config:
    region: { type: string, title: Region, description: Region, order: 1 }
    pin: { type: string, title: Pin, description: Pin, secret: true, order: 2 }
plain-basic:
  display_name: Plain Basic
  auth_mode: BASIC
  docs: https://docs.example/plain
open-door:
  display_name: Open Door
  auth_mode: NONE
  docs: https://docs.example/open
net-books:
  display_name: Net Books
  auth_mode: TBA
  docs: https://docs.example/books
forge-app:
  display_name: Forge App
  auth_mode: APP
  docs: https://docs.example/forge
forge-custom:
  display_name: Forge Custom
  auth_mode: CUSTOM
  docs: https://docs.example/forge
generic-key:
  display_name: Generic Key
  auth_mode: API_KEY
  docs: https://docs.example/generic
  integration_config:
    baseUrl: { type: string, title: Base URL, description: Where, format: uri, order: 1 }
    placement: { type: string, title: Placement, description: How, enum: [header, query], default_value: header, order: 2 }
    keyLabel: { type: string, title: Label, description: Word, optional: true, order: 3 }
two-step:
  display_name: Two Step
  auth_mode: TWO_STEP
  token_url: https://login.acme.example/token
  docs: https://docs.example/two
  integration_config:
    clientId: { type: string, title: Client, description: Id, optional: true, order: 1 }
    scope: { type: string, title: Scope, description: Scope, optional: true, order: 2 }
"#;

impl TestApp {
    /// A server whose catalog has the entries above.
    pub async fn with_providers() -> TestApp {
        TestApp::with_catalog(ENTRIES).await
    }
}

impl Client {
    /// Creates an integration of a provider that needs no client, or an OAuth client that does not exist.
    pub async fn integration(&self, provider: &str, unique_key: &str) -> Value {
        let mut body = json!({"provider": provider, "unique_key": unique_key});
        let kind = match provider {
            "acme" | "silent" => Some("OAUTH2"),
            "acme-one" => Some("OAUTH1"),
            _ => None,
        };
        if let Some(kind) = kind {
            body["credentials"] = json!({"type": kind, "client_id": "abc", "client_secret": "s3cret"});
        }
        self.post("/integrations", body).expect(200).await["data"].clone()
    }

    /// Imports a connection with an API key.
    pub async fn key_connection(&self, unique_key: &str, connection_id: &str) -> Value {
        let body = json!({
            "provider_config_key": unique_key,
            "connection_id": connection_id,
            "credentials": {"type": "API_KEY", "apiKey": "k"},
        });
        self.post("/connections", body).expect(201).await
    }

    /// Opens a connect session and returns a client with its token.
    pub async fn session(&self, body: Value) -> Client {
        let reply = self.post("/connect/sessions", body).expect(201).await;
        self.with_secret(reply["data"]["token"].as_str().expect("a token"))
    }
}

/// The value without these members of its top level, which differ from run to run.
pub fn without(value: &Value, names: &[&str]) -> Value {
    let mut value = value.clone();
    for name in names {
        let removed = value.as_object_mut().and_then(|members| members.shift_remove(*name));
        assert!(removed.is_some(), "{name} is missing in {value}");
    }
    value
}

/// Code and path of every issue of a validation error.
pub fn issues(error: &Value) -> Vec<(String, String)> {
    let list = error["error"]["errors"].as_array().unwrap_or_else(|| panic!("no issues: {error}"));
    let issue = |issue: &Value| {
        let path = issue["path"].as_array().expect("a path").iter().map(|part| part.as_str().expect("text"));
        (issue["code"].as_str().expect("a code").to_owned(), path.collect::<Vec<_>>().join("."))
    };
    list.iter().map(issue).collect()
}

/// [`issues`] as they are written in tests: `code path`.
pub fn issue_lines(error: &Value) -> Vec<String> {
    issues(error).into_iter().map(|(code, path)| format!("{code} {path}").trim_end().to_owned()).collect()
}
