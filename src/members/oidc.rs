//! Logging in at an OpenID provider: discovery, PKCE (RFC 7636), nonce, and only e-mail addresses that the provider verified.
//! Whoever comes for the first time becomes a member. Called by the dashboard; the provider is the operator's choice.

use std::pin::Pin;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreResponseType,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthenticationFlow, AuthorizationCode, Client, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::{MemberError, normal_email, taken, target};
use crate::access::Role;
use crate::app::App;
use crate::audit::{self, Action, Event};
use crate::config::OidcConfig;
use crate::db::members::{self, Member, NewMember};
use crate::db::{AccountId, accounts};
use crate::egress::{BufferedClient, EgressError, OutgoingRequest};

/// Where the provider sends the browser back to, below the server's address.
pub const CALLBACK: &str = "/login/oidc/callback";

/// Why nobody was let in. Texts are for the visitor; what the provider said goes to the log.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    #[error(
        "The identity provider could not be reached, or its answer makes no sense. The server's log says more."
    )]
    Provider(String),
    #[error("The identity provider does not say that your e-mail address is verified.")]
    NotVerified,
    #[error(transparent)]
    Member(#[from] MemberError),
}

impl From<sqlx::Error> for OidcError {
    fn from(error: sqlx::Error) -> Self {
        OidcError::Member(error.into())
    }
}

fn odd(error: impl std::fmt::Display) -> OidcError {
    OidcError::Provider(error.to_string())
}

/// Claims of a provider beside the standard ones; one of them may name groups.
#[derive(Debug, Default, Serialize, Deserialize)]
struct OtherClaims(Map<String, Value>);

impl AdditionalClaims for OtherClaims {}

type Tokens = StandardTokenResponse<
    IdTokenFields<
        OtherClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type OidcClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What the browser keeps, sealed, between the two visits.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    pub state: String,
    nonce: String,
    verifier: String,
    /// Where the visitor was going.
    pub next: String,
    /// Seconds since the epoch.
    pub until: i64,
}

/// Somebody whom the provider vouches for.
pub struct Identity {
    /// Issuer and subject.
    key: String,
    email: String,
    name: String,
    groups: Vec<String>,
}

/// Why the library got no answer.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Address(#[from] url::ParseError),
    #[error(transparent)]
    Egress(#[from] EgressError),
}

/// How the library reaches the provider: through the guard of all outgoing requests.
struct Guarded(BufferedClient);

