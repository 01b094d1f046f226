//! The requests of a login: what the entry says of each, with the values of this connection.

use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use super::answer::Answered;
use super::{FETCH, Headers, INVALID, KINDS, Login};
use crate::catalog::{BodyFormat, FieldSchema, Parameter, Parameters, Provider, TokenRequestMethod};
use crate::oauth::{TokenCall, TokenError, token_endpoint};
use crate::template::{Context, Escape, Template, Unresolved};

/// Credential fields that may be repeated in a message, unless their schema calls them secret. All others may not.
const PUBLIC_FIELDS: [&str; 20] = [
    "username",
    "user",
    "email",
    "login",
    "domain",
    "subdomain",
    "tenant",
    "tenantId",
    "account",
    "accountId",
    "account_id",
    "company",
    "companyId",
    "company_id",
    "client_id",
    "clientId",
    "region",
    "host",
    "instance",
    "site",
];
/// Texts of earlier answers from this length on are taken for secrets.
const SECRET_LENGTH: usize = 12;

/// Whether a request logs in or trades a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Login,
    Refresh,
}

/// One request of a login.
pub struct Step<'p> {
    url: &'p Template,
    params: Option<&'p Parameters>,
    headers: &'p Headers,
    method: TokenRequestMethod,
    format: BodyFormat,
    /// Counted from 1, as in `step1`.
    number: usize,
}

impl<'p> Step<'p> {
    /// The requests of an entry, in order.
    ///
    /// # Errors
    /// The entry has no token URL.
    pub fn all(provider: &'p Provider, phase: Phase) -> Result<Vec<Self>, TokenError> {
        let missing =
            || TokenError::new("missing_token_url", "The provider has no token URL in the catalog.");
        let token_url = provider.token_url();
        let format = provider.body_format.unwrap_or(BodyFormat::Json);
        let (url, params, headers) = match phase {
            Phase::Login => (token_url, Some(&provider.token_params), &provider.token_headers),
            Phase::Refresh => (
                provider.refresh_url.as_ref().or(token_url),
                provider.refresh_token_params.as_ref(),
                provider.refresh_token_headers.as_ref().unwrap_or(&provider.token_headers),
            ),
        };
        let url = url.ok_or_else(missing)?;
        let first = Step { url, params, headers, method: provider.token_request_method, format, number: 1 };
        let further = provider.additional_steps.iter().zip(2..).map(|(step, number)| Step {
            url: &step.token_url,
            params: Some(&step.token_params),
            headers: &step.token_headers,
            method: step.token_request_method,
            format: step.body_format.unwrap_or(format),
            number,
        });
        Ok(std::iter::once(first).chain(further).collect())
    }

    /// Sends the request. `bodies` are those of the earlier answers, `before` is the last of them.
    ///
    /// # Errors
    /// The provider's refusal, or the names without a value.
    pub async fn send(
        &self,
        login: &Login<'_>,
        known: &Map<String, Value>,
        bodies: &[Value],
        before: Option<&Answered>,
    ) -> Result<Answered, TokenError> {
        let random = login.random();
        let context = login.context(known, &random).steps(bodies);
        let call = self.build(login.provider, known, bodies, &context);
        let call = call.map_err(|problem| problem.after(before))?;
        let exchange = call.exchange(login.app).await?;
        let status = exchange.answer.status;
        let is_success = status == 200 || (status == 201 && self.number == 1);
        if !is_success {
            let kind = if status.is_success() && self.number == 1 { INVALID } else { FETCH };
            return Err(TokenError { kind, ..exchange.refused() });
        }
        Answered::read(exchange, self.format, login.provider)
    }

