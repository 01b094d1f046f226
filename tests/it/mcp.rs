//! MCP servers of the catalog and MCP servers that end users name, with a server that checks what it is sent.

use chrono::TimeDelta;
use hitchpost::db::integrations as rows;
use serde_json::{Value, json};
use url::Url;

use crate::oauth_world::{KEY, World};
use crate::support::app::TestSettings;
use crate::support::mcp_server::{Canned, McpServer};
use crate::support::{Provider, TestApp, run};

const PUBLIC_URL: &str = "https://hitchpost.test";
/// Private networks are closed, this machine is open.
const LOOPBACK_ONLY: &str = r#"{"allowLoopback":true}"#;

/// Entries for a server; `MCP` in them is its address.
fn catalog(server: &McpServer) -> String {
    let entry = |name: &str, mode: &str, more: &str| {
        format!(
            "{name}:\n  display_name: {name}\n  docs: https://docs.test\n  auth_mode: {mode}\n  proxy: {{ base_url: MCP }}\n{more}"
        )
    };
    let urls = "  authorization_url: MCP/authorize\n  token_url: MCP/token\n  authorization_params: { resource: MCP/mcp, scope: never, prompt: consent }\n  token_params: { grant_type: authorization_code }\n  refresh_params: { grant_type: refresh_token }\n";
    let entries = [
        entry(
            "mcp-dynamic",
            "MCP_OAUTH2",
            &format!(
                "{urls}  client_registration: dynamic\n  registration_url: MCP/register\n  disable_pkce: true\n  default_scopes: [tools]\n"
            ),
        ),
        entry(
            "mcp-plus",
            "MCP_OAUTH2",
            &format!(
                "{urls}  client_registration: dynamic\n  registration_url: MCP/register\n  registration_params: {{ grant_types: [authorization_code], ignored: true }}\n  scope_separator: \"+\"\n  authorization_url_skip_encode: [scopes]\n  default_scopes: [\"a:b\", c]\n"
            ),
        ),
        entry("mcp-static", "MCP_OAUTH2", &format!("{urls}  client_registration: static\n")),
        entry("mcp-cimd", "MCP_OAUTH2", &format!("{urls}  client_registration: cimd\n")),
        entry(
            "mcp-any",
            "MCP_OAUTH2_GENERIC",
            "  connection_config:\n    mcp_server_url: { type: string, title: URL, description: Where }\n",
        ),
    ];
    entries
        .concat()
        .replace("MCP/", &format!("{}/", server.url()))
        .replace(" MCP ", &format!(" {} ", server.url()))
}

struct McpWorld {
    world: World,
    server: McpServer,
}

impl McpWorld {
    async fn start(entry: &str) -> McpWorld {
        Self::with_settings(entry, TestSettings::default()).await
    }

    /// A server with an integration of `entry`, made over the API.
    async fn with_settings(entry: &str, settings: TestSettings) -> McpWorld {
        let server = McpServer::start().await;
        let app = settings.catalog(catalog(&server)).start().await;
        Self::around(app, server, json!({"provider": entry, "unique_key": KEY})).await
    }

    async fn around(app: TestApp, server: McpServer, body: Value) -> McpWorld {
        app.client().post("/integrations", body).expect(200).await;
        let found = rows::find(&app.app.db, app.environment_id, KEY).await.expect("the database answers");
        let integration = found.expect("the integration exists");
        McpWorld { world: World { app, provider: Provider::start().await, integration }, server }
    }

    /// The parameter with which the end user names the server.
    fn named(&self) -> String {
        format!("&params[mcp_server_url]={}", self.server.mcp_url())
    }

