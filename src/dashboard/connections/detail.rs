//! One connection: whose it is, whether it works, and how to use it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use super::advice::{self, Problem};
use super::secrets::{self, Member};
use super::snippets::{ProxiedCall, Snippet};
use super::{find, logo};
use crate::access::Action;
use crate::app::{App, SharedApp};
use crate::auth::Credentials;
use crate::connections::{ConnectionView, open, open_config, public_config};
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::logs::{Summary, newest};
use crate::dashboard::page::{EnvironmentPage, segment};
use crate::dashboard::time::Moment;
use crate::db::connections::Connection;
use crate::db::end_users::EndUser;
use crate::integrations::OpenIntegration;
use crate::logs::OperationQuery;
use crate::refresh::is_tested;

/// What the snippets call where the catalog names nothing better.
const ANY_PATH: &str = "/path/of/the/api";

#[derive(Template)]
#[template(path = "dashboard/connection.html")]
pub(super) struct ConnectionPage<'a> {
    page: &'a EnvironmentPage,
    id: i64,
    connection_id: String,
    integration: String,
    /// Its key as a part of an address.
    integration_segment: String,
    provider: String,
    logo: String,
    user: Option<EndUser>,
    user_segment: String,
    tags: Vec<(String, String)>,
    problem: Option<Problem>,
    created: Moment,
    updated: Moment,
    last_used: Option<Moment>,
    last_refresh: Option<Moment>,
    last_failure: Option<Moment>,
    expires: Option<Moment>,
    is_expired: bool,
    /// What pressing the button does, when there is something to press.
    refresh: Option<&'static str>,
    members: Vec<Member>,
    /// Everything, when it was asked for.
    revealed: Option<String>,
    /// Whether the stored credentials could not be opened.
    is_unreadable: bool,
    config: String,
    webhook_url: Option<String>,
    snippets: Vec<Snippet>,
    /// What happened to it last.
    operations: Vec<Summary>,
    form: Form,
    may_write: bool,
    may_reveal: bool,
}

impl<'a> ConnectionPage<'a> {
    pub(super) async fn load(
        app: &App,
        page: &'a EnvironmentPage,
        integration: &OpenIntegration,
        connection: Connection,
        form: Option<Form>,
    ) -> Result<Self, PageError> {
        let config = public_config(app, &connection);
        let opened = open(app, &connection);
        let is_unreadable = opened.is_err();
        let credentials = opened.unwrap_or(Credentials::None);
        let form = form.unwrap_or_else(|| filled(&connection));
        let ConnectionView { connection, errors, end_user } = ConnectionView::load(app, connection).await?;
        let has_auth_error = errors.iter().any(|error| error.r#type == "auth");
        let about_it = OperationQuery {
            connections: vec![connection.connection_id.clone()],
            integrations: vec![integration.row.unique_key.clone()],
            ..OperationQuery::default()
        };
        let operations = newest(app, page, about_it).await?;
        let moment = |time| page.moment(time);
        let expires_at = credentials.expires_at();
        Ok(ConnectionPage {
            id: connection.id.0,
            problem: advice::problem(&connection, has_auth_error, credentials.is_refreshable()),
            snippets: snippets(app, integration, &connection),
            connection_id: connection.connection_id,
            integration: integration.row.unique_key.clone(),
            integration_segment: segment(&integration.row.unique_key),
            provider: integration
                .provider
                .as_ref()
                .map_or(&integration.row.provider, |provider| &provider.display_name)
                .clone(),
            logo: logo(page, &integration.row.provider),
            user_segment: end_user.as_ref().map(|user| segment(&user.end_user_id)).unwrap_or_default(),
            user: end_user,
            tags: tags_of(&connection.tags),
            created: moment(connection.created_at),
            updated: moment(connection.updated_at),
            last_used: connection.last_fetched_at.map(moment),
            last_refresh: connection.last_refresh_success.map(moment),
            last_failure: connection.last_refresh_failure.map(moment),
            expires: expires_at.map(moment),
            is_expired: expires_at.is_some_and(|time| time <= page.now),
            refresh: refresh_label(&credentials),
            members: secrets::masked(&credentials),
            revealed: None,
            is_unreadable,
            config: if config.is_empty() { String::new() } else { secrets::pretty(&Value::Object(config)) },
            webhook_url: connection.webhook_url_override,
            operations,
            form,
            may_write: page.may(Action::Write),
            may_reveal: page.may(Action::ReadSecrets),
            page,
        })
    }

    /// The page with every secret.
    pub(super) fn revealed(mut self, app: &App, credentials: &Credentials, connection: &Connection) -> Self {
        let all = serde_json::json!({
            "credentials": credentials.to_shown_json(),
            "connection_config": open_config(app, connection),
        });
        self.revealed = Some(secrets::pretty(&all));
        self
    }
}

/// What the page's forms hold at first.
fn filled(connection: &Connection) -> Form {
    let metadata = connection.metadata.as_ref().map_or_else(|| "{}".to_owned(), secrets::pretty);
    let tags: Vec<String> =
        tags_of(&connection.tags).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    Form::filled([("metadata", &metadata), ("tags", &tags.join("\n"))])
}

fn tags_of(tags: &Value) -> Vec<(String, String)> {
    let tags = tags.as_object().into_iter().flatten();
    tags.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn refresh_label(credentials: &Credentials) -> Option<&'static str> {
    if credentials.is_refreshable() {
        return Some("Refresh now");
    }
    is_tested(credentials).then_some("Check now")
}

fn snippets(app: &App, integration: &OpenIntegration, connection: &Connection) -> Vec<Snippet> {
    let path = known_path(integration).unwrap_or_else(|| ANY_PATH.to_owned());
    let call = ProxiedCall {
        server_url: &app.config.http.server_url,
        integration: &integration.row.unique_key,
        connection: &connection.connection_id,
        method: "GET",
        path: &path,
        body: "",
        headers: &[],
    };
    call.snippets()
}

/// A path that the provider's API certainly has.
pub fn known_path(integration: &OpenIntegration) -> Option<String> {
    let verification = integration.provider.as_ref()?.proxy.as_ref()?.verification.as_ref()?;
    let path = verification.endpoints.first()?.source();
    (path.starts_with('/') && !path.contains("${")).then(|| path.to_owned())
}

/// Shows a connection, its secrets masked.
pub async fn show_connection(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (integration, connection) = find(&app, &page, &id).await?;
    page.show(&ConnectionPage::load(&app, &page, &integration, connection, None).await?)
}
