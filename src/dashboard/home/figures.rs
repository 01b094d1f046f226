//! What the charts of an environment show: counts of the log and of connections, in steps of time.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::chart::{Chart, Frame, Series, grouped};
use crate::app::App;
use crate::dashboard::logs::span;
use crate::db::EnvironmentId;
use crate::db::connection_counts::{self, Counted};
use crate::db::log_hours::{self, HourDurations, StepCount};
use crate::logs::{Durations, Kind, State};

/// How far back charts look, and in which steps.
#[derive(Debug)]
pub struct Period {
    /// The value in the address; the first period is the one without.
    pub word: &'static str,
    pub title: &'static str,
    steps: i32,
    length: TimeDelta,
    /// How the time of a step is written.
    format: &'static str,
}

pub static PERIODS: [Period; 3] = [
    Period { word: "24h", title: "24 hours", steps: 24, length: TimeDelta::hours(1), format: "%H:%M" },
    Period { word: "7d", title: "7 days", steps: 28, length: TimeDelta::hours(6), format: "%-d %b %H:%M" },
    Period { word: "30d", title: "30 days", steps: 30, length: TimeDelta::days(1), format: "%-d %b" },
];

impl Period {
    /// The period of this word; the first one for any other.
    pub fn find(word: &str) -> &'static Self {
        PERIODS.iter().find(|period| period.word == word).unwrap_or(&PERIODS[0])
    }

    /// When the steps of the period begin; the last one is the current one.
    fn steps(&self, now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let last = now.duration_trunc(self.length).unwrap_or(now);
        (0..self.steps).rev().map(|back| last - self.length * back).collect()
    }
}

/// Everything that the charts show.
pub struct Figures {
    period: &'static Period,
    steps: Vec<DateTime<Utc>>,
    counts: Vec<StepCount>,
    durations: Vec<HourDurations>,
    /// Connections at the end of each step; none before they were counted.
    connections: Vec<Option<i64>>,
    live: i64,
}

impl Figures {
    /// Reads what was counted in the period.
    pub async fn load(app: &App, environment: EnvironmentId, period: &'static Period) -> sqlx::Result<Self> {
        let now = app.clock.now();
        let steps = period.steps(now);
        let from = steps.first().copied().unwrap_or(now);
        let mut counted = connection_counts::list(&app.db, environment, from).await?;
        counted.retain(|count| count.counted_at <= now);
        let last = counted.last().copied();
        let change =
            connection_counts::count_since(&app.db, environment, last.map(|last| last.counted_at)).await?;
        let live = last.map_or(0, |last| last.live) + change;
        let logs = app.logs.database(&app.db);
        counted.push(Counted { counted_at: now, live });
        Ok(Figures {
            counts: log_hours::count_by_step(logs, environment, from, period.length).await?,
            durations: log_hours::list_durations(logs, environment, Kind::ProxyCall.as_str(), from).await?,
            connections: at_the_end_of(&steps, period.length, &counted),
            live,
            period,
            steps,
        })
    }

    /// Whether there is nothing to draw.
    pub fn are_empty(&self) -> bool {
        self.live == 0 && self.counts.iter().all(|count| count.count <= 0)
    }

    pub fn charts(&self) -> Vec<Chart> {
        vec![self.requests(), self.errors(), self.latency(), self.refreshes(), self.live_connections()]
    }

    fn frame(&self) -> Frame {
        let label = |step: &DateTime<Utc>| step.format(self.period.format).to_string();
        Frame { steps: self.steps.iter().map(label).collect(), period: self.period.title }
    }

    /// Operations of each step that `wants` wants, by kind and state.
    fn count(&self, wants: impl Fn(&str, &str) -> bool) -> Vec<f64> {
        let mut sums = vec![0; self.steps.len()];
        for count in self.counts.iter().filter(|count| wants(&count.kind, &count.state)) {
            if let Some(at) = self.steps.iter().position(|step| *step == count.step) {
                sums[at] += count.count;
            }
        }
        sums.into_iter().map(|sum| sum.max(0) as f64).collect()
    }

    fn requests(&self) -> Chart {
        let done = self.count(|kind, state| is_call(kind) && state == State::Success.as_str());
        let failed =
            self.count(|kind, state| is_call(kind) && is_over(state) && state != State::Success.as_str());
        let (good, bad) = (total(&done), total(&failed));
        self.frame().bars(
            ("requests", "Requests"),
            plural(good + bad, "proxied call"),
            format!("{} of them failed{}", grouped(bad), share(bad, good + bad)),
            [
                Series { class: "good", name: "Succeeded", values: done },
                Series { class: "bad", name: "Failed", values: failed },
            ],
        )
    }

    fn errors(&self) -> Chart {
        let calls = self.count(|kind, state| is_call(kind) && is_failure(state));
        let others = self.count(|kind, state| !is_call(kind) && is_failure(state));
        let (of_calls, of_others) = (total(&calls), total(&others));
        self.frame().bars(
            ("errors", "Errors"),
            format!("{} failed", plural(of_calls + of_others, "operation")),
            format!(
                "{}, {} others: sign-ins, refreshes, webhooks",
                plural(of_calls, "proxied call"),
                grouped(of_others)
            ),
            [
                Series { class: "bad", name: "Proxied calls", values: calls },
                Series { class: "warn", name: "Everything else", values: others },
            ],
        )
    }

