//! Providers of one's own: the definition is checked and shown as the form and the requests that it means, and administrators
//! save it, which makes it a part of the catalog. What was typed always comes back.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;

use super::mode_title;
use crate::access::Action;
use crate::app::{App, SharedApp};
use crate::catalog::{Definition, Finding, Provider, Severity, TokenUrl, load_over};
use crate::custom_providers::{self, Draft, SOURCE};
use crate::dashboard::error::PageError;
use crate::dashboard::flash::Flash;
use crate::dashboard::form::Form;
use crate::dashboard::page::{EnvironmentPage, segment};
use crate::db::custom_providers as rows;

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
    /// The name of the stored provider that is changed; empty for a new one.
    name: String,
    /// Part of an address.
    name_segment: String,
    may_save: bool,
}

impl<'a> EditorPage<'a> {
    fn new(app: &App, page: &'a EnvironmentPage, form: Form, outcome: Option<Outcome>) -> Self {
        let name = form.value("of").to_owned();
        EditorPage {
            name_segment: segment(&name),
            may_save: app.config.catalog.has_custom_providers && page.viewer.may(Action::ManageProviders),
            page,
            form,
            outcome,
            name,
        }
    }
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

/// Shows the editor with an example, or with the stored provider that the address names.
pub async fn show_editor(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let query = Form::parse(query.unwrap_or_default().as_bytes());
    let name = query.text("provider");
    if name.is_empty() {
        let form = Form::filled([("definition", EXAMPLE)]);
        return page.show(&EditorPage::new(&app, &page, form, None));
    }
    let stored = rows::find(&app.db, name).await?.ok_or_else(PageError::not_found)?;
    let outcome = check(&app, &stored.definition);
    let revision = stored.revision.to_string();
    let form = Form::filled([("definition", &*stored.definition), ("of", name), ("revision", &revision)]);
    let form = if stored.replaces_entry { form.or("replaces_entry", "on") } else { form };
    page.show(&EditorPage::new(&app, &page, form, Some(outcome)))
}

/// Checks the definition.
pub async fn check_provider(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    form: Form,
) -> Result<Response, PageError> {
    let outcome = check(&app, form.value("definition"));
    page.show(&EditorPage::new(&app, &page, form, Some(outcome)))
}

/// Stores the definition, which every replica then has in its catalog.
pub async fn save_provider(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let of = Some(form.value("of")).filter(|name| !name.is_empty());
    let draft = Draft {
        definition: form.value("definition"),
        replaces_entry: form.is_on("replaces_entry"),
        // A revision that nobody gave is one that changed meanwhile.
        of: of.map(|name| (name, form.value("revision").parse().unwrap_or_default())),
    };
    match custom_providers::save(&app, page.viewer.account_id, &draft).await {
        Ok(name) => {
            let path = page.path_of(&format!("/provider-editor?provider={}", segment(&name)));
            let text = format!("{name} is saved, and its integrations use it from now on.");
            Ok(page.redirect_with(&path, &Flash::done(text)))
        }
        Err(error) => {
            form.refuse(error, &[])?;
            let outcome = check(&app, form.value("definition"));
            page.show_again(&EditorPage::new(&app, &page, form, Some(outcome)))
        }
    }
}

fn check(app: &App, text: &str) -> Outcome {
    let report = custom_providers::check(app, text);
    let definition = Definition { name: SOURCE.to_owned(), text: text.to_owned() };
    let loaded = load_over(&app.catalog.load(), &[definition]);
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
    use crate::catalog::{Catalog, Source, lint_over};

    #[test]
    fn the_example_is_right_and_shows_every_request() {
        let catalog = Catalog::default();
        let source = Source::Text { name: SOURCE.to_owned(), text: EXAMPLE.to_owned() };
        let report = lint_over(&catalog, &[source]);
        assert_eq!(report.findings, []);
        let definition = Definition { name: SOURCE.to_owned(), text: EXAMPLE.to_owned() };
        let loaded = load_over(&catalog, &[definition]).catalog;
        let shown: Vec<Preview> = loaded.iter().map(|provider| preview(provider)).collect();
        let [shown] = &shown[..] else { panic!("the example has one entry") };
        assert_eq!((shown.title.as_str(), shown.fields.len(), shown.requests.len()), ("Acme CRM", 1, 3));
    }
}