    /// A whole sign-in; the redirect of its beginning and the id of its connection.
    async fn sign_in(&self, more: &str) -> (Url, String) {
        let token = self.world.session(|_| {}).await;
        let begun = self.world.begin(&token, more).await;
        let target = self.server.sign_in(&begun.authorize).await;
        let page = self.world.callback(&begun, &target).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let listed = self.world.app.client().get("/connections").expect(200).await;
        let id = listed["connections"][0]["connection_id"].as_str().expect("a connection").to_owned();
        (begun.authorize, id)
    }

    /// The page of a sign-in that does not begin.
    async fn refused(&self, more: &str) -> String {
        let token = self.world.session(|_| {}).await;
        let reply = self.world.connect(&token, more).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        reply.text()
    }

    /// The credentials after a refresh that is forced.
    async fn refreshed(&self, connection_id: &str) -> Value {
        let path = format!(
            "/connections/{connection_id}?provider_config_key={KEY}&force_refresh=true&refresh_token=true"
        );
        self.world.app.client().get(path).expect(200).await["credentials"].clone()
    }
}

fn param(url: &Url, name: &str) -> String {
    let values: Vec<String> =
        url.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value.into_owned()).collect();
    assert!(values.len() < 2, "{name} twice in {url}");
    values.into_iter().next().unwrap_or_default()
}

