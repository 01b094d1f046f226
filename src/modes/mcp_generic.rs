//! `MCP_OAUTH2_GENERIC`: any MCP server that the end user names (`spec` auth-flows, section 5.15). The endpoints are
//! discovered, this server becomes a client by itself, and both are remembered with the connection.
//!
//! Every address here is somebody else's word: requests go through the client to which private networks are closed.

use indexmap::IndexMap;
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use super::mcp::{
    RegisteredClient, Registration, ServerMetadata, callback_url, client_name, discover, lacks,
    public_client_id, read_endpoint, register,
};
use super::{Arrival, Departure, Obtained, Renewed};
use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::BodyFormat;
use crate::oauth::{
    self, Client, Kinds, Payload, PopupError, TokenCall, TokenError, with_operator_defaults, without_token,
};

const EXCHANGE: Kinds = Kinds { refused: "unknown", unreadable: "unable_to_parse_token_response" };
const REFRESH_KIND: &str = "refresh_token_external_error";
const REFRESH: Kinds = Kinds { refused: REFRESH_KIND, unreadable: REFRESH_KIND };

const SERVER_URL: &str = "mcp_server_url";
/// Names in the connection config, which end users cannot set.
const METADATA: &str = "oauth_metadata";
const CLIENT: &str = "oauth_client_info";
const RESOURCE: &str = "oauth_resource_url";
const OURS: [&str; 4] = [METADATA, CLIENT, RESOURCE, "oauth_code_verifier"];

/// What a connection's token calls need: found at its sign-in, and stored with it. The member names are those of the
/// connection config.
#[derive(Serialize, Deserialize)]
struct Known {
    #[serde(rename = "oauth_metadata")]
    server: ServerMetadata,
    /// Sealed in the connection config.
    #[serde(rename = "oauth_client_info")]
    client: RegisteredClient,
    #[serde(rename = "oauth_resource_url")]
    resource: String,
}

/// Where the popup goes, after the server's metadata was read and this server became its client.
///
/// # Errors
/// The address is refused, the servers' metadata is missing or wrong, or there is no way to become a client.
pub async fn depart(app: &App, departure: Departure<'_>, payload: &mut Payload) -> Result<Url, PopupError> {
    payload.connection_config.retain(|name, _| !OURS.contains(&name.as_str()));
    let config = with_operator_defaults(departure.sign_in.integration, &payload.connection_config);
    let server = server_url(app, &config)?;
    let found = discover(app, &server).await?;
    let scopes = match oauth::scopes_of(departure.sign_in) {
        own if own.is_empty() => found.scopes.clone(),
        own => own,
    };
    let client = client(app, departure, payload, &found.server).await?;
    let known =
        Known { server: ServerMetadata::clone(&found.server), client, resource: found.resource.clone() };
    let url = authorize_url(app, &known, departure, payload, &scopes)?;
    payload.kept = members_of(&known)?;
    Ok(url)
}

fn server_url(app: &App, config: &Map<String, Value>) -> Result<Url, PopupError> {
    let text = config.get(SERVER_URL).and_then(Value::as_str).filter(|text| !text.is_empty());
    let url = text.ok_or("is required").and_then(|text| read_endpoint(&app.egress.proxy_policy, text));
    url.map_err(|reason| PopupError::new("url_param_err", format!("`{SERVER_URL}` {reason}.")))
}

