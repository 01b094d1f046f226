//! What an operator should look at, and what to do about it, in sentences. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

use super::{Health, Process};
use crate::config::{Config, DashboardAccess};

/// Clocks may differ by this much before leases and signatures suffer.
const MOST_SKEW: TimeDelta = TimeDelta::seconds(5);
/// What waits for longer than this is stuck.
const STUCK: TimeDelta = TimeDelta::minutes(10);

/// A refresh holds up the call that needs it.
const SLOW_REFRESH_MILLIS: f64 = 5_000.0;

/// How much a remark matters; the order is that of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Something does not work.
    Broken,
    /// Something will hurt one day.
    Attention,
    /// Good to know.
    Hint,
}

/// Something to look at.
#[derive(Debug, PartialEq, Eq)]
pub struct Remark {
    pub weight: Weight,
    pub title: String,
    /// What to do about it.
    pub advice: String,
}

/// Remarks while they are put together.
#[derive(Default)]
struct Remarks(Vec<Remark>);

impl Remarks {
    fn add(&mut self, weight: Weight, title: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Remark { weight, title: title.into(), advice: advice.into() });
    }
}

/// Everything that is worth a look, the most serious first.
pub fn remarks(config: &Config, health: &Health, has_production: bool, now: DateTime<Utc>) -> Vec<Remark> {
    let mut remarks = Remarks::default();
    about_storage(&mut remarks, health);
    about_work(&mut remarks, health, now);
    about_processes(&mut remarks, config, health);
    about_addresses(&mut remarks, config, has_production);
    about_settings(&mut remarks, config);
    remarks.0.sort_by_key(|remark| remark.weight);
    remarks.0
}

fn about_storage(remarks: &mut Remarks, health: &Health) {
    let database = &health.database;
    let (applied, known) = database.migrations;
    if usize::try_from(applied).is_ok_and(|applied| applied < known) {
        let title =
            format!("The database lacks {} migrations", known - usize::try_from(applied).unwrap_or(0));
        remarks.add(
            Weight::Broken,
            title,
            "Run `hitchpost migrate` with this version, or start it with NANGO_MIGRATE_AT_START=true.",
        );
    }
    if database.skew.abs() > MOST_SKEW {
        let title = format!(
            "The clocks of this server and its database differ by {} s",
            database.skew.num_seconds().abs()
        );
        remarks.add(
            Weight::Attention,
            title,
            "Let both keep time by NTP: leases, signatures and token lifetimes depend on it.",
        );
    }
    if let Some(Err(reason)) = &health.redis {
        remarks.add(
            Weight::Attention,
            format!("Redis does not answer: {reason}"),
            "Everything works without it, only slower across replicas. Check NANGO_REDIS_URL, or take it out.",
        );
    }
    if let Some(Err(reason)) = &health.log_database {
        remarks.add(
            Weight::Broken,
            format!("The database of the operation log does not answer: {reason}"),
            "What happens is kept in memory until it answers, and lost when that is full. Check HITCHPOST_LOGS_DATABASE_URL.",
        );
    }
    for key in health.keys.iter().filter(|key| !key.is_here) {
        remarks.add(
            Weight::Broken,
            format!("This process lacks the encryption key {}", key.fingerprint),
            "Values that were sealed with it cannot be read here. Add the key to NANGO_ENCRYPTION_KEY, behind the current one.",
        );
    }
}

fn about_work(remarks: &mut Remarks, health: &Health, now: DateTime<Utc>) {
    let queues = &health.queues;
    let is_stuck = |due_at: Option<DateTime<Utc>>| due_at.is_some_and(|due_at| now - due_at > STUCK);
    if is_stuck(queues.webhooks.due_at) {
        remarks.add(
            Weight::Attention,
            "Webhooks have been due for more than ten minutes",
            "Look at the webhooks of the environments: an address may be slow. If nothing moves at all, look at the process log.",
        );
    }
    if is_stuck(queues.hooks.due_at) {
        remarks.add(
            Weight::Attention,
            "What follows new connections has been due for more than ten minutes",
            "Look for `Step after a sign-in` in the logs: a provider may be in trouble.",
        );
    }
    if queues.paused_addresses > 0 {
        remarks.add(
            Weight::Attention,
            format!("{} webhook addresses are paused, because too many deliveries failed", queues.paused_addresses),
            "Look at the failed webhooks of the environments; deliveries wait and are sent when the address answers again.",
        );
    }
    let lost = queues.logs.unwritable + queues.logs.dropped_other + queues.logs.dropped_failures;
    if lost > 0 {
        remarks.add(
            Weight::Attention,
            format!("{lost} entries of the operation log were lost since the start"),
            "The database was away, or slower than the log for long. Give it more, or lower HITCHPOST_LOG_PROXY_SUCCESS_PCT.",
        );
    }
    if queues.shipped.1 > 0 {
        remarks.add(
            Weight::Attention,
            format!("{} log entries did not reach their destination elsewhere", queues.shipped.1),
            "Elasticsearch or the collector is away or too slow. This server's own log has them.",
        );
    }
    let failed = health.jobs.iter().filter(|job| job.last.as_ref().is_some_and(|last| last.error.is_some()));
    for job in failed {
        remarks.add(
            Weight::Attention,
            format!("The last run of the job `{}` failed", job.name),
            "What the database said stands below, in the row of the job. It is tried again at its next time.",
        );
    }
    let slow = health.refreshes.durations.quantile(0.95).filter(|millis| *millis >= SLOW_REFRESH_MILLIS);
    if let Some(millis) = slow {
        remarks.add(
            Weight::Attention,
            format!("Token refreshes are slow: 5 of 100 take {:.0} s or more", millis / 1000.0),
            "Calls wait for them. Look at the refreshes in the logs of the environments: a provider is slow, or the way to it.",
        );
    }
    if health.failing.0 > 0 {
        remarks.add(
            Weight::Attention,
            format!("Credentials of {} connections cannot be refreshed", counted(health.failing.0)),
            "The newest are listed below. Where it says given up, the end user has to sign in again.",
        );
    }
}

