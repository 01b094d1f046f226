//! Reading the log, for the API and for pages: operations under filters, one operation, its messages, and counts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Days, Utc};
use serde_json::{Map, Value, json};

use super::operation_time;
use super::terms::{Facet, TermQuery};
use super::{Kind, Level, State};
use crate::app::App;
use crate::db::EnvironmentId;
use crate::db::log_hours::{self, DayCount};
use crate::db::log_reads::{self, MessageFilter, MessagePage, NameCount, StoredMessage, StoredOperation};
use crate::db::log_search::{self, OperationFilter};
use crate::time_format::format_millis_z;

/// Names in a list of filters.
const MOST_NAMES: i64 = 20;
/// Names that a field suggests.
const MOST_SUGGESTED: i64 = 100;

/// A filter by what operations are: a whole type or one kind of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeFilter {
    Type(&'static str),
    Kind(Kind),
}

/// From and to, both included.
pub type Period = (DateTime<Utc>, DateTime<Utc>);

/// What somebody wants to see of an environment; empty lists want everything.
#[derive(Debug, Clone, Default)]
pub struct OperationQuery {
    pub search: Option<String>,
    pub states: Vec<State>,
    pub types: Vec<TypeFilter>,
    pub integrations: Vec<String>,
    pub connections: Vec<String>,
    pub functions: Vec<String>,
    pub period: Option<Period>,
    /// Only what comes after this operation in the list.
    pub after: Option<OperationCursor>,
    pub limit: i64,
}

/// A place in the list of operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationCursor {
    created_at: DateTime<Utc>,
    id: String,
}

impl OperationCursor {
    /// Reads what [`OperationCursor::to_text`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (millis, id): (i64, String) = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
        let created_at = DateTime::from_timestamp_millis(millis)?;
        operation_time(&id).is_some().then_some(OperationCursor { created_at, id })
    }

    pub fn to_text(&self) -> String {
        STANDARD.encode(json!([self.created_at.timestamp_millis(), self.id]).to_string())
    }
}

/// A page of operations, as the API shows them.
#[derive(Debug)]
pub struct OperationPage {
    pub operations: Vec<Value>,
    /// Of all pages; counted up to 1000.
    pub total: i64,
    /// Where the next page starts; `None` when there is none.
    pub next: Option<OperationCursor>,
}

/// The newest operations that match.
pub async fn list_operations(
    app: &App,
    environment: EnvironmentId,
    query: &OperationQuery,
) -> sqlx::Result<OperationPage> {
    let database = app.logs.database(&app.db);
    let found = log_search::find_operations(database, environment, &filter_of(query)).await?;
    let (rows, total) = (found.page, found.total);
    let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= query.limit;
    let next = rows.last().filter(|_| is_full);
    let next = next.map(|row| OperationCursor { created_at: row.created_at, id: row.id.clone() });
    Ok(OperationPage { operations: rows.into_iter().map(show).collect(), total, next })
}

/// The newest operations that match, for pages that show a few and do not say how many there are.
pub async fn list_newest(
    app: &App,
    environment: EnvironmentId,
    query: &OperationQuery,
) -> sqlx::Result<Vec<Value>> {
    let database = app.logs.database(&app.db);
    let found = log_search::find_newest(database, environment, &filter_of(query)).await?;
    Ok(found.into_iter().map(show).collect())
}

fn filter_of(query: &OperationQuery) -> OperationFilter {
    let (terms, words) = terms(query);
    OperationFilter {
        terms,
        words,
        from: query.period.map(|(from, _)| from),
        to: query.period.map(|(_, to)| to),
        after: query.after.as_ref().map(|cursor| (cursor.created_at, cursor.id.clone())),
        limit: query.limit,
    }
}

/// Whole terms, and beginnings of words.
fn terms(query: &OperationQuery) -> (String, Vec<String>) {
    let mut terms = TermQuery::default();
    let named = |facet: Facet, names: &[String]| -> Vec<String> {
        names.iter().map(|name| facet.term(name)).collect()
    };
    terms.any(query.states.iter().map(|state| Facet::State.term(state.as_str())));
    terms.any(query.types.iter().map(|wanted| match wanted {
        TypeFilter::Type(name) => Facet::Type.term(name),
        TypeFilter::Kind(kind) => Facet::Kind.term(kind.as_str()),
    }));
    terms.any(named(Facet::Integration, &query.integrations));
    terms.any(named(Facet::Connection, &query.connections));
    terms.any(named(Facet::Function, &query.functions));
    terms.search(query.search.as_deref().unwrap_or_default());
    terms.into_queries()
}

/// One operation, as the API shows it.
pub async fn find_operation(app: &App, environment: EnvironmentId, id: &str) -> sqlx::Result<Option<Value>> {
    Ok(find_stored(app, environment, id).await?.map(show))
}

async fn find_stored(
    app: &App,
    environment: EnvironmentId,
    id: &str,
) -> sqlx::Result<Option<StoredOperation>> {
    match operation_time(id) {
        Some(created_at) => {
            log_reads::find_operation(app.logs.database(&app.db), environment, id, created_at).await
        }
        None => Ok(None),
    }
}