    fn latency(&self) -> Chart {
        let mut by_step = vec![Durations::default(); self.steps.len()];
        let mut whole = Durations::default();
        for hour in &self.durations {
            // The last step that begins no later than the hour.
            let at = self.steps.partition_point(|step| *step <= hour.hour).checked_sub(1);
            if let Some(durations) = at.and_then(|at| by_step.get_mut(at)) {
                durations.add(&hour.durations);
                whole.add(&hour.durations);
            }
        }
        let line = |share: f64| by_step.iter().map(|durations| durations.quantile(share)).collect();
        let told = |share: f64| whole.quantile(share).map_or("nothing yet".to_owned(), milliseconds);
        self.frame().lines(
            ("latency", "Response time"),
            format!("{} for half of the calls", told(0.5)),
            format!("{} for 95 of 100", told(0.95)),
            vec![
                Series { class: "calm", name: "Half (p50)", values: line(0.5) },
                Series { class: "accent", name: "95 of 100 (p95)", values: line(0.95) },
            ],
            milliseconds,
        )
    }

    fn refreshes(&self) -> Chart {
        let is_refresh = |kind: &str| kind == Kind::AuthRefreshToken.as_str();
        let done = self.count(|kind, state| is_refresh(kind) && state == State::Success.as_str());
        let failed = self.count(|kind, state| is_refresh(kind) && is_failure(state));
        let (good, bad) = (total(&done), total(&failed));
        self.frame().bars(
            ("refreshes", "Token refreshes"),
            format!("{} refreshed", plural(good + bad, "token")),
            format!("{} of them failed{}", grouped(bad), share(bad, good + bad)),
            [
                Series { class: "good", name: "Succeeded", values: done },
                Series { class: "bad", name: "Failed", values: failed },
            ],
        )
    }

    fn live_connections(&self) -> Chart {
        let values: Vec<Option<f64>> =
            self.connections.iter().map(|count| count.map(|count| count as f64)).collect();
        let known: Vec<i64> = self.connections.iter().copied().flatten().collect();
        let change = known.first().map_or(0, |first| self.live - first);
        let detail = match change {
            0 => "as many as at the beginning".to_owned(),
            more @ 1.. => format!("{} more than at the beginning", grouped(more)),
            fewer => format!("{} fewer than at the beginning", grouped(-fewer)),
        };
        self.frame().lines(
            ("connections", "Connections"),
            format!("{} now", plural(self.live, "connection")),
            detail,
            vec![Series { class: "accent", name: "Connections", values }],
            |count| grouped(count as i64),
        )
    }
}

fn is_call(kind: &str) -> bool {
    kind == Kind::ProxyCall.as_str()
}

fn is_over(state: &str) -> bool {
    State::parse(state).is_some_and(State::is_final)
}

fn is_failure(state: &str) -> bool {
    [State::Failed, State::Timeout].iter().any(|failure| failure.as_str() == state)
}

fn total(values: &[f64]) -> i64 {
    values.iter().sum::<f64>() as i64
}

fn plural(count: i64, one: &str) -> String {
    format!("{} {one}{}", grouped(count), if count == 1 { "" } else { "s" })
}

fn milliseconds(millis: f64) -> String {
    if (f64::EPSILON..1.0).contains(&millis) { "under 1 ms".to_owned() } else { span(millis.round() as i64) }
}

/// In percent, with the brackets around it; empty where there is nothing to share.
fn share(part: i64, whole: i64) -> String {
    if part == 0 { String::new() } else { format!(" ({:.1} %)", part as f64 * 100.0 / whole as f64) }
}

/// The count at the end of each step: the last one that was made until then.
fn at_the_end_of(steps: &[DateTime<Utc>], length: TimeDelta, counted: &[Counted]) -> Vec<Option<i64>> {
    let at = |step: &DateTime<Utc>| {
        let known = counted.partition_point(|count| count.counted_at < *step + length);
        known.checked_sub(1).map(|last| counted[last].live)
    };
    steps.iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn steps_end_with_the_current_one() {
        for (word, count, first) in [
            ("24h", 24, "2026-11-21T18:00:00Z"),
            ("7d", 28, "2026-11-15T18:00:00Z"),
            ("30d", 30, "2026-10-24T00:00:00Z"),
            ("nonsense", 24, "2026-11-21T18:00:00Z"),
        ] {
            let steps = Period::find(word).steps(at("2026-11-22T17:30:00Z"));
            assert_eq!((steps.len(), steps[0]), (count, at(first)), "{word}");
        }
    }

    #[test]
    fn connections_are_carried_on_until_they_are_counted_again() {
        let steps = [at("2026-11-22T00:00:00Z"), at("2026-11-22T01:00:00Z"), at("2026-11-22T02:00:00Z")];
        let counted = [
            Counted { counted_at: at("2026-11-22T01:10:00Z"), live: 3 },
            Counted { counted_at: at("2026-11-22T01:50:00Z"), live: 4 },
        ];
        assert_eq!(at_the_end_of(&steps, TimeDelta::hours(1), &counted), [None, Some(4), Some(4)]);
    }

    #[test]
    fn shares_are_told_only_of_something() {
        assert_eq!((share(0, 0), share(1, 8)), (String::new(), " (12.5 %)".to_owned()));
    }
}