fn counted(count: i64) -> String {
    if count >= crate::db::health::COUNTED { format!("{count} or more") } else { count.to_string() }
}

fn about_processes(remarks: &mut Remarks, config: &Config, health: &Health) {
    let there: Vec<&Process> = health.replicas.iter().filter(|process| process.is_there).collect();
    let version = there.first().map(|process| process.replica.version.as_str());
    if there.iter().any(|process| Some(process.replica.version.as_str()) != version) {
        remarks.add(
            Weight::Attention,
            "Replicas run different versions",
            "That is fine during a rolling update. Afterwards, update the ones that are behind.",
        );
    }
    if there.len() > 1 && config.redis_url.is_none() {
        remarks.add(
            Weight::Hint,
            "Several replicas without Redis",
            "Everything works; with NANGO_REDIS_URL rate limits are shared, and replicas hear of changes at once instead of within two seconds.",
        );
    }
    if health.database.is_embedded {
        remarks.add(
            Weight::Hint,
            "The embedded database is used",
            "It serves one process. For several replicas, or for backups while it runs, set NANGO_DATABASE_URL.",
        );
    }
}

fn about_addresses(remarks: &mut Remarks, config: &Config, has_production: bool) {
    let url = Url::parse(&config.http.server_url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        remarks.add(
            Weight::Attention,
            "NANGO_SERVER_URL names this machine only",
            "Set it to the address at which browsers reach this server: callback addresses and links are made of it.",
        );
    } else if url.is_some_and(|url| url.scheme() == "http") {
        let weight = if has_production { Weight::Broken } else { Weight::Attention };
        remarks.add(
            weight,
            "NANGO_SERVER_URL is not https",
            "Credentials and API keys travel readably. Put a reverse proxy with TLS in front, and set NANGO_SERVER_URL to its https address.",
        );
    }
}