    fn build(
        &self,
        provider: &Provider,
        known: &Map<String, Value>,
        bodies: &[Value],
        context: &Context<'_>,
    ) -> Result<TokenCall, Problem> {
        let url = token_endpoint(self.url, context, Escape::Component).map_err(Problem::Other)?;
        let mut call = TokenCall::post(url, self.format, KINDS);
        call.headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/plain, */*"));
        known
            .iter()
            .filter(|(name, _)| is_secret(provider, name))
            .for_each(|(_, value)| hide(&mut call, value, 0));
        bodies.iter().for_each(|body| hide(&mut call, body, SECRET_LENGTH));
        for (name, template) in self.headers {
            set_header(&mut call, provider, (name, template), context)?;
        }
        if self.method == TokenRequestMethod::Get {
            // Wire: without a body, and the parameters are a body.
            call.method = Method::GET;
            return Ok(call);
        }
        for (name, parameter) in self.params.into_iter().flatten() {
            set_parameter(&mut call, provider, (name, parameter), context)?;
        }
        Ok(call)
    }
}

/// Why a request cannot be built.
enum Problem {
    Missing { place: String, missing: Unresolved },
    Other(TokenError),
}

impl Problem {
    /// What an earlier answer lacks is that answer's fault, and it may say why.
    fn after(self, before: Option<&Answered>) -> TokenError {
        match self {
            Problem::Other(error) => error,
            Problem::Missing { place, missing } => {
                let is_of_step = missing.names.iter().any(|name| name.starts_with("step"));
                match before.filter(|_| is_of_step) {
                    Some(before) => {
                        before.lacks(&format!("`{place}` of the next request needs it: {missing}"))
                    }
                    None => {
                        let message = format!("`{place}` of the token request: {missing}.");
                        TokenError::new("invalid_connection_config", message)
                    }
                }
            }
        }
    }
}

/// Sets a parameter. Leaves that only lack what an end user may leave out are dropped.
fn set_parameter(
    call: &mut TokenCall,
    provider: &Provider,
    (name, parameter): (&str, &Parameter),
    context: &Context<'_>,
) -> Result<(), Problem> {
    for template in parameter.templates() {
        match template.resolve(context) {
            Ok(text) if mentions_secret(provider, template) => call.hide(&text),
            Ok(_) => {}
            Err(missing) => allow_optional(provider, name, missing)?,
        }
    }
    if let Some(value) = parameter.resolve_or_drop(context) {
        call.set(name, value);
    }
    Ok(())
}

fn set_header(
    call: &mut TokenCall,
    provider: &Provider,
    (name, template): (&str, &Template),
    context: &Context<'_>,
) -> Result<(), Problem> {
    let text = match template.resolve(context) {
        Ok(text) => text,
        Err(missing) => return allow_optional(provider, name, missing),
    };
    let unusable = || Problem::Other(TokenError::new(FETCH, format!("`{name}` is not a usable header.")));
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
    let mut value = HeaderValue::from_str(&text).map_err(|_| unusable())?;
    if header == AUTHORIZATION || mentions_secret(provider, template) {
        call.hide(&text);
        call.hide(text.rsplit(' ').next().unwrap_or_default());
        value.set_sensitive(true);
    }
    call.headers.insert(header, value);
    Ok(())
}

fn allow_optional(provider: &Provider, place: &str, missing: Unresolved) -> Result<(), Problem> {
    if missing.names.iter().all(|name| is_optional(provider, name)) {
        return Ok(());
    }
    Err(Problem::Missing { place: place.to_owned(), missing })
}

fn is_optional(provider: &Provider, name: &str) -> bool {
    let is_optional = |schema: &FieldSchema| !schema.is_required() && !schema.automated;
    match name.strip_prefix("connectionConfig.") {
        Some(name) => provider.connection_config.get(name).is_some_and(is_optional),
        None => {
            let name = name.strip_prefix("credentials.").unwrap_or(name);
            provider.credentials.get(name).is_some_and(is_optional)
        }
    }
}

fn mentions_secret(provider: &Provider, template: &Template) -> bool {
    template.names().any(|name| {
        let field = name.strip_prefix("credentials.").unwrap_or(name);
        !name.starts_with("connectionConfig.") && is_secret(provider, field)
    })
}

fn is_secret(provider: &Provider, field: &str) -> bool {
    let is_marked = provider.credentials.get(field).is_some_and(|schema| schema.secret);
    is_marked || !PUBLIC_FIELDS.contains(&field)
}

fn hide(call: &mut TokenCall, value: &Value, shortest: usize) {
    match value {
        Value::String(text) if text.len() >= shortest => call.hide(text),
        Value::Array(items) => items.iter().for_each(|item| hide(call, item, shortest)),
        Value::Object(members) => members.values().for_each(|member| hide(call, member, shortest)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
