//! The state of the server: what it stands on, what waits, who runs, what to look at; and a test of the way from the
//! visitor's browser to the public address, which a script does.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::Response;
use url::Url;

use super::error::PageError;
use super::logs::span;
use super::page::{Page, segment};
use super::policy;
use super::time::Moment;
use crate::app::{App, SharedApp};
use crate::db::health::COUNTED;
use crate::health::{self, Health, Process, Remark, Weight};
use crate::jobs::JobStatus;

#[derive(Template)]
#[template(path = "dashboard/health.html")]
struct HealthPage<'a> {
    page: &'a Page,
    verdict: Verdict,
    remarks: Vec<RemarkRow>,
    database: Vec<(&'static str, String)>,
    queues: Vec<QueueRow>,
    processes: Vec<ProcessRow>,
    jobs: Vec<JobRow>,
    failing: Vec<FailingRow>,
    /// How many there are, in words; empty when there are none.
    failing_count: String,
    /// Refreshes of a day, in a sentence.
    refreshes: String,
    keys: Vec<KeyRow>,
    version: &'static str,
    test: SelfTest,
}

/// The state in one sentence.
struct Verdict {
    /// Kind of a badge.
    kind: &'static str,
    text: String,
}

impl Verdict {
    fn of(remarks: &[Remark]) -> Self {
        let count = |weight| remarks.iter().filter(|remark| remark.weight == weight).count();
        match (count(Weight::Broken), count(Weight::Attention)) {
            (0, 0) => Verdict { kind: "good", text: "Everything is well.".to_owned() },
            (0, 1) => Verdict { kind: "warn", text: "It works; one thing deserves attention.".to_owned() },
            (0, some) => {
                Verdict { kind: "warn", text: format!("It works; {some} things deserve attention.") }
            }
            (1, _) => Verdict { kind: "bad", text: "One thing is wrong.".to_owned() },
            (some, _) => Verdict { kind: "bad", text: format!("{some} things are wrong.") },
        }
    }
}

struct RemarkRow {
    /// Kind and text of a badge.
    badge: (&'static str, &'static str),
    title: String,
    advice: String,
}

impl From<Remark> for RemarkRow {
    fn from(remark: Remark) -> Self {
        let badge = match remark.weight {
            Weight::Broken => ("bad", "Wrong"),
            Weight::Attention => ("warn", "Attention"),
            Weight::Hint => ("calm", "Good to know"),
        };
        RemarkRow { badge, title: remark.title, advice: remark.advice }
    }
}

/// Something that waits.
struct QueueRow {
    name: &'static str,
    waiting: String,
    since: Option<Moment>,
    note: String,
}

struct ProcessRow {
    hostname: String,
    id: String,
    is_this: bool,
    is_there: bool,
    version: String,
    started: Moment,
    seen: Moment,
    memory: String,
    log_queue: i64,
}

struct JobRow {
    name: &'static str,
    every: String,
    /// Kind and text of a badge.
    state: (&'static str, &'static str),
    last: Option<Moment>,
    took: String,
    /// What it did, or why it failed.
    result: String,
    runs: String,
}

struct FailingRow {
    connection: String,
    href: String,
    integration: String,
    environment: String,
    failed: Moment,
    is_given_up: bool,
}

struct KeyRow {
    fingerprint: String,
    /// Kind and text of a badge.
    state: (&'static str, &'static str),
}