fn about_settings(remarks: &mut Remarks, config: &Config) {
    if config.dashboard.access == DashboardAccess::Open {
        remarks.add(
            Weight::Broken,
            "Everybody who reaches this dashboard may do everything",
            "Take HITCHPOST_OPEN_DASHBOARD out, and set NANGO_DASHBOARD_USERNAME and NANGO_DASHBOARD_PASSWORD or switch accounts on.",
        );
    }
    if config.keys.encryption.is_none() {
        remarks.add(
            Weight::Attention,
            "The encryption key is a file in the data directory",
            "Without it nothing in the database can be read. Keep a copy elsewhere, or set NANGO_ENCRYPTION_KEY to its content.",
        );
    }
    if !config.logs.enabled {
        remarks.add(
            Weight::Attention,
            "Operation logs are switched off",
            "NANGO_LOGS_ENABLED=true shows what happened, and draws the charts. Here it needs nothing but the database.",
        );
    }
    if !config.audit.is_enabled {
        remarks.add(
            Weight::Attention,
            "The audit trail is switched off",
            "FLAG_AUDIT_TRAIL_ENABLED=true records who changes what.",
        );
    }
    if !config.limits.enabled {
        remarks.add(
            Weight::Hint,
            "Rate limits are switched off",
            "FLAG_API_RATE_LIMIT_ENABLED=true keeps one caller from taking the whole server.",
        );
    }
    if !config.state_cookie_required {
        remarks.add(
            Weight::Attention,
            "Sign-ins may end in another browser than they began in",
            "HITCHPOST_OAUTH_STATE_COOKIE_REQUIRED=false allows it, and lets somebody connect their account for somebody else.",
        );
    }
    if config.dashboard.access == DashboardAccess::Accounts
        && config.dashboard.smtp.is_none()
        && config.dashboard.oidc.is_none()
    {
        remarks.add(
            Weight::Hint,
            "No mails are sent",
            "Invitations and links for new passwords are shown to administrators, to be passed on by hand. SMTP_URL sends them.",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::super::{Database, EncryptionKey, Queues, Refreshes};
    use super::*;
    use crate::db::health::Waiting;
    use crate::db::replicas::Replica;

    fn config(values: &[(&str, &str)]) -> Config {
        let names: Vec<String> = values.iter().map(|(name, _)| (*name).to_owned()).collect();
        let lookup =
            |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::from_env(&lookup, &names).unwrap().config
    }

    fn process(version: &str) -> Process {
        let now = DateTime::UNIX_EPOCH;
        let replica = Replica {
            id: Uuid::nil(),
            hostname: "web".into(),
            version: version.into(),
            started_at: now,
            seen_at: now,
            memory: None,
            log_queue: 0,
            log_lost: 0,
        };
        Process { replica, is_this: false, is_there: true }
    }

    fn well() -> Health {
        Health {
            database: Database {
                is_embedded: false,
                version: "17.0".into(),
                latency: Duration::from_millis(1),
                size: None,
                migrations: (3, 3),
                connections: (0, 1, 30),
                skew: TimeDelta::zero(),
            },
            redis: None,
            log_database: None,
            queues: Queues {
                logs: crate::logs::LogStats::default(),
                webhooks: Waiting::default(),
                paused_addresses: 0,
                hooks: Waiting::default(),
                shipped: (0, 0),
                ships: false,
            },
            replicas: vec![process("1")],
            jobs: Vec::new(),
            failing: (0, Vec::new()),
            refreshes: Refreshes::default(),
            keys: Vec::new(),
            remarks: Vec::new(),
        }
    }

    const GOOD: [(&str, &str); 4] = [
        ("NANGO_SERVER_URL", "https://connect.acme.test"),
        ("NANGO_ENCRYPTION_KEY", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="),
        ("NANGO_DATABASE_URL", "postgresql://u@db/x"),
        ("SMTP_URL", "smtp://mail.acme.test"),
    ];

    fn titles(config: &Config, health: &Health, has_production: bool) -> Vec<(Weight, String)> {
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let found = remarks(config, health, has_production, now);
        found.into_iter().map(|remark| (remark.weight, remark.title)).collect()
    }

    #[test]
    fn a_server_that_is_well_has_nothing_to_say() {
        assert_eq!(titles(&config(&GOOD), &well(), true), []);
    }

    #[test]
    fn settings_that_will_hurt_are_named() {
        for (name, value, weight, title) in [
            ("NANGO_SERVER_URL", "http://localhost:3003", Weight::Attention, "names this machine only"),
            ("NANGO_SERVER_URL", "http://connect.acme.test", Weight::Broken, "is not https"),
            ("NANGO_LOGS_ENABLED", "false", Weight::Attention, "logs are switched off"),
            ("FLAG_AUDIT_TRAIL_ENABLED", "false", Weight::Attention, "audit trail is switched off"),
            ("FLAG_API_RATE_LIMIT_ENABLED", "false", Weight::Hint, "Rate limits"),
            ("HITCHPOST_OAUTH_STATE_COOKIE_REQUIRED", "false", Weight::Attention, "another browser"),
            ("SMTP_URL", "", Weight::Hint, "No mails"),
            ("NANGO_ENCRYPTION_KEY", "", Weight::Attention, "file in the data directory"),
        ] {
            let mut values = GOOD.to_vec();
            values.retain(|(other, _)| *other != name);
            values.push((name, value));
            let found = titles(&config(&values), &well(), true);
            assert!(
                matches!(found.as_slice(), [(found, text)] if *found == weight && text.contains(title)),
                "{name}={value}: {found:?}"
            );
        }
    }

    #[test]
    fn what_does_not_work_comes_first() {
        let mut health = well();
        health.database.migrations = (2, 3);
        health.database.skew = TimeDelta::seconds(-9);
        health.redis = Some(Err("connection refused".into()));
        health.log_database = Some(Err("it cannot be reached".into()));
        health.queues.webhooks.due_at = Some(DateTime::UNIX_EPOCH);
        health.queues.paused_addresses = 2;
        health.failing.0 = 3;
        // One refresh, in the bucket of the slowest.
        let mut slowest = [0; 21];
        slowest[20] = 1;
        health.refreshes.durations.add(&slowest);
        health.replicas.push(process("2"));
        health.keys.push(EncryptionKey { fingerprint: "abc".into(), is_current: false, is_here: false });
        let found = titles(&config(&GOOD), &health, true);
        assert!(found.is_sorted_by_key(|(weight, _)| *weight), "{found:?}");
        for title in [
            "lacks 1 migrations",
            "differ by 9 s",
            "Redis does not answer: connection refused",
            "operation log does not answer",
            "due for more than ten minutes",
            "2 webhook addresses are paused",
            "Credentials of 3 connections",
            "5 of 100 take 30 s or more",
            "different versions",
            "without Redis",
            "lacks the encryption key abc",
        ] {
            assert!(found.iter().any(|(_, text)| text.contains(title)), "{title}: {found:?}");
        }
        assert_eq!(found.len(), 11);
    }
}