fn show(row: StoredOperation) -> Value {
    let (kind, action) = row.kind.split_once(':').unwrap_or((&row.kind, ""));
    let time = |time: Option<DateTime<Utc>>| time.map(format_millis_z);
    let mut shown = json!({
        "id": row.id,
        "source": "internal",
        "type": "operation",
        "level": row.level,
        "message": row.message,
        "operation": {"type": kind, "action": action},
        "state": row.state,
        "accountId": row.account_id,
        "environmentId": row.environment_id,
        "createdAt": format_millis_z(row.created_at),
        "updatedAt": format_millis_z(row.updated_at),
        "startedAt": time(row.started_at),
        "endedAt": time(row.ended_at),
        "expiresAt": time(row.expires_at),
    });
    if let (Value::Object(members), Value::Object(data)) = (&mut shown, row.data) {
        members.extend(data);
    }
    shown
}

/// Which messages of an operation.
#[derive(Debug, Clone, Default)]
pub struct MessageQuery {
    pub search: Option<String>,
    pub levels: Vec<Level>,
    pub period: Option<Period>,
    /// Only newer ones, for whoever follows.
    pub newer_than: Option<i64>,
    pub older_than: Option<i64>,
    pub limit: i64,
}

/// A page of messages, the newest first.
#[derive(Debug)]
pub struct MessageList {
    pub messages: Vec<Value>,
    pub total: i64,
    /// The newest one that was shown: ask for newer ones with it.
    pub newest: Option<i64>,
    /// The oldest one of a full page.
    pub oldest: Option<i64>,
}

/// Messages of an operation; `None` when the environment has no such operation.
pub async fn list_messages(
    app: &App,
    environment: EnvironmentId,
    operation: &str,
    query: &MessageQuery,
) -> sqlx::Result<Option<MessageList>> {
    let Some(found) = find_stored(app, environment, operation).await? else { return Ok(None) };
    let filter = MessageFilter {
        search: query.search.clone().filter(|search| !search.is_empty()),
        levels: query.levels.iter().map(|level| level.as_str().to_owned()).collect(),
        from: query.period.map(|(from, _)| from),
        to: query.period.map(|(_, to)| to),
    };
    let page = match (query.newer_than, query.older_than) {
        (Some(seq), _) => MessagePage::NewerThan(seq),
        (None, Some(seq)) => MessagePage::OlderThan(seq),
        (None, None) => MessagePage::Newest,
    };
    let (rows, total) = match found.messages {
        Some(whole) => page_of_whole(whole, &filter, page, query.limit),
        None => {
            let key = (found.id.as_str(), found.created_at);
            let rows =
                log_reads::list_messages(app.logs.database(&app.db), key, &filter, page, query.limit).await?;
            (rows, log_reads::count_messages(app.logs.database(&app.db), key, &filter).await?)
        }
    };
    let is_full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= query.limit;
    let follows = query.newer_than.is_some();
    Ok(Some(MessageList {
        newest: rows.first().map(|row| row.seq).or(query.newer_than),
        oldest: rows.last().filter(|_| is_full && !follows).map(|row| row.seq),
        messages: rows.into_iter().map(|row| row.body).collect(),
        total,
    }))
}

/// The same for an operation that was written with its messages: they are few.
fn page_of_whole(
    whole: Value,
    filter: &MessageFilter,
    page: MessagePage,
    limit: i64,
) -> (Vec<StoredMessage>, i64) {
    let Value::Array(bodies) = whole else { return (Vec::new(), 0) };
    let rows = bodies.into_iter().zip(1..).map(|(body, seq)| StoredMessage { seq, body });
    let mut matching: Vec<StoredMessage> = rows.filter(|row| matches(&row.body, filter)).collect();
    let total = i64::try_from(matching.len()).unwrap_or(i64::MAX);
    let limit = usize::try_from(limit).unwrap_or(0);
    match page {
        MessagePage::Newest => matching.reverse(),
        MessagePage::OlderThan(seq) => {
            matching.retain(|row| row.seq < seq);
            matching.reverse();
        }
        MessagePage::NewerThan(seq) => {
            matching.retain(|row| row.seq > seq);
            matching.truncate(limit);
            matching.reverse();
        }
    }
    matching.truncate(limit);
    (matching, total)
}

fn matches(body: &Value, filter: &MessageFilter) -> bool {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let error = body.get("error").map(Value::to_string).unwrap_or_default();
    let code = body.pointer("/response/code").map(Value::to_string).unwrap_or_default();
    let is_found = filter.search.as_ref().is_none_or(|search| {
        format!("{} {error} {code}", text("message")).to_lowercase().contains(&search.to_lowercase())
    });
    let has_level = filter.levels.is_empty() || filter.levels.iter().any(|level| level == text("level"));
    let time = DateTime::parse_from_rfc3339(text("createdAt")).ok();
    let is_inside = |time: DateTime<chrono::FixedOffset>| {
        filter.from.is_none_or(|from| time >= from) && filter.to.is_none_or(|to| time <= to)
    };
    is_found && has_level && time.is_none_or(is_inside)
}

