//! Hooks around a connection, as its catalog entry describes them (`spec` auth-flows, section 9): what is asked of the provider
//! after a connection was made or authorized again, while an app's user signs in, and before a connection is deleted.
//!
//! Every call goes out as a proxied one does, signed and guarded. A hook never fails or delays what it belongs to: after a
//! connection it runs in the background and is repeated while the provider is in trouble, before a deletion it has ten seconds,
//! and connections that go with their integration or environment are told of afterwards. Each run is an operation of the log,
//! its requests the messages. No value that a hook reads reaches a log.

mod deleted;
mod deletion;
mod pick;
mod queue;
mod report;
mod run;
mod scope;
mod steps;
mod value;

use serde_json::{Map, Value};

use crate::app::App;
use crate::auth::Credentials;
use crate::catalog::HookStep;
use crate::integrations::OpenIntegration;

pub use deleted::{Partings, follow_partings, plan_partings, tell_due};
pub use deletion::before_deletion;
pub use queue::{HookQueue, follow_hooks, look_for_due};
pub use run::LEASE as HOOK_LEASE;

use scope::Scope;
use steps::Trouble;

/// Whether something is asked of the provider once a connection is stored.
pub fn has_post_connection(integration: &OpenIntegration) -> bool {
    steps_of(integration, false).next().is_some()
}

fn steps_of(integration: &OpenIntegration, during_sign_in: bool) -> impl Iterator<Item = &HookStep> {
    let steps = integration.provider.iter().flat_map(|provider| &provider.post_connection);
    steps.filter(move |step| step.during_sign_in == during_sign_in)
}

/// What the provider says about the user who signs in, for the connection config; nothing where the entry asks nothing.
///
/// # Errors
/// Why it said nothing, as the end of a sentence.
pub async fn ask_about_user(
    app: &App,
    integration: &OpenIntegration,
    user: &Credentials,
    config: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let mut scope = Scope::new(integration, user, config, None, "");
    let mut gained = Map::new();
    for step in steps_of(integration, true) {
        let found = steps::follow(app, &mut scope, step).await.map_err(|trouble| trouble.message)?;
        if let Some(name) = step.set.keys().find(|name| !found.set.contains_key(*name)) {
            return Err(format!("its answer has no `{name}`"));
        }
        gained.extend(found.set);
    }
    Ok(gained)
}

/// What all steps brought.
#[derive(Default)]
struct Gained {
    set: Map<String, Value>,
    metadata: Map<String, Value>,
    unset: Vec<String>,
    /// Why values are missing although nothing went wrong.
    notes: Vec<String>,
    troubles: Vec<Trouble>,
}

impl Gained {
    /// Nothing, and why.
    fn nothing(trouble: Trouble) -> Self {
        Gained { troubles: vec![trouble], ..Gained::default() }
    }

    fn late() -> Self {
        Gained::nothing(Trouble::passing("the provider took too long"))
    }
}

/// Follows every step. One that fails does not keep the others from being followed. `decided` is set only by steps that
/// overwrite.
async fn follow_all<'s>(
    app: &App,
    scope: &mut Scope<'_>,
    steps: impl Iterator<Item = &'s HookStep>,
    decided: &[String],
) -> Gained {
    let mut gained = Gained::default();
    for step in steps {
        match steps::follow(app, scope, step).await {
            Ok(mut found) => {
                found.set.retain(|name, _| step.overwrite || !decided.contains(name));
                scope.keep(&found);
                gained.notes.extend(found.note);
                gained.unset.retain(|name| !found.set.contains_key(name));
                gained.set.retain(|name, _| !found.unset.contains(name));
                gained.set.extend(found.set);
                gained.metadata.extend(found.metadata);
                gained.unset.extend(found.unset);
            }
            Err(trouble) => gained.troubles.push(trouble),
        }
    }
    gained
}
