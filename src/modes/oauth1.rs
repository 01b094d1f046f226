//! OAuth 1.0a in a popup (RFC 5849, section 2; `spec` auth-flows, section 5.2): request token, authorization, access token.

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Method, Uri};
use serde_json::{Map, Value};
use url::Url;

use super::{Arrival, Departure, Obtained};
use crate::app::App;
use crate::auth::{Credentials, OAuth1Signer, Signable, SignatureMethod, Stamp};
use crate::catalog::{BodyFormat, Parameters, Provider};
use crate::egress::OutgoingRequest;
use crate::integrations::OpenIntegration;
use crate::oauth::{
    Kinds, Payload, PopupError, SignIn, TokenCall, TokenError, integration_client, pick_metadata,
    provider_reason, token_endpoint, with_operator_defaults,
};
use crate::template::{Context, Escape, Template, build_url};

/// Neither code is on the wire: the popup has its own.
const KINDS: Kinds = Kinds { refused: "oauth1_refused", unreadable: "oauth1_refused" };
/// Parameters of the authorization URL that belong to the flow itself.
const RESERVED: [&str; 2] = ["oauth_token", "oauth_callback"];
/// Wire: this text as a value removes a parameter of the catalog.
const REMOVE: &str = "undefined";

/// A token and its secret; empty before there is one.
#[derive(Clone, Copy, Default)]
struct Token<'a> {
    value: &'a str,
    secret: &'a str,
}

/// One signed call of the flow.
struct SignedCall<'a> {
    integration: &'a OpenIntegration,
    provider: &'a Provider,
    config: &'a Map<String, Value>,
    /// What the catalog calls the URL.
    name: &'static str,
    url: Option<&'a Template>,
    verb: Option<&'a str>,
    params: &'a Parameters,
    token: Token<'a>,
    /// The protocol parameter that belongs to this step.
    parameter: (&'static str, &'a str),
}

/// Asks for a request token, and gives the URL at which the user approves it.
///
/// # Errors
/// `token_err` with the provider's words, or what the entry or the connection config lacks.
pub async fn depart(app: &App, departure: Departure<'_>, payload: &mut Payload) -> Result<Url, PopupError> {
    let Departure { sign_in, provider, state } = departure;
    let config = with_operator_defaults(sign_in.integration, &payload.connection_config);
    let callback = callback_url(&payload.callback_url, state);
    let call = SignedCall {
        integration: sign_in.integration,
        provider,
        config: &config,
        name: "request_url",
        url: provider.request_url.as_ref(),
        verb: provider.request_http_method.as_deref(),
        params: &provider.request_params,
        token: Token::default(),
        parameter: ("oauth_callback", &callback),
    };
    let answer = call.send(app).await.map_err(no_request_token)?;
    let token = token_in(&answer).ok_or_else(|| no_request_token(without_token(&answer)))?;
    let url = authorize_url(app, sign_in, provider, &config, &callback, token.value)?;
    payload.kept.insert("oauth_token".to_owned(), token.value.into());
    payload.kept.insert("oauth_token_secret".to_owned(), token.secret.into());
    Ok(url)
}

/// Exchanges the approved request token for an access token.
///
/// # Errors
/// `callback_err` when nothing was approved or the callback belongs to another sign-in; else the provider's words.
pub async fn arrive(app: &App, arrival: Arrival<'_>) -> Result<Obtained, PopupError> {
    let Arrival { integration, provider, payload, config, query, .. } = arrival;
    let text = |holder: &Map<String, Value>, name: &str| {
        holder.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let empty = Map::new();
    let members = query.as_object().unwrap_or(&empty);
    let (approved, verifier) = (text(members, "oauth_token"), text(members, "oauth_verifier"));
    let (asked, secret) = (text(&payload.kept, "oauth_token"), text(&payload.kept, "oauth_token_secret"));
    check_callback(members, &approved, &verifier, &asked, query)?;
    let call = SignedCall {
        integration,
        provider,
        config,
        name: "token_url",
        url: provider.token_url_for(crate::auth::AuthMode::OAuth1),
        verb: provider.token_http_method.as_deref(),
        params: &provider.token_params,
        token: Token { value: &approved, secret: &secret },
        parameter: ("oauth_verifier", &verifier),
    };
    let answer = call.send(app).await?;
    let token = token_in(&answer).ok_or_else(|| without_token(&answer))?;
    let credentials = Credentials::OAuth1 {
        oauth_token: token.value.to_owned(),
        oauth_token_secret: token.secret.to_owned(),
        raw: Value::Object(answer.clone()),
    };
    Ok(Obtained::ready(credentials, pick_metadata(&answer, &provider.token_response_metadata)))
}

/// RFC 5849, section 2.2: the token of the callback is the one that was asked for, and somebody approved it.
fn check_callback(
    members: &Map<String, Value>,
    approved: &str,
    verifier: &str,
    asked: &str,
    query: &Value,
) -> Result<(), PopupError> {
    let refuse = |text: String| Err(PopupError::new("callback_err", text));
    if members.contains_key("denied") {
        return refuse(format!("The sign-in was refused at the provider.{}", provider_reason(query)));
    }
    if approved.is_empty() || verifier.is_empty() {
        let lacks = if approved.is_empty() { "oauth_token" } else { "oauth_verifier" };
        return refuse(format!("The callback has no `{lacks}`.{}", provider_reason(query)));
    }
    if approved != asked {
        return refuse("The callback is about another request token. Start again.".to_owned());
    }
    Ok(())
}

impl SignedCall<'_> {
    async fn send(&self, app: &App) -> Result<Map<String, Value>, TokenError> {
        let method = SignatureMethod::named(self.provider.signature_method.as_deref())
            .map_err(|unknown| TokenError::new(KINDS.refused, format!("{unknown}.")))?;
        let client = integration_client(self.integration);
        let signer = OAuth1Signer {
            method,
            consumer_key: client.id,
            consumer_secret: client.secret,
            token: self.token.value,
            token_secret: self.token.secret,
            realm: None,
        };
        let nonce = app.rng.alphanumeric(32);
        let stamp = Stamp { nonce: &nonce, timestamp: app.clock.now().timestamp() };
        let mut call = self.unsigned(app)?;
        call.hide(client.secret);
        call.hide(self.token.secret);
        call.send_signed(app, |request| sign(request, &signer, stamp, self.parameter)).await
    }

    fn unsigned(&self, app: &App) -> Result<TokenCall, TokenError> {
        let random = app.rng.uuid().to_string();
        let context = Context::new(app.clock.now(), &random).flat_connection_config(self.config);
        let missing =
            || TokenError::new(KINDS.refused, format!("The provider has no `{}` in the catalog.", self.name));
        let url = token_endpoint(self.url.ok_or_else(missing)?, &context, Escape::Component)?;
        let mut call = TokenCall::post(url, BodyFormat::Form, KINDS);
        if let Some(verb) = self.verb {
            let unusable = |_| TokenError::new(KINDS.refused, format!("`{verb}` is not an HTTP method."));
            call.method = Method::from_bytes(verb.to_ascii_uppercase().as_bytes()).map_err(unusable)?;
        }
        // The answer is form-encoded whatever it says it is.
        call.headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        call.set_all(self.params, &context, &[])?;
        Ok(call)
    }
}

