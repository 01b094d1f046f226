//! The partitions of the log: one per day and table. Names and bounds are made of dates only, so these statements, which take
//! no parameters, can hold nothing else.

use chrono::{Days, NaiveDate};
use sqlx::{AssertSqlSafe, PgExecutor, PgPool};

/// What is partitioned by day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogTable {
    /// Operations that are kept as long as the settings say.
    Operations,
    /// Successful proxied calls.
    Bulk,
    Messages,
}

impl LogTable {
    pub const ALL: [LogTable; 3] = [LogTable::Operations, LogTable::Bulk, LogTable::Messages];

    fn name(self) -> &'static str {
        match self {
            LogTable::Operations => "log_operations_kept",
            LogTable::Bulk => "log_operations_bulk",
            LogTable::Messages => "log_messages",
        }
    }

    fn partition(self, day: NaiveDate) -> String {
        format!("{}_{}", self.name(), day.format("%Y%m%d"))
    }
}

/// A day of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    pub table: LogTable,
    pub day: NaiveDate,
    /// Bytes, indexes included.
    pub size: i64,
}

/// Every partition, the oldest first.
pub async fn list(db: &PgPool) -> sqlx::Result<Vec<Partition>> {
    let mut partitions = Vec::new();
    for table in LogTable::ALL {
        let rows = sqlx::query!(
            r#"SELECT child.relname::text AS "name!", pg_total_relation_size(child.oid) AS "size!"
               FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid
               WHERE i.inhparent = to_regclass($1)"#,
            table.name()
        )
        .fetch_all(db)
        .await?;
        let found = rows.into_iter().filter_map(|row| {
            let day = NaiveDate::parse_from_str(row.name.rsplit('_').next()?, "%Y%m%d").ok()?;
            Some(Partition { table, day, size: row.size })
        });
        partitions.extend(found);
    }
    partitions.sort_by_key(|partition| (partition.day, partition.table));
    Ok(partitions)
}

/// Makes the partition of a day, unless there is one. Looks first: making one waits for everybody who uses the table.
pub async fn ensure(db: &PgPool, table: LogTable, day: NaiveDate) -> sqlx::Result<()> {
    let name = table.partition(day);
    let exists =
        sqlx::query_scalar!(r#"SELECT to_regclass($1) IS NOT NULL AS "exists!""#, name).fetch_one(db).await?;
    if exists {
        return Ok(());
    }
    let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {} FOR VALUES FROM ('{day} 00:00:00+00') TO ('{next} 00:00:00+00')",
        table.name()
    );
    match sqlx::query(AssertSqlSafe(statement)).execute(db).await {
        Err(error) if !is_made_meanwhile(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Somebody else made the same partition in the same moment: its name or its type exists, or the bounds overlap.
fn is_made_meanwhile(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("42P07" | "23505" | "42710" | "42P17"))
}

/// Removes a day with everything in it.
pub async fn drop_day(db: impl PgExecutor<'_>, table: LogTable, day: NaiveDate) -> sqlx::Result<()> {
    let statement = format!("DROP TABLE IF EXISTS {}", table.partition(day));
    sqlx::query(AssertSqlSafe(statement)).execute(db).await?;
    Ok(())
}

/// Whether an insertion found no partition for its day.
pub fn lacks_partition(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| {
        error.code().as_deref() == Some("23514") && error.message().contains("no partition")
    })
}
