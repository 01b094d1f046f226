//! Every entry of the published catalog (npm `@nangohq/providers`, installed with the SDK tests): given plausible inputs, its
//! authorize URL, token request, refresh request and a proxied request are built, and nothing unresolved is in them.
//!
//! The entries are used as they are, but for `http` in the place of `https`, so that an outbound proxy of the test can stand
//! for the whole internet. What is expected is in `published_catalog/golden.yaml`: counts per mode, and the exceptions, each
//! with its reason. An auth mode whose sign-in is new here gets an arm in `published_catalog/sign_in.rs`.

mod inputs;
mod pattern;
mod sign_in;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hitchpost::auth::AuthMode;
use hitchpost::catalog::{Catalog, Provider, Source, load};
use serde::Deserialize;

use crate::support::app::TestSettings;
use crate::support::internet::{Internet, Sent};
use crate::support::{TestApp, run};
use sign_in::Visit;

/// Servers that share the entries, each with an internet of its own so that requests are told apart.
const WORKERS: usize = 4;

/// What an entry is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// The connection could not be made at all.
    Connect,
    Authorize,
    Token,
    Refresh,
    Proxy,
}

/// How many entries of a mode did what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Counts {
    entries: usize,
    authorized: usize,
    /// Asked a token endpoint for the first credentials.
    tokens: usize,
    refreshed: usize,
    proxied: usize,
}

/// An entry that cannot do a step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    step: Step,
    /// A part of what is answered instead.
    says: String,
    /// Why that is right, or known.
    #[expect(dead_code, reason = "for readers of the file")]
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    modes: BTreeMap<String, Counts>,
    exceptions: BTreeMap<String, Exception>,
}

/// What came of an entry.
#[derive(Default)]
struct Outcome {
    authorized: bool,
    token: bool,
    refreshed: bool,
    proxied: bool,
    failure: Option<(Step, String)>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The published entries over plain http; nothing when they are not installed.
fn published() -> Option<String> {
    let file = folder().join("sdk/node_modules/@nangohq/providers/providers.yaml");
    let text = std::fs::read_to_string(file).ok()?;
    // The second spelling is that of regular expressions.
    Some(text.replace("https://", "http://").replace(r"https:\/\/", r"http:\/\/"))
}

#[test]
fn every_published_entry_builds_its_requests() {
    let Some(yaml) = published() else {
        let required = crate::support::test_setting("HITCHPOST_TEST_REQUIRE").as_deref() == Some("all");
        assert!(!required, "HITCHPOST_TEST_REQUIRE=all, but the published catalog is not installed");
        eprintln!("SKIPPED: the published catalog is not installed (run npm ci in tests/sdk)");
        return;
    };
    run(async move {
        let loaded = load(&[], &[Source::Text { name: "published.yaml".to_owned(), text: yaml.clone() }]);
        assert_eq!(loaded.problems, []);
        let catalog = Arc::new(loaded.catalog);
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| tokio::spawn(work(number, yaml.clone(), Arc::clone(&catalog))))
            .collect();
        let mut outcomes = BTreeMap::new();
        for worker in workers {
            outcomes.extend(worker.await.expect("a worker ends"));
        }
        compare(&catalog, &outcomes);
    });
}

/// Visits every fourth entry.
async fn work(number: usize, yaml: String, catalog: Arc<Catalog>) -> Vec<(String, Outcome)> {
    let internet = Internet::start().await;
    let app = TestSettings::default()
        .catalog(yaml)
        .set("HTTP_PROXY", format!("http://{}", internet.address))
        // Nothing of what hooks ask over https may leave this machine.
        .set("HTTPS_PROXY", format!("http://{}", internet.address))
        .set("AWS_ENDPOINT_URL_STS", "http://sts.example.com")
        .set("DEFAULT_RATE_LIMIT_PER_MIN", "100000000")
        .start()
        .await;
    let token = sign_in::session_token(&app).await;
    let mut outcomes = Vec::new();
    for provider in catalog.iter().skip(number).step_by(WORKERS) {
        outcomes.push((provider.name.clone(), visit(&app, &internet, &token, provider).await));
    }
    outcomes
}

/// Connects to an entry, refreshes the connection and calls through it.
async fn visit(app: &TestApp, internet: &Internet, token: &str, provider: &Arc<Provider>) -> Outcome {
    let visit = Visit { app, internet, token, provider };
    let mut outcome = Outcome::default();
    if let Err(failure) = follow(&visit, &mut outcome).await {
        outcome.failure = Some(failure);
    }
    outcome
}

async fn follow(visit: &Visit<'_>, outcome: &mut Outcome) -> Result<(), (Step, String)> {
    visit.internet.take();
    let connected = visit.connect().await?;
    outcome.authorized = connected.is_authorized;
    outcome.token = connected.asked_for_a_token;
    visit.follow_hooks(&connected.connection).await.map_err(|problem| (Step::Connect, problem))?;
    visit.fill_in_automated(&connected.connection).await;
    if visit.is_renewed() {
        visit.refresh(&connected).await.map_err(|problem| (Step::Refresh, problem))?;
        outcome.refreshed = true;
    }
    visit.call(&connected).await.map_err(|problem| (Step::Proxy, problem))?;
    outcome.proxied = true;
    Ok(())
}

/// # Errors
/// What of the request was not filled in.
fn refuse_unresolved(sent: &[Sent]) -> Result<(), String> {
    for request in sent {
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        let texts = headers.chain([request.url.clone(), request.body.clone()]);
        if let Some(text) = texts.into_iter().find(|text| has_template(text)) {
            return Err(format!("unresolved in a request: {text}"));
        }
    }
    Ok(())
}

/// Also as it looks inside a URL or a form.
fn has_template(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.contains("${") || lower.contains("%24%7b") || lower.contains("$%7b")
}

fn compare(catalog: &Catalog, outcomes: &BTreeMap<String, Outcome>) {
    let text =
        std::fs::read_to_string(folder().join("it/published_catalog/golden.yaml")).expect("the golden file");
    let golden: Golden = serde_saphyr::from_str(&text).expect("a readable golden file");
    let mut problems = String::new();
    for (name, outcome) in outcomes {
        let Some((step, says)) = &outcome.failure else { continue };
        let is_expected = golden
            .exceptions
            .get(name)
            .is_some_and(|known| known.step == *step && says.contains(&known.says));
        if !is_expected {
            let mode = catalog.get(name).and_then(|provider| provider.mode()).map_or("?", AuthMode::as_str);
            let _ = writeln!(problems, "{name} ({mode}) {step:?}: {says}");
        }
    }
    for name in golden.exceptions.keys() {
        if outcomes.get(name).is_none_or(|outcome| outcome.failure.is_none()) {
            let _ = writeln!(problems, "{name} is no exception any more: take it out of the golden file");
        }
    }
    assert!(problems.is_empty(), "\n{problems}");
    assert_eq!(counts(catalog, outcomes), golden.modes);
}

fn counts(catalog: &Catalog, outcomes: &BTreeMap<String, Outcome>) -> BTreeMap<String, Counts> {
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for provider in catalog.iter() {
        let mode = provider.mode().map_or("unknown", AuthMode::as_str);
        let of_mode = counts.entry(mode.to_owned()).or_default();
        let Some(outcome) = outcomes.get(&provider.name) else { continue };
        of_mode.entries += 1;
        of_mode.authorized += usize::from(outcome.authorized);
        of_mode.tokens += usize::from(outcome.token);
        of_mode.refreshed += usize::from(outcome.refreshed);
        of_mode.proxied += usize::from(outcome.proxied);
    }
    counts
}