/// The caller's own client, else this server's metadata document, else a registration.
async fn client(
    app: &App,
    departure: Departure<'_>,
    payload: &Payload,
    server: &ServerMetadata,
) -> Result<RegisteredClient, PopupError> {
    if let Some(id) = &payload.client.client_id {
        return Ok(RegisteredClient {
            client_id: id.clone(),
            client_secret: payload.client.client_secret.clone(),
            token_endpoint_auth_method: None,
        });
    }
    let (http, environment) = (&app.config.http, departure.sign_in.environment);
    let key = &departure.sign_in.integration.row.unique_key;
    let document = public_client_id(http, environment.uuid, key);
    if let Some(id) = document.filter(|_| server.client_id_metadata_document_supported) {
        return Ok(RegisteredClient {
            client_id: id,
            client_secret: None,
            token_endpoint_auth_method: Some("none".to_owned()),
        });
    }
    let Some(endpoint) = &server.registration_endpoint else {
        let message =
            "The authorization server neither registers clients nor can it read the metadata of this one.";
        return Err(PopupError::new("provider_config_err", message));
    };
    let registration = Registration {
        endpoint: read_endpoint(&app.egress.proxy_policy, endpoint).map_err(unusable)?,
        is_foreign: true,
        callback_url: &callback_url(http, environment),
        client_name: client_name(app, environment, &departure.provider.name).await?,
        auth_method: auth_method(server, true),
        grant_types: grant_types(server),
        response_types: vec!["code".to_owned()],
    };
    register(app, registration).await
}

fn unusable(reason: &'static str) -> PopupError {
    PopupError::new("unknown_err", format!("An endpoint of the authorization server {reason}."))
}

/// The first method that the server has, public clients first where that is possible.
fn auth_method(server: &ServerMetadata, may_be_public: bool) -> &'static str {
    let known = server.token_endpoint_auth_methods_supported.as_deref();
    let wanted = ["none", "client_secret_basic", "client_secret_post"];
    let mut wanted = wanted.into_iter().skip(usize::from(!may_be_public));
    // RFC 8414, section 2: a server without a list has `client_secret_basic`.
    wanted.find(|method| !lacks(known, method)).unwrap_or("client_secret_basic")
}

fn grant_types(server: &ServerMetadata) -> Vec<String> {
    let known = server.grant_types_supported.as_deref();
    let wanted = ["authorization_code", "refresh_token"].into_iter();
    wanted.filter(|name| *name == "authorization_code" || !lacks(known, name)).map(str::to_owned).collect()
}

fn authorize_url(
    app: &App,
    known: &Known,
    departure: Departure<'_>,
    payload: &Payload,
    scopes: &[String],
) -> Result<Url, PopupError> {
    let mut url =
        read_endpoint(&app.egress.proxy_policy, &known.server.authorization_endpoint).map_err(unusable)?;
    let verifier = PkceCodeVerifier::new(payload.code_verifier.clone());
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
    let given: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let mut query: IndexMap<String, String> = given.into_iter().collect();
    let mut set = |name: &str, value: &str| query.insert(name.to_owned(), value.to_owned());
    set("response_type", "code");
    set("client_id", &known.client.client_id);
    set("code_challenge", challenge.as_str());
    set("code_challenge_method", challenge.method().as_str());
    set("redirect_uri", &payload.callback_url);
    set("state", departure.state);
    if !scopes.is_empty() {
        set("scope", &scopes.join(" "));
    }
    if scopes.iter().any(|scope| scope == "offline_access") {
        // OpenID Connect Core, section 11: otherwise there is no refresh token.
        set("prompt", "consent");
    }
    set("resource", &known.resource);
    url.query_pairs_mut().clear().extend_pairs(query);
    Ok(url)
}

/// Exchanges the code of a callback.
///
/// # Errors
/// The callback is another server's or has no code, or the token endpoint's words.
pub async fn arrive(app: &App, arrival: Arrival<'_>) -> Result<Obtained, PopupError> {
    let payload = arrival.payload;
    let known: Known = serde_json::from_value(Value::Object(payload.kept.clone())).map_err(|_| {
        PopupError::new("unknown_err", "The sign-in was started by another version. Start again.")
    })?;
    refuse_other_issuer(&known.server, arrival.query)?;
    let code = oauth::code_of(arrival.provider, arrival.query)?;
    let mut call = token_call(app, &known, EXCHANGE)?;
    call.hide(code);
    call.set("grant_type", "authorization_code");
    call.set("code", code);
    call.set("redirect_uri", payload.callback_url.as_str());
    call.set("code_verifier", payload.code_verifier.as_str());
    Ok(Obtained::ready(ask(app, call, EXCHANGE).await?, members_of(&known)?))
}