#[test]
fn a_new_integration_registers_and_its_connections_refresh_twice() {
    run(async {
        let mcp = McpWorld::start("mcp-dynamic").await;
        let app = &mcp.world.app;
        let callback = format!("{}/oauth/callback", app.url());
        let expected = json!({"redirect_uris": [callback], "token_endpoint_auth_method": "none",
            "client_name": format!("Default - {} - mcp-dynamic", app.environment_name),
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"]});
        assert_eq!(mcp.server.registrations(), [expected]);
        assert_eq!(mcp.world.integration.oauth_client_id.as_deref(), Some("registered-1"));

        let (authorize, id) = mcp.sign_in("").await;
        assert_eq!(param(&authorize, "client_id"), "registered-1");
        assert_eq!(param(&authorize, "scope"), "tools", "the entry cannot set it");
        assert_eq!(param(&authorize, "prompt"), "consent");
        assert_eq!(param(&authorize, "resource"), mcp.server.mcp_url());

        let first = mcp.refreshed(&id).await;
        let second = mcp.refreshed(&id).await;
        assert_eq!(
            [&first["access_token"], &second["access_token"], &second["refresh_token"]],
            ["access-4", "access-5", "refresh-5"]
        );
        let requests = mcp.server.token_requests();
        for (request, grant) in requests.iter().zip(["authorization_code", "refresh_token", "refresh_token"])
        {
            assert_eq!(request["grant_type"], grant);
            assert_eq!(request["resource"], mcp.server.mcp_url());
            assert_eq!(request["client_id"], "registered-1");
            assert!(!request.contains_key("client_secret"), "a public client: {request:?}");
        }
        assert_eq!((requests.len(), mcp.server.registrations().len()), (3, 1));
    });
}

#[test]
fn an_integration_without_a_client_registers_at_its_first_sign_in() {
    run(async {
        let server = McpServer::start().await;
        let app = TestSettings::default().catalog(catalog(&server)).start().await;
        let down = json!({"error": "temporarily_unavailable", "error_description": "Come back\nlater"});
        server.answer_with("/register", Canned::json(503, &down));
        let mcp = McpWorld::around(app, server, json!({"provider": "mcp-plus", "unique_key": KEY})).await;
        assert_eq!(mcp.world.integration.oauth_client_id, None);
        let page = mcp.refused("").await;
        assert!(
            page.contains("unknown_err") && page.contains("503: temporarily_unavailable: Come back later"),
            "{page}"
        );

        mcp.server.answer_normally();
        mcp.server.give_secrets("client_secret_basic");
        let (authorize, id) = mcp.sign_in("").await;
        assert!(authorize.as_str().ends_with("&scope=a%3Ab+c"), "{authorize}");
        assert_eq!(mcp.server.registrations()[0]["grant_types"], json!(["authorization_code"]));
        mcp.sign_in("").await;
        assert_eq!(mcp.server.registrations().len(), 1, "the second sign-in uses the same client");
        assert_eq!(mcp.refreshed(&id).await["type"], "OAUTH2");
    });
}

#[test]
fn a_client_can_be_the_operators_or_the_callers() {
    run(async {
        let mcp = McpWorld::start("mcp-static").await;
        let page = mcp.refused("").await;
        assert!(page.contains("provider_config_err"), "{page}");
        mcp.server.add_client("by-hand", "s3cret");
        mcp.server.add_client("own", "own-secret");
        let own =
            "&credentials[oauth_client_id_override]=own&credentials[oauth_client_secret_override]=own-secret";
        let (authorize, id) = mcp.sign_in(own).await;
        assert_eq!(param(&authorize, "client_id"), "own");
        assert_eq!(mcp.refreshed(&id).await["config_override"]["client_id"], "own");

        let client = mcp.world.app.client();
        let credentials =
            json!({"type": "MCP_OAUTH2", "client_id": "by-hand", "client_secret": "s3cret", "scopes": "x"});
        client.patch(format!("/integrations/{KEY}"), json!({"credentials": credentials})).expect(200).await;
        let (authorize, _) = mcp.sign_in("").await;
        assert_eq!(
            (param(&authorize, "client_id"), param(&authorize, "scope")),
            ("by-hand".into(), "x".into())
        );
        let wrong = json!({"credentials": {"type": "OAUTH2", "client_id": "a", "client_secret": "b"}});
        client.patch(format!("/integrations/{KEY}"), wrong).expect(400).await;
    });
}

#[test]
fn a_client_can_be_the_document_at_its_address() {
    run(async {
        let mcp = McpWorld::start("mcp-cimd").await;
        let page = mcp.refused("").await;
        assert!(page.contains("provider_config_err") && page.contains("NANGO_SERVER_URL"), "{page}");

        let public = || TestSettings::default().set("NANGO_SERVER_URL", PUBLIC_URL);
        for (entry, more) in [("mcp-cimd", false), ("mcp-any", true)] {
            let mcp = McpWorld::with_settings(entry, public()).await;
            mcp.server.change_metadata(json!({"client_id_metadata_document_supported": true}));
            let token = mcp.world.session(|_| {}).await;
            let more = if more { mcp.named() } else { String::new() };
            let begun = mcp.world.begin(&token, &more).await;
            let id = param(&begun.authorize, "client_id");
            let path = id.strip_prefix(PUBLIC_URL).expect("an address of this server");
            let document = mcp.world.app.anonymous().get(path).expect(200).await;
            assert_eq!(document["client_id"], *id);
            assert_eq!(document["redirect_uris"], json!([param(&begun.authorize, "redirect_uri")]));
            mcp.server.add_public_client(&id);
            let (_, connection_id) = mcp.sign_in(&more).await;
            mcp.refreshed(&connection_id).await;
            assert_eq!(mcp.server.registrations().len(), 0, "{entry}");
        }
    });
}

#[test]
fn a_server_that_the_end_user_names_is_discovered_and_its_connection_refreshes_twice() {
    run(async {
        let mcp = McpWorld::start("mcp-any").await;
        mcp.server.give_secrets("client_secret_basic");
        mcp.server.change_metadata(json!({"authorization_response_iss_parameter_supported": true}));
        mcp.server.name_issuer(&mcp.server.url());
        let forged = "&params[oauth_metadata]=x&params[oauth_client_info]=y&params[oauth_code_verifier]=z";
        let (authorize, id) = mcp.sign_in(&format!("{}{forged}", mcp.named())).await;
        assert_eq!(param(&authorize, "scope"), "tools offline_access");
        assert_eq!(param(&authorize, "prompt"), "consent");
        assert_eq!(param(&authorize, "resource"), mcp.server.mcp_url());
        assert_eq!(param(&authorize, "tenant"), "t1", "the endpoint's own query stays");
        assert_eq!(param(&authorize, "code_challenge_method"), "S256");
        assert_eq!(
            mcp.server.documents_asked(),
            [
                "/.well-known/oauth-protected-resource/mcp 2025-06-18",
                "/.well-known/oauth-authorization-server 2025-06-18"
            ]
        );

        let (connection, credentials) = mcp.world.connection(&id).await;
        let stored = &connection.connection_config;
        let text = stored.to_string();
        assert!(
            !text.contains("secret of") && !text.contains("verifier") && !text.contains("registered"),
            "{text}"
        );
        assert_eq!(stored["mcp_server_url"], mcp.server.mcp_url());
        assert_eq!(stored["oauth_resource_url"], mcp.server.mcp_url());
        assert_eq!(stored["oauth_metadata"]["token_endpoint"], format!("{}/token", mcp.server.url()));
        assert_eq!(credentials.to_json()["type"], "OAUTH2");
        let path = format!("/connections/{id}?provider_config_key={KEY}");
        let shown = mcp.world.app.client().get(path).expect(200).await;
        assert_eq!(shown["connection_config"]["oauth_client_info"]["client_id"], "registered-1");
        let listed = mcp.world.app.client().get("/connections").expect(200).await;
        assert!(!listed.to_string().contains("oauth_client_info"), "{listed}");

        let first = mcp.refreshed(&id).await;
        let second = mcp.refreshed(&id).await;
        assert_ne!(first["access_token"], second["access_token"]);
        assert_ne!(first["refresh_token"], second["refresh_token"]);
        let requests = mcp.server.token_requests();
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|request| request["resource"] == mcp.server.mcp_url()));
    });
}

