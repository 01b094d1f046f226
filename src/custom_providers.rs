//! Providers that administrators define: entries of the catalog that are stored in the database and belong to the whole
//! server. Called by the dashboard, at a start, and when another replica tells of a change.
//!
//! The catalog's own reader judges a definition before it is stored. What is stored lies over the catalog's files; an
//! integration cannot tell the difference.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::app::App;
use crate::audit::{self, Action, Event, Target};
use crate::catalog::{Definition, Problem, Report, Severity, Source, entry_name, lint_over, load_over};
use crate::db::AccountId;
use crate::db::changes;
use crate::db::custom_providers::{self as rows, CustomProvider, Written};
use crate::db::integrations;
use crate::error::{ApiError, is_constraint};
use crate::fanout::Wake;

const NAME: &str = "custom_providers_name";
/// What findings call a definition.
pub const SOURCE: &str = "definition";
/// Bytes of a definition.
const LONGEST: usize = 200_000;

/// What somebody wants to store.
pub struct Draft<'a> {
    pub definition: &'a str,
    /// Whether an entry of this name in the catalog's files may be replaced.
    pub replaces_entry: bool,
    /// The stored provider that is changed: its name, and the revision that was seen. `None` makes a new one.
    pub of: Option<(&'a str, i64)>,
}

/// A stored provider, and how it fares.
pub struct Listed {
    pub stored: CustomProvider,
    /// Live integrations of the whole server.
    pub integrations: i64,
    /// Whether the catalog's files have an entry of this name.
    pub is_in_files: bool,
    /// Why it is left out of the catalog.
    pub problem: Option<String>,
}

/// Every stored provider, by name.
pub async fn list(app: &App) -> sqlx::Result<Vec<Listed>> {
    let stored = rows::list(&app.db).await?;
    let names: Vec<String> = stored.iter().map(|row| row.name.clone()).collect();
    let counts = integrations::count_by_provider(&app.db, &names).await?;
    let counts: HashMap<String, i64> = counts.into_iter().collect();
    let files = app.catalog.files();
    let definitions: Vec<Definition> = stored.iter().map(definition).collect();
    let mut problems = load_over(&files, &definitions).problems;
    let listed = stored.into_iter().map(|stored| Listed {
        integrations: counts.get(&stored.name).copied().unwrap_or_default(),
        is_in_files: files.get(&stored.name).is_some(),
        problem: take_problem(&mut problems, &stored.name),
        stored,
    });
    Ok(listed.collect())
}

fn take_problem(problems: &mut Vec<Problem>, name: &str) -> Option<String> {
    let at = problems.iter().position(|problem| is_about(problem, name))?;
    Some(problems.swap_remove(at).message)
}

/// Whether a problem is one of the definition with this name, or of an entry in it.
fn is_about(problem: &Problem, name: &str) -> bool {
    problem.source == name
}

/// What the linter says about a text that would lie over the catalog of this moment.
pub fn check(app: &App, text: &str) -> Report {
    let source = Source::Text { name: SOURCE.to_owned(), text: text.to_owned() };
    lint_over(&app.catalog.load(), &[source])
}

/// Stores a provider, after which every replica knows it; gives its name.
///
/// # Errors
/// A sentence: the definition has mistakes, its name is taken, others build on what would be lost, or somebody else changed it
/// meanwhile.
pub async fn save(app: &App, account: AccountId, draft: &Draft<'_>) -> Result<String, ApiError> {
    refuse_when_off(app)?;
    let name = judge(app, draft)?;
    let stored = rows::list(&app.db).await?;
    let mut definitions: Vec<Definition> =
        stored.iter().filter(|row| row.name != name).map(definition).collect();
    let others_before = problem_count(app, &definitions, &stored);
    definitions.push(Definition { name: name.clone(), text: draft.definition.to_owned() });
    let problems = load_over(&app.catalog.files(), &definitions).problems;
    if let Some(problem) = problems.iter().find(|problem| is_about(problem, &name)) {
        return Err(refused(format!("The catalog does not take it: {}.", problem.message)));
    }
    if let Some(problem) = problems.first().filter(|_| problems.len() > others_before) {
        return Err(refused(format!(
            "{} builds on it and would be lost: {}.",
            problem.source, problem.message
        )));
    }
    let before = stored.into_iter().find(|row| row.name == name);
    store(app, account, draft, &name, before).await?;
    announce(app).await?;
    Ok(name)
}

/// How many of the others are left out already.
fn problem_count(app: &App, others: &[Definition], stored: &[CustomProvider]) -> usize {
    let all: Vec<Definition> = stored.iter().map(definition).collect();
    let problems = load_over(&app.catalog.files(), &all).problems;
    problems.iter().filter(|problem| others.iter().any(|other| is_about(problem, &other.name))).count()
}