/// RFC 9207: the code of one server must not be told to another.
fn refuse_other_issuer(server: &ServerMetadata, query: &Value) -> Result<(), PopupError> {
    let named = query.get("iss").and_then(Value::as_str);
    let is_right = match named {
        Some(issuer) => issuer == server.issuer,
        None => !server.authorization_response_iss_parameter_supported,
    };
    if is_right {
        return Ok(());
    }
    Err(PopupError::new("callback_err", "The callback is not from the authorization server that was asked."))
}

/// A successor of a token.
///
/// # Errors
/// The token endpoint's words, or what the connection lacks.
pub async fn renew(
    app: &App,
    credentials: &Credentials,
    config: &Map<String, Value>,
) -> Result<Renewed, TokenError> {
    let Credentials::OAuth2 { refresh_token: Some(old), .. } = credentials else {
        return Err(TokenError::new("missing_refresh_token", "The connection has no refresh token."));
    };
    let known: Known = serde_json::from_value(Value::Object(config.clone())).map_err(|_| {
        let message =
            "The connection does not say where its tokens come from. It has to be authorized again.";
        TokenError::new(REFRESH_KIND, message)
    })?;
    let mut call = token_call(app, &known, REFRESH)?;
    call.hide(old);
    call.set("grant_type", "refresh_token");
    call.set("refresh_token", old.as_str());
    let mut renewed = ask(app, call, REFRESH).await?;
    if let Credentials::OAuth2 { refresh_token, .. } = &mut renewed {
        // The old token stays good unless the server rotated it.
        refresh_token.get_or_insert_with(|| old.clone());
    }
    Ok(Renewed { credentials: renewed, connection_config: Map::new() })
}

/// A request to the token endpoint with the client's proof and the resource.
fn token_call(app: &App, known: &Known, kinds: Kinds) -> Result<TokenCall, TokenError> {
    let url = read_endpoint(&app.egress.proxy_policy, &known.server.token_endpoint).map_err(|reason| {
        TokenError::new(kinds.refused, format!("The token endpoint of the authorization server {reason}."))
    })?;
    let mut call = TokenCall::post(url, BodyFormat::Form, kinds);
    call.is_foreign = true;
    call.set("resource", known.resource.as_str());
    let client = &known.client;
    let secret = client.client_secret.as_deref().filter(|secret| !secret.is_empty());
    let method = client.token_endpoint_auth_method.as_deref();
    let method = method.unwrap_or_else(|| auth_method(&known.server, false));
    match secret {
        Some(secret) if method == "client_secret_post" => {
            call.authenticate_in_body(Client { id: &client.client_id, secret });
        }
        Some(secret) if method != "none" => {
            call.authenticate_basic_encoded(Client { id: &client.client_id, secret });
        }
        _ => call.set("client_id", client.client_id.as_str()),
    }
    Ok(call)
}

async fn ask(app: &App, call: TokenCall, kinds: Kinds) -> Result<Credentials, TokenError> {
    let answer = call.send(app).await?;
    let tokens = oauth::read_tokens(answer.clone(), None, app.clock.now());
    let tokens = tokens.ok_or_else(|| without_token(&answer, kinds))?;
    Ok(Credentials::OAuth2 {
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        expires_at: tokens.expires_at,
        raw: Value::Object(tokens.raw),
        config_override: None,
    })
}

fn members_of(known: &Known) -> Result<Map<String, Value>, PopupError> {
    match serde_json::to_value(known) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(PopupError::new("unknown_err", "Something went wrong on our side.")),
    }
}