#[test]
fn every_way_to_prove_a_client_works() {
    run(async {
        let mcp = McpWorld::start("mcp-any").await;
        for (method, metadata) in [
            ("none", json!({})),
            ("client_secret_post", json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]})),
            (
                "client_secret_basic",
                json!({"token_endpoint_auth_methods_supported": ["client_secret_basic"], "grant_types_supported": ["authorization_code"]}),
            ),
        ] {
            mcp.server.give_secrets(method);
            mcp.server.change_metadata(metadata);
            mcp.world.app.advance(TimeDelta::minutes(6));
            let (_, id) = mcp.sign_in(&mcp.named()).await;
            mcp.refreshed(&id).await;
            let asked = mcp.server.registrations().pop().expect("a registration");
            assert_eq!(asked["token_endpoint_auth_method"], method);
            let refreshes = method != "client_secret_basic";
            assert_eq!(asked["grant_types"].as_array().map(Vec::len), Some(1 + usize::from(refreshes)));
        }
    });
}

#[test]
fn metadata_is_remembered_for_five_minutes() {
    run(async {
        let mcp = McpWorld::start("mcp-any").await;
        let asked = || {
            mcp.server.documents_asked().iter().filter(|line| line.contains("authorization-server")).count()
        };
        for (advance, expected) in [(0, 1), (4, 1), (2, 2)] {
            mcp.world.app.advance(TimeDelta::minutes(advance));
            let token = mcp.world.session(|_| {}).await;
            mcp.world.begin(&token, &mcp.named()).await;
            assert_eq!(asked(), expected);
        }
    });
}

#[test]
fn a_server_without_resource_metadata_is_its_own_authorization_server() {
    run(async {
        let mcp = McpWorld::start("mcp-any").await;
        mcp.server.answer_resource_metadata_with(Canned::html(200, "<html>An app for people</html>"));
        mcp.server
            .change_metadata(json!({"scopes_supported": ["all"], "code_challenge_methods_supported": null}));
        let (authorize, _) = mcp.sign_in(&mcp.named()).await;
        assert_eq!(param(&authorize, "scope"), "all");
        assert_eq!(param(&authorize, "prompt"), "");
        assert_eq!(param(&authorize, "resource"), mcp.server.mcp_url());
        let asked = mcp.server.documents_asked();
        assert!(asked[1].starts_with("/.well-known/oauth-protected-resource "), "{asked:?}");
    });
}