impl<'c> AsyncHttpClient<'c> for Guarded {
    type Error = SendError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, SendError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl Guarded {
    fn new(app: &App) -> Self {
        Guarded(app.egress.tokens.clone())
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, SendError> {
        let (parts, body) = request.into_parts();
        let request = OutgoingRequest {
            method: parts.method,
            url: Url::parse(&parts.uri.to_string())?,
            headers: parts.headers,
            body: body.into(),
            // An answer of another address than the one asked proves nothing.
            follow: false,
        };
        let answer = self.0.send(request).await?;
        let mut response = HttpResponse::new(answer.body.to_vec());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

async fn client(app: &App, config: &OidcConfig) -> Result<OidcClient, OidcError> {
    let issuer = IssuerUrl::new(config.issuer.clone()).map_err(odd)?;
    let http = Guarded::new(app);
    let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.map_err(odd)?;
    let redirect = RedirectUrl::new(format!("{}{CALLBACK}", app.config.http.server_url)).map_err(odd)?;
    let secret = config.client_secret.as_ref().map(|secret| ClientSecret::new(secret.expose().to_owned()));
    let client = Client::from_provider_metadata(metadata, ClientId::new(config.client_id.clone()), secret);
    Ok(client.set_redirect_uri(redirect))
}

/// The address at which the visitor proves who they are, and what their browser keeps until then.
pub async fn begin(app: &App, config: &OidcConfig, next: &str, until: i64) -> Result<(Url, Kept), OidcError> {
    let client = client(app, config).await?;
    let kept = Kept {
        state: app.rng.alphanumeric(40),
        nonce: app.rng.alphanumeric(40),
        verifier: app.rng.alphanumeric(64),
        next: next.to_owned(),
        until,
    };
    let verifier = PkceCodeVerifier::new(kept.verifier.clone());
    let (state, nonce) = (kept.state.clone(), kept.nonce.clone());
    let (address, ..) = client
        .authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        )
        .add_scope(Scope::new("email".to_owned()))
        .add_scope(Scope::new("profile".to_owned()))
        .add_scopes(config.scopes.iter().cloned().map(Scope::new))
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
        .url();
    Ok((address, kept))
}

/// Exchanges the code, and checks everything that the provider says about the visitor.
pub async fn identify(
    app: &App,
    config: &OidcConfig,
    kept: &Kept,
    code: &str,
) -> Result<Identity, OidcError> {
    let client = client(app, config).await?;
    let http = Guarded::new(app);
    let request = client.exchange_code(AuthorizationCode::new(code.to_owned())).map_err(odd)?;
    let request = request.set_pkce_verifier(PkceCodeVerifier::new(kept.verifier.clone()));
    let tokens = request.request_async(&http).await.map_err(odd)?;
    let id_token = tokens.id_token().ok_or_else(|| odd("there is no identity token in the answer"))?;
    let now = app.clock.now();
    let verifier = client.id_token_verifier().set_time_fn(move || now);
    let claims = id_token.claims(&verifier, &Nonce::new(kept.nonce.clone())).map_err(odd)?;
    let key = format!("{} {}", config.issuer, claims.subject().as_str());
    let told: UserInfoClaims<OtherClaims, CoreGenderClaim> = {
        let subject = Some(claims.subject().clone());
        let asked = client.user_info(tokens.access_token().clone(), subject);
        asked.map_err(odd)?.request_async(&http).await.map_err(odd)?
    };
    let email = claims.email().or(told.email()).map(|email| email.as_str().to_owned());
    let is_verified = claims.email_verified().or(told.email_verified()) == Some(true);
    let email = email.filter(|_| is_verified).ok_or(OidcError::NotVerified)?;
    let name = claims.name().or(told.name()).and_then(|name| name.get(None)).map(|name| name.as_str());
    let mut groups = groups_in(claims.additional_claims(), &config.groups_claim);
    groups.extend(groups_in(told.additional_claims(), &config.groups_claim));
    let name = name.filter(|name| !name.trim().is_empty()).unwrap_or(&email);
    Ok(Identity { key, name: name.chars().take(100).collect(), email: normal_email(&email), groups })
}

fn groups_in(claims: &OtherClaims, name: &str) -> Vec<String> {
    match claims.0.get(name) {
        Some(Value::String(group)) => vec![group.clone()],
        Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The member behind an identity: known by it, by its e-mail address, or new. Their groups decide about the role, when the
/// operator said so.
pub async fn find_or_join(app: &App, config: &OidcConfig, who: &Identity) -> Result<Member, OidcError> {
    let role = role_of(config, &who.groups);
    if let Some(member) = find(app, who).await? {
        return Ok(follow_groups(app, member, role).await?);
    }
    let account = accounts::find_first(&app.db).await?.ok_or(MemberError::Unknown)?;
    Ok(join(app, account, who, role).await?)
}

/// The first group in the operator's list decides.
fn role_of(config: &OidcConfig, groups: &[String]) -> Option<Role> {
    config.roles.iter().find(|(group, _)| groups.contains(group)).map(|(_, role)| *role)
}

async fn find(app: &App, who: &Identity) -> sqlx::Result<Option<Member>> {
    if let Some(member) = members::find_by_identity(&app.db, &who.key).await? {
        return Ok(Some(member));
    }
    let Some(member) = members::find_by_email(&app.db, &who.email).await? else { return Ok(None) };
    members::update_identity(&app.db, member.id, &who.key).await?;
    Ok(Some(member))
}

/// Gives a member the role of their groups. The last administrator stays one.
async fn follow_groups(app: &App, member: Member, role: Option<Role>) -> Result<Member, MemberError> {
    let Some(role) = role.filter(|role| *role != member.role()) else { return Ok(member) };
    match super::change_role(app, member.account_id, member.id, role).await {
        Ok(()) => members::find(&app.db, member.id).await?.ok_or(MemberError::Unknown),
        Err(MemberError::LastAdministrator) => Ok(member),
        Err(error) => Err(error),
    }
}

async fn join(
    app: &App,
    account: AccountId,
    who: &Identity,
    role: Option<Role>,
) -> Result<Member, MemberError> {
    let mut transaction = app.db.begin().await?;
    accounts::lock(&mut *transaction, account).await?;
    // Somebody has to be able to do everything.
    let is_first = !members::exist(&mut *transaction, account).await?;
    let role = if is_first { Role::Administrator } else { role.unwrap_or(app.config.dashboard.default_role) };
    let new = NewMember {
        account_id: account,
        email: &who.email,
        name: &who.name,
        role,
        password_hash: None,
        identity: Some(&who.key),
        now: app.clock.now(),
    };
    let id = members::insert(&mut *transaction, new).await.map_err(taken)?;
    let member = members::find(&mut *transaction, id).await?.ok_or(MemberError::Unknown)?;
    audit::note_actor(|| audit::Actor::user(id.0, &member.email));
    let event = Event::of_account(account, Action::Signup).target(target(&member));
    let event = event.made(&json!({ "email": who.email, "role": role.as_str() }));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    Ok(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_from_a_list_or_a_text() {
        let claims = |value: Value| OtherClaims(Map::from_iter([("groups".to_owned(), value)]));
        for (value, expected) in
            [(json!(["a", 1, "b"]), vec!["a", "b"]), (json!("a"), vec!["a"]), (json!({"a": true}), vec![])]
        {
            assert_eq!(groups_in(&claims(value.clone()), "groups"), expected, "{value}");
        }
        assert!(groups_in(&OtherClaims::default(), "groups").is_empty());
    }
}