/// What the test of the browser needs to know.
struct SelfTest {
    server_url: String,
    callback_url: String,
    websocket_url: String,
    /// Empty when it is not served.
    connect_url: String,
    /// Commands that do the same without a browser.
    commands: [(&'static str, String); 3],
    /// What a reverse proxy needs, for nginx.
    nginx: String,
}

/// Shows how the server is.
pub async fn show_health(State(app): State<SharedApp>, page: Page) -> Result<Response, PageError> {
    let health = health::look(&app, page.viewer.account_id).await?;
    let test = SelfTest::new(&app);
    let policy = policy::connecting_to(&test.origins());
    let mut response = page.show(&HealthPage {
        verdict: Verdict::of(&health.remarks),
        database: database(&app, &health),
        queues: queues(&page, &health),
        processes: health.replicas.iter().map(|process| ProcessRow::new(&page, process)).collect(),
        jobs: health.jobs.iter().map(|job| JobRow::new(&page, job)).collect(),
        failing_count: at_most(health.failing.0),
        failing: failing(&page, &health),
        refreshes: refreshes(&health),
        keys: keys(&health),
        remarks: health.remarks.into_iter().map(RemarkRow::from).collect(),
        version: env!("CARGO_PKG_VERSION"),
        test,
        page: &page,
    })?;
    response.headers_mut().extend(policy.map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
    Ok(response)
}

/// The refreshes of a day in a sentence.
fn refreshes(health: &Health) -> String {
    let refreshes = &health.refreshes;
    let (Some(half), Some(most)) = (refreshes.durations.quantile(0.5), refreshes.durations.quantile(0.95))
    else {
        return "No token was refreshed in the last 24 hours.".to_owned();
    };
    let took = |millis: f64| span(millis.ceil() as i64);
    format!(
        "In the last 24 hours {} done and {} failed; half within {}, 95 of 100 within {}.",
        plural(refreshes.done, "refresh was", "refreshes were"),
        refreshes.failed,
        took(half),
        took(most)
    )
}

/// `1 run`, `2 runs`.
fn plural(count: i64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A count in words; empty when it is nothing.
fn at_most(count: i64) -> String {
    match count {
        0 => String::new(),
        COUNTED.. => format!("{COUNTED} or more"),
        count => count.to_string(),
    }
}

fn database(app: &App, health: &Health) -> Vec<(&'static str, String)> {
    let database = &health.database;
    let kind = if database.is_embedded { "embedded PostgreSQL" } else { "PostgreSQL" };
    let (used, open, most) = database.connections;
    let (applied, known) = database.migrations;
    let mut facts = vec![
        ("Database", format!("{kind} {}", database.version.split(' ').next().unwrap_or_default())),
        ("Answers in", milliseconds(database.latency)),
        ("Size", database.size.map_or("not known".to_owned(), bytes)),
        ("Migrations", format!("{applied} of {known} applied")),
        ("Connections of this process", format!("{used} in use, {open} open, {most} at most")),
    ];
    facts.push(match &health.redis {
        None => ("Redis", "not used".to_owned()),
        Some(Ok(took)) => ("Redis", format!("answers in {}", milliseconds(*took))),
        Some(Err(reason)) => ("Redis", format!("does not answer: {reason}")),
    });
    facts.push(match &health.log_database {
        None => ("Operation log", "in the same database".to_owned()),
        Some(Ok(took)) => {
            ("Operation log", format!("in a database of its own, which answers in {}", milliseconds(*took)))
        }
        Some(Err(reason)) => ("Operation log", format!("in a database of its own: {reason}")),
    });
    facts.push(("Providers in the catalog", app.catalog.load().len().to_string()));
    facts
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Bytes as people read them.
fn bytes(count: i64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    let mut amount = count as f64;
    for unit in UNITS {
        if amount < 1000.0 {
            return if unit == "B" { format!("{amount} B") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1000.0;
    }
    format!("{amount:.1} TB")
}

fn queues(page: &Page, health: &Health) -> Vec<QueueRow> {
    let queues = &health.queues;
    let logs = &queues.logs;
    let dropped = logs.dropped_debug + logs.dropped_proxy_success;
    let mut rows = vec![
        QueueRow {
            name: "Operation log of this process",
            waiting: logs.queued.to_string(),
            since: None,
            note: format!(
                "{} operations written in {}; {dropped} debug messages and successful calls left out under load",
                logs.operations,
                span(i64::try_from(logs.write_micros / 1000).unwrap_or(i64::MAX))
            ),
        },
        QueueRow {
            name: "Outgoing webhooks",
            waiting: queues.webhooks.count.to_string(),
            since: queues.webhooks.due_at.map(|time| page.moment(time)),
            note: match queues.paused_addresses {
                0 => String::new(),
                count => format!("{count} addresses are paused"),
            },
        },
        QueueRow {
            name: "What follows connections",
            waiting: queues.hooks.count.to_string(),
            since: queues.hooks.due_at.map(|time| page.moment(time)),
            note: String::new(),
        },
    ];
    if queues.ships {
        let (shipped, lost) = queues.shipped;
        let note = format!("{shipped} entries delivered, {lost} lost");
        rows.push(QueueRow {
            name: "Logs to other systems",
            waiting: "not counted".to_owned(),
            since: None,
            note,
        });
    }
    rows
}

impl ProcessRow {
    fn new(page: &Page, process: &Process) -> Self {
        let replica = &process.replica;
        ProcessRow {
            hostname: replica.hostname.clone(),
            id: replica.id.to_string(),
            is_this: process.is_this,
            is_there: process.is_there,
            version: replica.version.clone(),
            started: page.moment(replica.started_at),
            seen: page.moment(replica.seen_at),
            memory: replica.memory.map_or("not known".to_owned(), bytes),
            log_queue: replica.log_queue,
        }
    }
}

impl JobRow {
    fn new(page: &Page, job: &JobStatus) -> Self {
        let last = job.last.as_ref();
        let result = last.map(|run| match (&run.error, &run.result) {
            (Some(error), _) => error.clone(),
            (None, Some(result)) => done(result),
            (None, None) => String::new(),
        });
        JobRow {
            name: job.name,
            every: match job.every.as_secs() {
                0 => "switched off".to_owned(),
                seconds => format!("every {} min", seconds.div_ceil(60)),
            },
            state: match (job.running_since, last) {
                (Some(_), _) => ("calm", "Running"),
                (None, Some(run)) if run.error.is_some() => ("bad", "Failed"),
                (None, Some(_)) => ("good", "Done"),
                (None, None) => ("calm", "Not yet"),
            },
            last: last.map(|run| page.moment(run.started_at)),
            took: last.map(|run| span(run.duration_ms)).unwrap_or_default(),
            result: result.unwrap_or_default(),
            runs: last
                .map(|run| format!("{}, {} failed", plural(run.runs, "run", "runs"), run.failures))
                .unwrap_or_default(),
        }
    }
}

/// The numbers of a job that are not zero.
fn done(result: &serde_json::Value) -> String {
    let numbers = result.as_object().into_iter().flatten();
    let told: Vec<String> = numbers
        .filter(|(_, number)| number.as_i64() != Some(0))
        .map(|(name, number)| format!("{}: {number}", name.replace('_', " ")))
        .collect();
    if told.is_empty() { "nothing to do".to_owned() } else { told.join(", ") }
}

fn failing(page: &Page, health: &Health) -> Vec<FailingRow> {
    let row = |one: &crate::db::health::FailingConnection| FailingRow {
        connection: one.connection_id.clone(),
        href: page.link(&format!("/env/{}/connections/{}", segment(&one.environment), one.id.0)),
        integration: one.integration.clone(),
        environment: one.environment.clone(),
        failed: page.moment(one.failed_at),
        is_given_up: one.is_given_up,
    };
    health.failing.1.iter().map(row).collect()
}

fn keys(health: &Health) -> Vec<KeyRow> {
    let row = |key: &health::EncryptionKey| KeyRow {
        fingerprint: key.fingerprint.clone(),
        state: match (key.is_current, key.is_here) {
            (true, _) => ("good", "Seals new values"),
            (false, true) => ("calm", "Opens old values"),
            (false, false) => ("bad", "Missing here"),
        },
    };
    health.keys.iter().map(row).collect()
}

impl SelfTest {
    fn new(app: &App) -> Self {
        let http = &app.config.http;
        let server = &http.server_url;
        let websocket = format!("{server}{}", http.websocket_path);
        let connect = if app.config.connect_ui.is_served { http.connect_url.as_str() } else { "" };
        SelfTest {
            callback_url: http.default_callback_url(),
            websocket_url: websocket.replacen("http", "ws", 1),
            connect_url: connect.to_owned(),
            commands: [
                (
                    "The callback answers with a page that says state_err",
                    format!("curl -i {}", http.default_callback_url()),
                ),
                (
                    "CORS: the answer allows every origin and the header Authorization, once each",
                    format!(
                        "curl -i -X OPTIONS {server}/connections \\\n  -H 'Origin: https://app.example.com' \\\n  -H 'Access-Control-Request-Method: GET' \\\n  -H 'Access-Control-Request-Headers: authorization'"
                    ),
                ),
                (
                    "The websocket answers 101 and says connection_ack; end it with Ctrl+C",
                    format!(
                        "curl -i -N --http1.1 {websocket} \\\n  -H 'Connection: Upgrade' -H 'Upgrade: websocket' \\\n  -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: SGl0Y2hwb3N0IHRlc3QuLg=='"
                    ),
                ),
            ],
            nginx: nginx(http.port),
            server_url: server.clone(),
        }
    }

    /// Where the script asks.
    fn origins(&self) -> Vec<String> {
        let urls = [&self.server_url, &self.callback_url, &self.websocket_url, &self.connect_url];
        let parsed = urls.into_iter().filter_map(|url| Url::parse(url).ok());
        let mut origins: Vec<String> = parsed.map(|url| url.origin().ascii_serialization()).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }
}

fn nginx(port: u16) -> String {
    format!(
        "# once, in http {{ }}\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n\n\
         # in server {{ }}\n\
         location / {{\n\
         \x20   proxy_pass http://127.0.0.1:{port};\n\
         \x20   proxy_http_version 1.1;\n\
         \x20   proxy_set_header Host $host;\n\
         \x20   proxy_set_header Upgrade $http_upgrade;\n\
         \x20   proxy_set_header Connection $connection_upgrade;\n\
         \x20   proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         \x20   proxy_set_header X-Forwarded-Proto $scheme;\n\
         \x20   proxy_read_timeout 75s;\n\
         }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (count, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.5 kB"),
            (48_300_000, "48.3 MB"),
            (2_000_000_000_000, "2.0 TB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn jobs_tell_what_they_did() {
        assert_eq!(done(&serde_json::json!({"oauth_sessions": 3, "changes": 0})), "oauth sessions: 3");
        assert_eq!(done(&serde_json::json!({"changes": 0})), "nothing to do");
    }
}