#[test]
fn a_callback_of_another_issuer_is_refused() {
    run(async {
        let mcp = McpWorld::start("mcp-any").await;
        mcp.server.change_metadata(json!({"authorization_response_iss_parameter_supported": true}));
        for issuer in [None, Some("https://evil.test")] {
            if let Some(issuer) = issuer {
                mcp.server.name_issuer(issuer);
            }
            let token = mcp.world.session(|_| {}).await;
            let begun = mcp.world.begin(&token, &mcp.named()).await;
            let target = mcp.server.sign_in(&begun.authorize).await;
            let page = mcp.world.callback(&begun, &target).await;
            assert_eq!(page.status, 400);
            assert!(page.text().contains("callback_err"), "{}", page.text());
        }
        assert_eq!(mcp.server.token_requests().len(), 0);
    });
}

#[test]
fn bad_servers_are_refused_with_the_reason() {
    run(async {
        let settings = TestSettings::default().set("NANGO_OUTBOUND_URL_POLICY", LOOPBACK_ONLY);
        let mcp = McpWorld::with_settings("mcp-any", settings).await;
        let (server, url) = (&mcp.server, mcp.server.url());
        let resource = |changes: Value| {
            let mut document = json!({"resource": format!("{url}/mcp"), "authorization_servers": [url]});
            for (name, value) in changes.as_object().cloned().unwrap_or_default() {
                document[name] = value;
            }
            server.answer_resource_metadata_with(Canned::json(200, &document));
        };
        type Setup<'a> = Box<dyn Fn() + 'a>;
        let cases: Vec<(&str, Setup<'_>, &str)> = vec![
            (
                "no metadata",
                Box::new(|| server.answer_server_metadata_with(Canned::json(404, &json!({})))),
                "has no metadata of an authorization server",
            ),
            (
                "a page instead of metadata",
                Box::new(|| server.answer_server_metadata_with(Canned::html(200, "<html>"))),
                "did not answer with JSON",
            ),
            (
                "a broken server",
                Box::new(|| server.answer_server_metadata_with(Canned::html(502, "<html>"))),
                "answered 502",
            ),
            (
                "a broken resource",
                Box::new(|| server.answer_resource_metadata_with(Canned::html(500, "oops"))),
                "answered 500",
            ),
            (
                "metadata of another form",
                Box::new(|| server.answer_server_metadata_with(Canned::json(200, &json!({"issuer": 5})))),
                "is no usable metadata",
            ),
            (
                "another issuer",
                Box::new(|| server.change_metadata(json!({"issuer": "https://other.test"}))),
                "names another issuer",
            ),
            (
                "no token endpoint",
                Box::new(|| server.change_metadata(json!({"token_endpoint": null}))),
                "missing field",
            ),
            (
                "no authorization endpoint",
                Box::new(|| server.change_metadata(json!({"authorization_endpoint": null}))),
                "missing field",
            ),
            (
                "a plain http endpoint",
                Box::new(|| server.change_metadata(json!({"token_endpoint": "http://other.test/token"}))),
                "is not https",
            ),
            (
                "an address as endpoint",
                Box::new(|| server.change_metadata(json!({"authorization_endpoint": "https://10.0.0.1/a"}))),
                "has an IP address",
            ),
            (
                "a script as endpoint",
                Box::new(|| server.change_metadata(json!({"authorization_endpoint": "javascript:alert(1)"}))),
                "has no host",
            ),
            (
                "no codes",
                Box::new(|| server.change_metadata(json!({"response_types_supported": ["token"]}))),
                "does not give authorization codes",
            ),
            (
                "no S256",
                Box::new(|| server.change_metadata(json!({"code_challenge_methods_supported": ["plain"]}))),
                "PKCE with S256",
            ),
            (
                "no way to register",
                Box::new(|| {
                    server.change_metadata(
                        json!({"registration_endpoint": null, "client_id_metadata_document_supported": true}),
                    )
                }),
                "provider_config_err",
            ),
            (
                "a registration elsewhere",
                Box::new(|| {
                    server.change_metadata(json!({"registration_endpoint": "http://169.254.169.254/latest"}))
                }),
                "is not https",
            ),
            (
                "registration refused",
                Box::new(|| {
                    server.answer_with(
                        "/register",
                        Canned::json(400, &json!({"error": "invalid_redirect_uri"})),
                    )
                }),
                "400: invalid_redirect_uri",
            ),
            (
                "a page instead of a registration",
                Box::new(|| server.answer_with("/register", Canned::html(200, "<html>"))),
                "without a client id",
            ),
            (
                "a registration without an id",
                Box::new(|| server.answer_with("/register", Canned::json(201, &json!({"client_id": ""})))),
                "without a client id",
            ),
            (
                "a resource of another server",
                Box::new(|| resource(json!({"resource": "https://bank.test"}))),
                "another resource",
            ),
            (
                "a resource below the server",
                Box::new(|| resource(json!({"resource": format!("{url}/mcp/below")}))),
                "another resource",
            ),
            (
                "an issuer over http",
                Box::new(|| resource(json!({"authorization_servers": ["http://idp.test"]}))),
                "is not https",
            ),
            (
                "an issuer with a query",
                Box::new(|| resource(json!({"authorization_servers": [format!("{url}?a=b")]}))),
                "has a query",
            ),
            (
                "an issuer that is an address",
                Box::new(|| resource(json!({"authorization_servers": ["https://192.168.1.1"]}))),
                "has an IP address",
            ),
            (
                "a redirect to a private address",
                Box::new(|| server.answer_resource_metadata_with(Canned::redirect("https://10.0.0.1/x"))),
                "10.0.0.1",
            ),
            (
                "a redirect to the cloud's metadata",
                Box::new(|| server.answer_server_metadata_with(Canned::redirect("http://169.254.169.254/x"))),
                "169.254.169.254",
            ),
            (
                "a document without an end",
                Box::new(|| {
                    server.answer_server_metadata_with(Canned::json(200, &json!({"x": "y".repeat(300_000)})))
                }),
                "answered with more than",
            ),
        ];
        for (name, prepare, expected) in cases {
            server.answer_normally();
            server.change_metadata(json!({}));
            // What an earlier case left in the cache has ended.
            mcp.world.app.advance(TimeDelta::minutes(6));
            prepare();
            let page = mcp.refused(&mcp.named()).await;
            assert!(page.contains(expected), "{name}: {page}");
        }
        assert_eq!(server.token_requests().len(), 0);
    });
}

#[test]
fn only_addresses_that_others_may_name_are_called() {
    run(async {
        let closed = TestSettings::default().set("NANGO_OUTBOUND_URL_POLICY", "{}");
        let mcp = McpWorld::with_settings("mcp-any", closed).await;
        for (given, expected) in [
            ("", "is required"),
            ("http://mcp.acme.test", "is not https"),
            ("https://10.0.0.1/mcp", "has an IP address"),
            ("https://[fd00::1]/mcp", "has an IP address"),
            ("https://localhost/mcp", "names this machine"),
            ("https://u:p@mcp.acme.test", "holds a user name"),
            ("not a url", "is not a URL"),
        ] {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            let more = query.append_pair("params[mcp_server_url]", given).finish();
            let page = mcp.refused(&format!("&{more}")).await;
            assert!(page.contains("url_param_err"), "{given}: {page}");
            assert!(page.contains(expected), "{given}: {page}");
        }
    });
}
