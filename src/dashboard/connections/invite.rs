//! Asking an end user to connect: a connect session, and the link that opens it.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::find;
use crate::api::connect_sessions::{OpenedSession, open, open_again, read_operator_session};
use crate::api::extract::IntoApiError;
use crate::app::SharedApp;
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::page::EnvironmentPage;
use crate::db::integrations;

/// The form's fields, named as the API names them.
const FIELDS: [&str; 5] = [
    "end_user.id",
    "end_user.email",
    "end_user.display_name",
    "organization.id",
    "organization.display_name",
];
/// An end user to try things with.
const TESTER: &str = "test-user";

#[derive(Template)]
#[template(path = "dashboard/invitation.html")]
struct InvitationPage<'a> {
    page: &'a EnvironmentPage,
    /// Keys and whether they are chosen.
    integrations: Vec<(String, bool)>,
    /// The connection that is authorized again.
    again: Option<String>,
    link: Option<String>,
    form: Form,
}

async fn load<'a>(
    app: &SharedApp,
    page: &'a EnvironmentPage,
    form: Form,
) -> Result<InvitationPage<'a>, PageError> {
    let keys = integrations::list(&app.db, page.environment.id).await?.into_iter().map(|row| row.unique_key);
    let integrations =
        keys.map(|key| (form.has("integration", &key), key)).map(|(on, key)| (key, on)).collect();
    Ok(InvitationPage { page, integrations, again: None, link: None, form })
}

/// Shows the form; the address may say which integration is chosen.
pub async fn show_invitation(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let mut form = Form::parse(query.unwrap_or_default().as_bytes());
    form.set("end_user.id", TESTER);
    page.show(&load(&app, &page, form).await?)
}

/// Opens a session for the end user of the form and shows its link.
pub async fn invite_end_user(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    mut form: Form,
) -> Result<Response, PageError> {
    let body = read_body(&form);
    let opened: Result<OpenedSession, _> = match read_operator_session(&app, Some(&body)).in_body() {
        Ok(request) => open(&app, page.environment.id, request).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(session) => {
            let shown = InvitationPage { link: Some(session.connect_link), ..load(&app, &page, form).await? };
            page.show(&shown)
        }
        Err(error) => {
            form.refuse(error, &FIELDS)?;
            page.show_again(&load(&app, &page, form).await?)
        }
    }
}

/// The form as the API's body: what is empty is left out.
fn read_body(form: &Form) -> Value {
    let object = |prefix: &str| -> Map<String, Value> {
        let fields = FIELDS.iter().filter_map(|field| Some((field, field.strip_prefix(prefix)?)));
        let given = fields.map(|(field, name)| (name, form.text(field))).filter(|(_, text)| !text.is_empty());
        given.map(|(name, text)| (name.to_owned(), text.into())).collect()
    };
    let mut body = json!({
        "end_user": object("end_user."),
        "allowed_integrations": form.values("integration"),
    });
    let organization = object("organization.");
    if !organization.is_empty() {
        body["organization"] = Value::Object(organization);
    }
    body
}

/// Opens a session in which a connection is authorized again and shows its link.
pub async fn invite_again(
    State(app): State<SharedApp>,
    page: EnvironmentPage,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (integration, connection) = find(&app, &page, &id).await?;
    let key = &integration.row.unique_key;
    let session = open_again(&app, page.environment.id, key, &connection.connection_id).await?;
    page.show(&InvitationPage {
        page: &page,
        integrations: Vec::new(),
        again: Some(connection.connection_id),
        link: Some(session.connect_link),
        form: Form::default(),
    })
}
