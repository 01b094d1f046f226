//! Providers of one's own: the definition is checked and shown as the form and the requests that it means. Nothing is
//! stored; the operator puts the file where `HITCHPOST_CATALOG` points.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::mode_title;
use crate::app::SharedApp;
use crate::catalog::{self, Finding, Provider, Severity, Source, TokenUrl, embedded_files, lint};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::page::EnvironmentPage;

const FILE: &str = "your-providers.yaml";
/// Entries that are shown as a form.
const MOST_PREVIEWS: usize = 5;
const EXAMPLE: &str = "acme-crm:
  display_name: Acme CRM
  docs: https://developers.acme.example/docs
  categories: [crm]
  auth_mode: OAUTH2
  authorization_url: https://${connectionConfig.subdomain}.acme.example/oauth/authorize
  token_url: https://${connectionConfig.subdomain}.acme.example/oauth/token
  proxy:
    base_url: https://${connectionConfig.subdomain}.acme.example/api
    verification:
      method: GET
      endpoints: [/v1/me]
  connection_config:
    subdomain:
      type: string
      title: Subdomain
      description: The part before .acme.example in your address
      pattern: ^[a-z0-9-]+$
";

#[derive(Template)]
#[template(path = "dashboard/provider_editor.html")]
struct EditorPage<'a> {
    page: &'a EnvironmentPage,
    form: Form,
    /// None before the first check.
    outcome: Option<Outcome>,
}

/// What a check found.
struct Outcome {
    errors: usize,
    findings: Vec<Found>,
    previews: Vec<Preview>,
}

struct Found {
    is_error: bool,
    place: String,
    message: String,
    advice: String,
}

/// One entry as people and providers will see it.
struct Preview {
    title: String,
    mode: &'static str,
    fields: Vec<(String, String, bool)>,
    requests: Vec<(&'static str, String)>,
}

/// Shows the editor with an example.
pub async fn show_editor(page: EnvironmentPage) -> Result<Response, PageError> {
    page.show(&EditorPage { page: &page, form: Form::filled([("definition", EXAMPLE)]), outcome: None })
}

/// Checks the definition.
pub async fn check_provider(
    State(_): State<SharedApp>,
    page: EnvironmentPage,
    form: Form,
) -> Result<Response, PageError> {
    let outcome = Some(check(form.value("definition")));
    page.show(&EditorPage { page: &page, form, outcome })
}

fn check(text: &str) -> Outcome {
    let source = Source::Text { name: FILE.to_owned(), text: text.to_owned() };
    let sources = [source];
    let report = lint(&embedded_files(), &sources);
    // Loaded alone, so that only the own entries are there.
    let loaded = catalog::load(&[], &sources);
    Outcome {
        errors: report.count(Severity::Error),
        findings: report.findings.into_iter().map(found).collect(),
        previews: loaded.catalog.iter().take(MOST_PREVIEWS).map(|provider| preview(provider)).collect(),
    }
}

fn found(finding: Finding) -> Found {
    let line = finding.line.map(|line| format!("line {line}"));
    let parts = [line, finding.entry, Some(finding.path).filter(|path| !path.is_empty())];
    Found {
        is_error: finding.severity == Severity::Error,
        place: parts.into_iter().flatten().collect::<Vec<_>>().join(", "),
        message: finding.message,
        advice: finding.advice,
    }
}

fn preview(provider: &Provider) -> Preview {
    let fields = provider.credentials.iter().chain(&provider.connection_config);
    let shown = fields.filter(|(_, schema)| !(schema.automated || schema.hidden));
    Preview {
        title: provider.display_name.clone(),
        mode: mode_title(provider.mode()),
        fields: shown
            .map(|(name, schema)| {
                let title = if schema.title.is_empty() { name } else { &schema.title };
                (title.clone(), schema.description.clone(), schema.is_required())
            })
            .collect(),
        requests: requests(provider),
    }
}

/// The requests of a sign-in and of a call, with the names of what is filled in.
fn requests(provider: &Provider) -> Vec<(&'static str, String)> {
    let mut requests = Vec::new();
    if let Some(url) = &provider.authorization_url {
        let scope = if provider.default_scopes.is_empty() {
            "SCOPES".to_owned()
        } else {
            provider.default_scopes.join(&provider.scope_separator)
        };
        let text = format!(
            "GET {}\n    ?response_type=code\n    &client_id=CLIENT_ID\n    &redirect_uri=CALLBACK\n    &scope={scope}\n    &state=RANDOM",
            url.source()
        );
        requests.push(("The browser is sent to", text));
    }
    let token_url = match &provider.token_url {
        Some(TokenUrl::One(template)) => Some(template.source().to_owned()),
        Some(TokenUrl::PerMode(templates)) => {
            templates.values().next().map(|template| template.source().to_owned())
        }
        None => None,
    };
    if let Some(url) = token_url {
        let text = format!("POST {url}\n\ngrant_type=authorization_code&code=CODE&redirect_uri=CALLBACK");
        requests.push(("Tokens are asked for with", text));
    }
    if let Some(proxy) = &provider.proxy {
        let mut text = format!("GET {}/your/path", proxy.base_url.source().trim_end_matches('/'));
        let headers = proxy.headers.iter().map(|(name, value)| format!("\n{name}: {}", value.source()));
        text.extend(headers);
        requests.push(("A proxied call is", text));
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_right_and_a_mistake_is_told() {
        let outcome = check(EXAMPLE);
        let messages: Vec<&String> = outcome.findings.iter().map(|found| &found.message).collect();
        assert_eq!(outcome.errors, 0, "{messages:?}");
        let preview = &outcome.previews[0];
        assert_eq!((preview.title.as_str(), preview.fields.len()), ("Acme CRM", 1));
        assert_eq!(preview.requests.len(), 3);
        assert!(check("a: {auth_mode: NOPE}").errors > 0);
        assert!(check("{{{").errors > 0);
    }
}