/// Signs a finished request. It is not followed elsewhere, because the signature covers its URL.
fn sign(
    request: &mut OutgoingRequest,
    signer: &OAuth1Signer<'_>,
    stamp: Stamp<'_>,
    parameter: (&str, &str),
) -> Result<(), TokenError> {
    let unusable = || TokenError::new(KINDS.refused, "The request cannot be signed.");
    let uri: Uri = request.url.as_str().parse().map_err(|_| unusable())?;
    let signable = Signable { method: request.method.as_str(), uri: &uri, form: Some(&request.body) };
    let text = signer.authorization(&signable, stamp, &[parameter]).map_err(|error| {
        TokenError::new(KINDS.refused, format!("The client secret is no key to sign with: {error}."))
    })?;
    let mut value = HeaderValue::from_str(&text).map_err(|_| unusable())?;
    value.set_sensitive(true);
    request.headers.insert(AUTHORIZATION, value);
    request.follow = false;
    Ok(())
}

fn token_in(answer: &Map<String, Value>) -> Option<Token<'_>> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let value = text("oauth_token").filter(|value| !value.is_empty())?;
    Some(Token { value, secret: text("oauth_token_secret")? })
}

fn without_token(answer: &Map<String, Value>) -> TokenError {
    let names: Vec<&str> = answer.keys().map(String::as_str).take(20).collect();
    let message =
        format!("The answer has no `oauth_token` with its secret. Its members: {}.", names.join(", "));
    TokenError::new(KINDS.unreadable, message)
}

/// A connection config that the URL cannot be built from is the caller's mistake, everything else the token's.
fn no_request_token(error: TokenError) -> PopupError {
    match PopupError::from(error) {
        PopupError { kind: "unknown_err", message, .. } => {
            PopupError::new("token_err", format!("No request token: {message}"))
        }
        own => own,
    }
}

/// The callback with the state in it: OAuth 1 has no parameter of that name.
fn callback_url(callback: &str, state: &str) -> String {
    let separator = if callback.contains('?') { '&' } else { '?' };
    format!("{callback}{separator}state={state}")
}

fn authorize_url(
    app: &App,
    sign_in: &SignIn<'_>,
    provider: &Provider,
    config: &Map<String, Value>,
    callback: &str,
    token: &str,
) -> Result<Url, PopupError> {
    let broken = |reason: String| {
        PopupError::new("url_param_err", format!("The authorization URL cannot be built: {reason}."))
    };
    let random = app.rng.uuid().to_string();
    let context = Context::new(app.clock.now(), &random).flat_connection_config(config);
    let template = provider.authorization_url.as_ref();
    let template = template.ok_or_else(|| broken("the catalog has none".to_owned()))?;
    let mut url =
        build_url(template, &context, Escape::Component).map_err(|error| broken(error.to_string()))?;
    let mut params = Map::new();
    for (name, parameter) in &provider.authorization_params {
        let text = parameter.resolve_text(&context).map_err(|missing| broken(missing.to_string()))?;
        params.insert(name.clone(), text.into());
    }
    params.extend(sign_in.authorization_params.clone());
    let texts = params.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let texts = texts.filter(|(name, text)| !RESERVED.contains(name) && *text != REMOVE);
    let scope = scopes(sign_in).join(&provider.scope_separator);
    let scope = Some(("scope", scope.as_str())).filter(|_| !params.contains_key("scope"));
    url.query_pairs_mut()
        .append_pair("oauth_token", token)
        .extend_pairs(scope)
        .extend_pairs(texts)
        .append_pair("oauth_callback", callback);
    Ok(url)
}

/// Those that the session or the caller asks for, else the integration's.
fn scopes<'s>(sign_in: &'s SignIn<'_>) -> Vec<&'s str> {
    match &sign_in.scopes {
        Some(own) => own.split(',').map(str::trim).filter(|scope| !scope.is_empty()).collect(),
        None => sign_in.integration.scopes().collect(),
    }
}