/// What can be said without the database; gives the entry's name.
fn judge(app: &App, draft: &Draft<'_>) -> Result<String, ApiError> {
    if draft.definition.len() > LONGEST {
        return Err(refused(format!("A definition has at most {LONGEST} bytes.")));
    }
    let name = entry_name(draft.definition).map_err(refused)?;
    let errors = check(app, draft.definition).count(Severity::Error);
    if errors > 0 {
        return Err(refused("Nothing was saved: mend the mistakes first."));
    }
    if let Some((known, _)) = draft.of.filter(|(known, _)| *known != name) {
        return Err(refused(format!("Integrations know the provider as {known}: keep this name.")));
    }
    let current = app.catalog.load();
    let is_taken = match draft.of {
        Some(_) => app.catalog.files().get(&name).is_some(),
        None => current.get(&name).is_some(),
    };
    if is_taken && !draft.replaces_entry {
        return Err(refused(format!(
            "The catalog has a provider called {name}. Choose another name, or say that yours replaces it."
        )));
    }
    Ok(name)
}

async fn store(
    app: &App,
    account: AccountId,
    draft: &Draft<'_>,
    name: &str,
    before: Option<CustomProvider>,
) -> Result<(), ApiError> {
    let now = app.clock.now();
    let written = Written { name, definition: draft.definition, replaces_entry: draft.replaces_entry, now };
    let after = audited(draft.definition, draft.replaces_entry);
    let mut transaction = app.db.begin().await?;
    let (id, event) = match draft.of {
        None => {
            let id = rows::insert(&mut *transaction, written).await.map_err(name_taken)?;
            (id, Event::of_account(account, Action::ProviderCreated).made(&after))
        }
        Some((_, revision)) => {
            let changed = rows::update(&mut *transaction, written, revision).await?;
            let id = changed.ok_or_else(|| {
                ApiError::conflict(
                    "Somebody else changed or deleted it meanwhile. Load it again; your text is still here.",
                )
            })?;
            let before = before.map(|row| audited(&row.definition, row.replaces_entry));
            (
                id,
                Event::of_account(account, Action::ProviderUpdated)
                    .changed(&before.unwrap_or_default(), &after),
            )
        }
    };
    changes::insert_custom_provider(&mut *transaction, id, now).await?;
    audit::record(app, &mut *transaction, event.target(Target::new("provider", id, name))).await?;
    transaction.commit().await?;
    Ok(())
}

fn name_taken(error: sqlx::Error) -> ApiError {
    if is_constraint(&error, NAME) {
        return ApiError::conflict("There is a provider of this name already. Change that one instead.");
    }
    error.into()
}

/// What the audit trail shows: everybody who may read the catalog may read a definition.
fn audited(definition: &str, replaces_entry: bool) -> Value {
    json!({ "definition": definition, "replaces_entry": replaces_entry })
}

/// Removes a provider.
///
/// # Errors
/// A sentence: integrations or other providers need it.
pub async fn remove(app: &App, account: AccountId, name: &str) -> Result<(), ApiError> {
    refuse_when_off(app)?;
    let stored = rows::list(&app.db).await?;
    if !stored.iter().any(|row| row.name == name) {
        return Err(ApiError::not_found("There is no such provider any more."));
    }
    let files = app.catalog.files();
    let rest: Vec<Definition> = stored.iter().filter(|row| row.name != name).map(definition).collect();
    let others_before = problem_count(app, &rest, &stored);
    let problems = load_over(&files, &rest).problems;
    if let Some(problem) = problems.first().filter(|_| problems.len() > others_before) {
        return Err(ApiError::conflict(format!("{} builds on it. Change that one first.", problem.source)));
    }
    // With an entry of this name in the files, its integrations go on with that one.
    let even_if_used = files.get(name).is_some();
    let mut transaction = app.db.begin().await?;
    let id = rows::delete(&mut *transaction, name, even_if_used).await?;
    let id = id.ok_or_else(|| {
        ApiError::conflict(format!("Integrations use {name}. Delete them first, in every environment."))
    })?;
    changes::insert_custom_provider(&mut *transaction, id, app.clock.now()).await?;
    let event = Event::of_account(account, Action::ProviderDeleted).target(Target::new("provider", id, name));
    audit::record(app, &mut *transaction, event).await?;
    transaction.commit().await?;
    announce(app).await
}

/// Makes this process know what was stored, and tells the others.
async fn announce(app: &App) -> Result<(), ApiError> {
    reload(app).await?;
    app.fanout.call(Wake::Feed).await;
    Ok(())
}

/// Reads what is stored; the catalog changes only when that differs from what this process knows.
pub async fn reload(app: &App) -> sqlx::Result<()> {
    if !app.config.catalog.has_custom_providers {
        return Ok(());
    }
    let _reading = app.custom_providers.lock().await;
    let definitions: Vec<Definition> = rows::list(&app.db).await?.iter().map(definition).collect();
    if !app.catalog.has_custom(&definitions) {
        tracing::info!(providers = definitions.len(), "the providers of this server changed");
        app.replace_custom_providers(definitions);
    }
    Ok(())
}

fn definition(row: &CustomProvider) -> Definition {
    Definition { name: row.name.clone(), text: row.definition.clone() }
}

fn refuse_when_off(app: &App) -> Result<(), ApiError> {
    if app.config.catalog.has_custom_providers {
        return Ok(());
    }
    Err(ApiError::forbidden("Providers cannot be defined here: HITCHPOST_CUSTOM_PROVIDERS is off."))
}

fn refused(sentence: impl Into<String>) -> ApiError {
    ApiError::bad_request("invalid_body", sentence)
}