/// What names can be counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameCategory {
    #[default]
    Integration,
    Connection,
    Function,
}

impl NameCategory {
    /// The member of an operation that holds the name.
    fn member(self) -> &'static str {
        match self {
            NameCategory::Integration => "integrationName",
            NameCategory::Connection => "connectionName",
            NameCategory::Function => "syncConfigName",
        }
    }
}

/// The names that the newest operations have most often, for lists to choose from.
pub async fn count_names(
    app: &App,
    environment: EnvironmentId,
    category: NameCategory,
    search: &str,
) -> sqlx::Result<Vec<NameCount>> {
    log_reads::count_names(app.logs.database(&app.db), environment, category.member(), search, MOST_NAMES)
        .await
}

/// Names that the newest operations have, in their order, for fields that suggest some.
pub async fn list_recent_names(
    app: &App,
    environment: EnvironmentId,
    category: NameCategory,
) -> sqlx::Result<Vec<String>> {
    log_reads::list_recent_names(app.logs.database(&app.db), environment, category.member(), MOST_SUGGESTED)
        .await
}

/// The newest operations since `from` that failed, as the API shows them.
pub async fn list_failed(
    app: &App,
    environment: EnvironmentId,
    from: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Value>> {
    let found = log_reads::list_failed(app.logs.database(&app.db), environment, from, limit).await?;
    Ok(found.into_iter().map(show).collect())
}

/// How operations of a kind ended, for each day that is kept, the oldest first.
pub async fn count_by_day(app: &App, environment: EnvironmentId, kind: Kind) -> sqlx::Result<Vec<DayCount>> {
    let now = app.clock.now();
    let first = (now - app.config.logs.retention).date_naive().checked_add_days(Days::new(1));
    let first = first.unwrap_or(now.date_naive());
    let from = first.and_time(chrono::NaiveTime::MIN).and_utc();
    let database = app.logs.database(&app.db);
    let mut counted = log_hours::count_by_day(database, environment, kind.as_str(), from).await?;
    let days = first.iter_days().take_while(|day| *day <= now.date_naive());
    Ok(days
        .map(|day| match counted.iter().position(|count| count.day == day) {
            Some(index) => counted.swap_remove(index),
            None => DayCount { day, total: 0, success: 0, failure: 0, cancelled: 0, expired: 0, running: 0 },
        })
        .collect())
}

/// A day's counts as the API shows them.
pub fn show_day(count: &DayCount) -> Value {
    let mut shown = Map::new();
    shown.insert("key".to_owned(), count.day.to_string().into());
    let numbers = [
        ("total", count.total),
        ("success", count.success),
        ("failure", count.failure),
        ("cancelled", count.cancelled),
        ("expired", count.expired),
        ("running", count.running),
    ];
    shown.extend(numbers.map(|(name, number)| (name.to_owned(), number.into())));
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        let text = STANDARD.encode(r#"[1785578400123,"1785578400123_a8Kd03Lz"]"#);
        let cursor = OperationCursor::parse(&text).unwrap();
        assert_eq!(cursor.to_text(), text);
        for bad in ["", "x", "W10=", &STANDARD.encode(r#"[1,"x"]"#)] {
            assert_eq!(OperationCursor::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn filters_become_groups_of_terms() {
        let query = OperationQuery {
            states: vec![State::Failed, State::Timeout],
            types: vec![TypeFilter::Type("auth"), TypeFilter::Kind(Kind::ProxyCall)],
            connections: vec!["cust-42".to_owned()],
            search: Some("page 3".to_owned()),
            ..OperationQuery::default()
        };
        let filters = "('=s:failed' | '=s:timeout') & ('=t:auth' | '=k:proxy:call') & ('=c:cust-42')";
        let words = vec!["'page':*".to_owned(), "'3':*".to_owned()];
        assert_eq!(terms(&query), (filters.to_owned(), words));
        assert_eq!(terms(&OperationQuery::default()), (String::new(), Vec::new()));
    }

    #[test]
    fn pages_of_whole_operations_follow_the_cursors() {
        let bodies: Value = (1..=5).map(|n| json!({"message": format!("m{n}"), "level": "info"})).collect();
        let page = |page, limit| {
            let (rows, total) = page_of_whole(bodies.clone(), &MessageFilter::default(), page, limit);
            (rows.iter().map(|row| row.seq).collect::<Vec<_>>(), total)
        };
        assert_eq!(page(MessagePage::Newest, 2), (vec![5, 4], 5));
        assert_eq!(page(MessagePage::OlderThan(4), 2), (vec![3, 2], 5));
        assert_eq!(page(MessagePage::NewerThan(1), 2), (vec![3, 2], 5));
        let filter = MessageFilter { search: Some("M3".into()), ..MessageFilter::default() };
        assert_eq!(page_of_whole(bodies.clone(), &filter, MessagePage::Newest, 9).1, 1);
    }
}
