//! Operations counted by the hour in which they began, by kind and state.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::PgExecutor;

use super::EnvironmentId;

/// Rows that one statement of retention deletes.
const PURGE_BATCH: i64 = 1_000;

/// A change of the counts of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourCount {
    pub environment_id: EnvironmentId,
    pub hour: DateTime<Utc>,
    pub kind: String,
    pub state: String,
    /// Negative when operations left this state.
    pub count: i64,
    /// The same by duration, for each bucket of `logs::tally`.
    pub durations: Vec<i64>,
}

/// Adds changes to the counts. No two may be of the same hour, kind and state.
pub async fn add(db: impl PgExecutor<'_>, changes: &[HourCount]) -> sqlx::Result<()> {
    let durations: Vec<String> = changes.iter().map(|change| array_text(&change.durations)).collect();
    sqlx::query!(
        "INSERT INTO log_hours AS h (environment_id, hour, kind, state, count, durations)
         SELECT n.environment_id, n.hour, n.kind, n.state, n.count, n.durations::bigint[]
         FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::text[])
              AS n (environment_id, hour, kind, state, count, durations)
         ON CONFLICT (environment_id, hour, kind, state) DO UPDATE SET count = h.count + EXCLUDED.count,
             durations = ARRAY(SELECT was + more FROM unnest(h.durations, EXCLUDED.durations)
                               WITH ORDINALITY AS pair (was, more, number) ORDER BY number)",
        &changes.iter().map(|change| change.environment_id.0).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.hour).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.kind.clone()).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.state.clone()).collect::<Vec<_>>(),
        &changes.iter().map(|change| change.count).collect::<Vec<_>>(),
        &durations
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An array as PostgreSQL reads it: there is no other way to pass many of them at once.
fn array_text(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}

/// Removes the counts of hours before `before`, a batch at a time.
pub async fn purge(db: impl PgExecutor<'_>, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM log_hours WHERE ctid = ANY(ARRAY(SELECT ctid FROM log_hours WHERE hour < $1 LIMIT $2))",
        before,
        PURGE_BATCH
    )
    .execute(db)
    .await?;
    Ok(result.rows_affected())
}

/// How operations of a day ended.
#[derive(Debug, PartialEq, Eq)]
pub struct DayCount {
    pub day: NaiveDate,
    pub total: i64,
    pub success: i64,
    pub failure: i64,
    pub cancelled: i64,
    pub expired: i64,
    pub running: i64,
}

/// Counts of one kind by day, for days that have any.
pub async fn count_by_day(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    kind: &str,
    from: DateTime<Utc>,
) -> sqlx::Result<Vec<DayCount>> {
    sqlx::query_as!(
        DayCount,
        r#"SELECT (hour AT TIME ZONE 'UTC')::date AS "day!", sum(count)::bigint AS "total!",
               COALESCE(sum(count) FILTER (WHERE state = 'success'), 0)::bigint AS "success!",
               COALESCE(sum(count) FILTER (WHERE state = 'failed'), 0)::bigint AS "failure!",
               COALESCE(sum(count) FILTER (WHERE state = 'cancelled'), 0)::bigint AS "cancelled!",
               COALESCE(sum(count) FILTER (WHERE state = 'timeout'), 0)::bigint AS "expired!",
               COALESCE(sum(count) FILTER (WHERE state = 'running'), 0)::bigint AS "running!"
           FROM log_hours WHERE environment_id = $1 AND kind = $2 AND hour >= $3
           GROUP BY 1 HAVING sum(count) > 0 ORDER BY 1"#,
        environment as EnvironmentId,
        kind,
        from
    )
    .fetch_all(db)
    .await
}

/// How many operations of a step of time were of a kind and in a state.
#[derive(Debug)]
pub struct StepCount {
    /// When the step began.
    pub step: DateTime<Utc>,
    pub kind: String,
    pub state: String,
    pub count: i64,
}

/// Counts by steps of this length, the first of which begins at `from`.
pub async fn count_by_step(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    from: DateTime<Utc>,
    length: TimeDelta,
) -> sqlx::Result<Vec<StepCount>> {
    sqlx::query_as!(
        StepCount,
        r#"SELECT date_bin(make_interval(secs => $3), hour, $2) AS "step!", kind, state, sum(count)::bigint AS "count!"
           FROM log_hours WHERE environment_id = $1 AND hour >= $2 GROUP BY 1, 2, 3"#,
        environment as EnvironmentId,
        from,
        length.num_seconds() as f64
    )
    .fetch_all(db)
    .await
}

/// The durations of an hour.
#[derive(Debug)]
pub struct HourDurations {
    pub hour: DateTime<Utc>,
    pub durations: Vec<i64>,
}

/// How long operations of a kind took that were done or failed, by hour.
pub async fn list_durations(
    db: impl PgExecutor<'_>,
    environment: EnvironmentId,
    kind: &str,
    from: DateTime<Utc>,
) -> sqlx::Result<Vec<HourDurations>> {
    sqlx::query_as!(
        HourDurations,
        "SELECT hour, durations FROM log_hours
         WHERE environment_id = $1 AND kind = $2 AND hour >= $3 AND state IN ('success', 'failed')",
        environment as EnvironmentId,
        kind,
        from
    )
    .fetch_all(db)
    .await
}

/// What a kind of operation came to in an hour of an environment.
#[derive(Debug)]
pub struct KindCount {
    pub state: String,
    pub count: i64,
    pub durations: Vec<i64>,
}

/// Counts of one kind since `from`, of all environments.
pub async fn list_of_kind(
    db: impl PgExecutor<'_>,
    kind: &str,
    from: DateTime<Utc>,
) -> sqlx::Result<Vec<KindCount>> {
    sqlx::query_as!(
        KindCount,
        "SELECT state, count, durations FROM log_hours WHERE kind = $1 AND hour >= $2",
        kind,
        from
    )
    .fetch_all(db)
    .await
}
