//! The newest operations under filters, and how many match.
//!
//! Filters may match almost everything or three operations of last week, and PostgreSQL's statistics do not tell which. So
//! they are first tried on the newest operations, which hold what is frequent. Only when these do not fill the page, the days
//! are asked, the newest first, through the index of terms: one, then two, then four of them at once, as long as they have little.
//! A day that has more matches than anybody wants to sort is asked hour by hour. Every statement names a span of time, so that
//! the other days' partitions are not even opened.

use std::collections::VecDeque;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use sqlx::{PgConnection, PgPool};

use super::EnvironmentId;
use super::log_reads::StoredOperation;

/// Matches are counted up to this number.
pub const COUNTED: i64 = 1000;
/// Matches of a day that are sorted to find the newest of them; more are looked at hour by hour.
const SORTED: i64 = 4000;
/// Operations on which filters are tried for a page of one. The work of both ways meets where the page is filled by as many
/// operations as a day has matches, which grows with the root of the page.
const TRIED: i64 = 800;
/// What a row costs to read, in rows that are only looked up in the index.
const READING: i64 = 25;
/// Words of a search whose frequency is looked at; the others only filter what these find.
const WEIGHED_WORDS: usize = 8;

/// Which operations of an environment.
#[derive(Debug, Clone, Default)]
pub struct OperationFilter {
    /// The text form of a `tsquery` over `logs::Terms` that names whole terms; empty for all.
    pub terms: String,
    /// Each the text form of a `tsquery` for the beginning of a word. All have to match.
    pub words: Vec<String>,
    pub from: Option<DateTime<Utc>>,
    /// Included.
    pub to: Option<DateTime<Utc>>,
    /// Only what comes after this operation in the list.
    pub after: Option<(DateTime<Utc>, String)>,
    pub limit: i64,
}

impl OperationFilter {
    fn wants_everything(&self) -> bool {
        self.terms.is_empty() && self.words.is_empty()
    }

    fn start(&self) -> DateTime<Utc> {
        self.from.unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The same operations, seen from the newest one.
    fn whole_list(&self) -> Self {
        OperationFilter { after: None, limit: 0, ..self.clone() }
    }
}

/// A page of operations and how many there are on all pages, counted up to [`COUNTED`].
#[derive(Debug)]
pub struct FoundOperations {
    pub page: Vec<StoredOperation>,
    pub total: i64,
}

/// The newest matching operations.
pub async fn find_operations(
    db: &PgPool,
    environment: EnvironmentId,
    filter: &OperationFilter,
) -> sqlx::Result<FoundOperations> {
    let mut transaction = db.begin().await?;
    prepare(&mut transaction).await?;
    let days = list_days(&mut transaction).await?;
    let mut search = Search::new(environment, filter.clone());
    if filter.after.is_some() {
        search.count_to = 0;
    }
    search.run(&mut transaction, &days).await?;
    let total = if filter.after.is_some() {
        let mut whole = Search::new(environment, filter.whole_list());
        whole.run(&mut transaction, &days).await?;
        whole.total
    } else {
        search.total
    };
    let page = read_page(&mut transaction, &search.found).await?;
    transaction.rollback().await?;
    Ok(FoundOperations { page, total: total.min(COUNTED) })
}

/// The newest matching operations, without counting how many there are.
pub async fn find_newest(
    db: &PgPool,
    environment: EnvironmentId,
    filter: &OperationFilter,
) -> sqlx::Result<Vec<StoredOperation>> {
    let mut transaction = db.begin().await?;
    prepare(&mut transaction).await?;
    let days = list_days(&mut transaction).await?;
    let mut search = Search::new(environment, filter.clone());
    search.count_to = 0;
    search.run(&mut transaction, &days).await?;
    let page = read_page(&mut transaction, &search.found).await?;
    transaction.rollback().await?;
    Ok(page)
}

/// For this transaction: plans are made for the values at hand, because the values say which days are opened. They are made
/// for short work, for which neither compiling nor other processes are worth their start.
async fn prepare(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "SELECT set_config('plan_cache_mode', 'force_custom_plan', true) AS plans, set_config('jit', 'off', true) AS jit,
             set_config('max_parallel_workers_per_gather', '0', true) AS workers"
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Days of which there may be operations, the newest first.
async fn list_days(db: &mut PgConnection) -> sqlx::Result<Vec<NaiveDate>> {
    let names = sqlx::query_scalar!(
        r#"SELECT DISTINCT right(child.relname::text, 8) AS "day!" FROM pg_inherits i
           JOIN pg_class child ON child.oid = i.inhrelid
           WHERE i.inhparent IN (to_regclass('log_operations_kept'), to_regclass('log_operations_bulk'))
           ORDER BY 1 DESC"#
    )
    .fetch_all(db)
    .await?;
    Ok(names.iter().filter_map(|name| NaiveDate::parse_from_str(name, "%Y%m%d").ok()).collect())
}

/// Where an operation is in the list.
type Key = (DateTime<Utc>, String);

/// A part of one day. `before` is excluded, and so is what does not come after the operation `edge` in the list.
#[derive(Debug, Clone)]
struct Span {
    from: DateTime<Utc>,
    before: DateTime<Utc>,
    edge: Key,
    /// The hours that it touches, when these are not all of the day.
    hours: Option<(u32, u32)>,
}

impl Span {
    /// The part of a day that a filter wants, if any.
    fn of_day(day: NaiveDate, filter: &OperationFilter) -> Option<Span> {
        let midnight = day.and_time(NaiveTime::MIN).and_utc();
        let end = day.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN).and_utc();
        // Times are stored in microseconds.
        let just_after = |time: DateTime<Utc>| time + TimeDelta::microseconds(1);
        let mut before = filter.to.filter(|to| *to < end).map_or(end, just_after);
        let mut edge = (before, String::new());
        if let Some(after) = filter.after.as_ref().filter(|after| after.0 < before) {
            before = just_after(after.0);
            edge = after.clone();
        }
        let from = midnight.max(filter.start());
        if from >= before {
            return None;
        }
        let is_whole = from == midnight && before == end;
        let last = before - TimeDelta::microseconds(1);
        Some(Span { from, before, edge, hours: (!is_whole).then(|| (from.hour(), last.hour())) })
    }

    /// What is left behind an operation.
    fn behind(&self, edge: &Key) -> Span {
        let before = self.before.min(edge.0 + TimeDelta::microseconds(1));
        let first = self.hours.map_or(0, |(first, _)| first);
        Span { from: self.from, before, edge: edge.clone(), hours: Some((first, edge.0.hour())) }
    }

    /// Its hours, the last one first.
    fn by_hour(&self) -> impl Iterator<Item = Span> + '_ {
        let (first, last) = self.hours.unwrap_or((0, 23));
        (first..=last).rev().filter_map(|hour| {
            let start = self.from.date_naive().and_hms_opt(hour, 0, 0)?.and_utc();
            let before = self.before.min(start + TimeDelta::hours(1));
            let edge = if self.edge.0 < before { self.edge.clone() } else { (before, String::new()) };
            Some(Span { from: self.from.max(start), before, edge, hours: Some((hour, hour)) })
        })
    }

    /// Spans that follow each other, the newest first, as one.
    fn over(spans: &[Span]) -> Option<Span> {
        let (newest, oldest) = (spans.first()?, spans.last()?);
        let is_of_one_day = newest.from.date_naive() == oldest.from.date_naive();
        let hours = oldest.hours.zip(newest.hours).filter(|_| is_of_one_day);
        let hours = hours.map(|((first, _), (_, last))| (first, last));
        Some(Span { from: oldest.from, before: newest.before, edge: newest.edge.clone(), hours })
    }

    fn is_an_hour(&self) -> bool {
        self.hours.is_some_and(|(first, last)| first == last)
    }

    /// The terms of its hours (`logs::Facet::Hour`), as a `tsquery`; none when they leave little of the day out.
    fn hour_terms(&self) -> Option<String> {
        let (first, last) = self.hours.filter(|(first, last)| last - first < 12)?;
        let terms: Vec<String> = (first..=last).map(|hour| format!("'=h:{hour:02}'")).collect();
        Some(format!("({})", terms.join(" | ")))
    }
}

/// What the filters found among the newest operations of a span.
struct Tried {
    seen: i64,
    matching: i64,
    keys: Vec<Key>,
    /// The last one that was seen.
    edge: Option<Key>,
    /// How many match each part of the filter: the whole terms, and the words that are weighed.
    by_part: Vec<i64>,
}

/// What was found so far.
struct Search {
    environment: EnvironmentId,
    filter: OperationFilter,
    /// Up to which number matches are counted.
    count_to: i64,
    found: Vec<Key>,
    total: i64,
    /// What the index is asked for, and what only filters its answer: words that are frequent, because the index collects all
    /// operations that have them before it compares.
    indexed: String,
    filtered: String,
}

impl Search {
    fn new(environment: EnvironmentId, filter: OperationFilter) -> Self {
        let indexed = conjunction(std::iter::once(&filter.terms).chain(&filter.words));
        Search {
            environment,
            filter,
            count_to: COUNTED,
            found: Vec::new(),
            total: 0,
            indexed,
            filtered: String::new(),
        }
    }

    async fn run(&mut self, db: &mut PgConnection, days: &[NaiveDate]) -> sqlx::Result<()> {
        let mut spans: VecDeque<Span> =
            days.iter().filter_map(|day| Span::of_day(*day, &self.filter)).collect();
        let mut budget = self.budget();
        let mut by_part = Vec::new();
        while let Some(span) = spans.pop_front() {
            let tried = self.try_newest(db, &span, budget).await?;
            add_up(&mut by_part, &tried.by_part);
            self.total += tried.matching;
            self.found.extend(tried.keys);
            budget -= tried.seen;
            if self.is_done() {
                return Ok(());
            }
            if budget == 0 {
                if let Some(edge) = tried.edge {
                    spans.push_front(span.behind(&edge));
                }
                break;
            }
        }
        if self.filter.wants_everything() {
            return Ok(());
        }
        self.weigh(&by_part);
        self.ask_index(db, spans).await
    }

    /// On how many operations the filters are tried before the index is asked.
    fn budget(&self) -> i64 {
        if self.filter.wants_everything() {
            return self.filter.limit.max(self.count_to);
        }
        // Whoever only counts has no page to fill.
        TRIED * self.filter.limit.max(1).isqrt()
    }

    fn missing(&self) -> i64 {
        self.filter.limit.saturating_sub(i64::try_from(self.found.len()).unwrap_or(i64::MAX)).max(0)
    }

    fn is_done(&self) -> bool {
        self.missing() == 0 && self.total >= self.count_to
    }

    /// Decides which words the index is asked for, by how many of the newest operations have them. Collecting a word's
    /// operations in the index costs a fraction of reading the operations that the rarest part of the filter finds.
    fn weigh(&mut self, by_part: &[i64]) {
        let has_terms = !self.filter.terms.is_empty();
        let words = by_part.iter().skip(usize::from(has_terms));
        let rarest = by_part.iter().min().copied().unwrap_or(0).max(1);
        let (mut indexed, mut filtered) = (vec![&self.filter.terms], Vec::new());
        for (word, count) in self.filter.words.iter().zip(words) {
            let is_worth_it = *count <= rarest.saturating_mul(READING);
            let part = if is_worth_it { &mut indexed } else { &mut filtered };
            part.push(word);
        }
        filtered.extend(self.filter.words.iter().skip(WEIGHED_WORDS));
        (self.indexed, self.filtered) = (conjunction(indexed), conjunction(filtered));
    }

    /// Takes what the index finds in these spans, which follow each other. What is rare is looked for in more and more of them
    /// at once; one in which there is too much to be sorted is cut into hours.
    async fn ask_index(&mut self, db: &mut PgConnection, mut spans: VecDeque<Span>) -> sqlx::Result<()> {
        let mut width = 1;
        while !self.is_done() {
            let together: Vec<Span> = spans.iter().take(width).cloned().collect();
            let Some(whole) = Span::over(&together) else { return Ok(()) };
            if self.take_from_index(db, &whole).await? {
                spans.drain(..together.len());
                width *= 2;
            } else if together.len() > 1 {
                width = together.len() / 2;
            } else {
                spans.pop_front();
                width = 1;
                if whole.is_an_hour() {
                    let keys = self.newest_of_hour(db, &whole).await?;
                    self.found.extend(keys);
                } else {
                    let hours: Vec<Span> = whole.by_hour().collect();
                    hours.into_iter().rev().for_each(|hour| spans.push_front(hour));
                }
            }
        }
        Ok(())
    }

    /// Takes what the index finds in a span: keys while the page is not full, and the number. `false`: there is too much.
    async fn take_from_index(&mut self, db: &mut PgConnection, span: &Span) -> sqlx::Result<bool> {
        let missing = self.missing();
        let most = if missing == 0 { self.count_to - self.total } else { SORTED + 1 };
        let (number, keys) = self.probe(db, span, most, missing).await?;
        if missing > 0 && number > SORTED {
            return Ok(false);
        }
        self.total += number;
        self.found.extend(keys);
        Ok(true)
    }

    /// The newest matches of an hour that has very many.
    async fn newest_of_hour(&mut self, db: &mut PgConnection, hour: &Span) -> sqlx::Result<Vec<Key>> {
        self.total += SORTED;
        let missing = self.missing();
        let tried = self.try_newest(db, hour, self.budget()).await?;
        if i64::try_from(tried.keys.len()).unwrap_or(i64::MAX) >= missing {
            return Ok(tried.keys);
        }
        Ok(self.probe(db, hour, i64::MAX, missing).await?.1)
    }

    /// Tries the filter on the `reach` newest operations of a span.
    async fn try_newest(&self, db: &mut PgConnection, span: &Span, reach: i64) -> sqlx::Result<Tried> {
        let has_terms = !self.filter.terms.is_empty();
        let parts = has_terms.then_some(&self.filter.terms).into_iter();
        let parts: Vec<String> = parts.chain(self.filter.words.iter().take(WEIGHED_WORDS)).cloned().collect();
        let query = conjunction(std::iter::once(&self.filter.terms).chain(&self.filter.words));
        let row = sqlx::query!(
            r#"WITH newest AS MATERIALIZED (
                   SELECT created_at, id, terms FROM log_operations
                   WHERE environment_id = $1 AND created_at >= $2 AND created_at < $3 AND (created_at, id) < ($4, $5)
                   ORDER BY created_at DESC, id DESC LIMIT $6),
               hits AS MATERIALIZED (
                   SELECT created_at, id FROM newest WHERE $7 = '' OR terms @@ $7::text::tsquery)
               SELECT (SELECT count(*) FROM newest) AS "seen!", (SELECT count(*) FROM hits) AS "matching!",
                   ARRAY(SELECT created_at FROM hits ORDER BY created_at DESC, id DESC LIMIT $8) AS "times!",
                   ARRAY(SELECT id FROM hits ORDER BY created_at DESC, id DESC LIMIT $8) AS "ids!",
                   (SELECT min(created_at) FROM newest) AS edge_at,
                   (SELECT id FROM newest ORDER BY created_at, id LIMIT 1) AS edge_id,
                   ARRAY(SELECT (SELECT count(*) FROM newest WHERE terms @@ part::tsquery)
                         FROM unnest($9::text[]) WITH ORDINALITY AS parts (part, number) ORDER BY number) AS "by_part!""#,
            self.environment.0,
            span.from,
            span.before,
            span.edge.0,
            span.edge.1,
            reach,
            query,
            self.missing(),
            &parts
        )
        .fetch_one(db)
        .await?;
        Ok(Tried {
            seen: row.seen,
            matching: row.matching,
            keys: row.times.into_iter().zip(row.ids).collect(),
            edge: row.edge_at.zip(row.edge_id),
            by_part: row.by_part,
        })
    }

    /// How many operations of a span the index finds, counted up to `most`, and the newest `wanted` of those.
    ///
    /// The first part is planned as if all were wanted, which makes it use the index, but carried out only as far as the
    /// second part asks.
    async fn probe(
        &self,
        db: &mut PgConnection,
        span: &Span,
        most: i64,
        wanted: i64,
    ) -> sqlx::Result<(i64, Vec<Key>)> {
        let hours = span.hour_terms();
        let environment = format!("'=e:{}'", self.environment.0);
        let indexed = conjunction([&self.indexed, &environment].into_iter().chain(&hours));
        let row = sqlx::query!(
            r#"WITH every AS MATERIALIZED (
                   SELECT created_at, id FROM log_operations
                   WHERE environment_id = $1 AND created_at >= $2 AND created_at < $3 AND (created_at, id) < ($4, $5)
                     AND terms @@ $6::text::tsquery
                     AND ($7 = '' OR (terms || ''::tsvector) @@ $7::text::tsquery)),
               hits AS MATERIALIZED (SELECT created_at, id FROM every LIMIT $8)
               SELECT (SELECT count(*) FROM hits) AS "number!",
                   ARRAY(SELECT created_at FROM hits ORDER BY created_at DESC, id DESC LIMIT $9) AS "times!",
                   ARRAY(SELECT id FROM hits ORDER BY created_at DESC, id DESC LIMIT $9) AS "ids!""#,
            self.environment.0,
            span.from,
            span.before,
            span.edge.0,
            span.edge.1,
            indexed,
            self.filtered,
            most,
            wanted
        )
        .fetch_one(db)
        .await?;
        Ok((row.number, row.times.into_iter().zip(row.ids).collect()))
    }
}

fn add_up(sums: &mut Vec<i64>, more: &[i64]) {
    sums.resize(more.len(), 0);
    sums.iter_mut().zip(more).for_each(|(sum, one)| *sum += one);
}

/// All of these have to match; empty ones say nothing.
fn conjunction<'q>(queries: impl IntoIterator<Item = &'q String>) -> String {
    let given: Vec<&str> =
        queries.into_iter().map(String::as_str).filter(|query| !query.is_empty()).collect();
    given.join(" & ")
}

/// The operations themselves, in the order of the list.
async fn read_page(db: &mut PgConnection, keys: &[Key]) -> sqlx::Result<Vec<StoredOperation>> {
    let (Some(newest), Some(oldest)) = (keys.first(), keys.last()) else { return Ok(Vec::new()) };
    let times: Vec<DateTime<Utc>> = keys.iter().map(|key| key.0).collect();
    let ids: Vec<String> = keys.iter().map(|key| key.1.clone()).collect();
    sqlx::query_as!(
        StoredOperation,
        r#"SELECT o.id AS "id!", o.created_at AS "created_at!", account_id AS "account_id!", environment_id,
               kind AS "kind!", state AS "state!", level AS "level!", message AS "message!",
               updated_at AS "updated_at!", started_at, ended_at, expires_at, data AS "data!", messages
           FROM unnest($1::timestamptz[], $2::text[]) AS key (created_at, id)
           CROSS JOIN LATERAL (
               SELECT * FROM log_operations
               WHERE is_bulk IN (true, false) AND created_at = key.created_at AND id = key.id
                 AND created_at >= $3 AND created_at <= $4 OFFSET 0) o
           ORDER BY o.created_at DESC, o.id DESC"#,
        &times,
        &ids,
        oldest.0,
        newest.0
    )
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use chrono::Datelike;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        format!("{text}Z").parse().unwrap()
    }

    fn day() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 8, 2).unwrap()
    }

    /// Where it begins and ends, and its hours.
    type Shown = (String, String, Option<(u32, u32)>);

    fn span(filter: &OperationFilter) -> Option<Shown> {
        let shown = |time: DateTime<Utc>| time.format("%d %H:%M:%S%.6f").to_string();
        Span::of_day(day(), filter).map(|span| (shown(span.from), shown(span.before), span.hours))
    }

    #[test]
    fn a_span_is_what_a_filter_wants_of_a_day() {
        let none = OperationFilter::default();
        let whole = ("02 00:00:00.000000".to_owned(), "03 00:00:00.000000".to_owned(), None);
        assert_eq!(span(&none), Some(whole));
        let morning = OperationFilter {
            from: Some(time("2026-08-01T10:00:00")),
            to: Some(time("2026-08-02T09:00:00")),
            ..none.clone()
        };
        let part = |end: &str, hours| Some(("02 00:00:00.000000".to_owned(), end.to_owned(), Some(hours)));
        assert_eq!(span(&morning), part("02 09:00:00.000001", (0, 9)));
        let after = Some((time("2026-08-02T07:30:00"), "x".to_owned()));
        assert_eq!(span(&OperationFilter { after, ..morning.clone() }), part("02 07:30:00.000001", (0, 7)));
        for (from, to) in [(Some("2026-08-03T00:00:00"), None), (None, Some("2026-08-01T23:59:59"))] {
            let filter = OperationFilter { from: from.map(time), to: to.map(time), ..none.clone() };
            assert_eq!(span(&filter), None, "{filter:?}");
        }
    }

    #[test]
    fn hours_of_a_span_come_backwards_and_stay_inside() {
        let filter = OperationFilter {
            from: Some(time("2026-08-02T05:30:00")),
            after: Some((time("2026-08-02T07:15:00"), "x".to_owned())),
            ..OperationFilter::default()
        };
        let span = Span::of_day(day(), &filter).unwrap();
        assert_eq!(span.hour_terms().unwrap(), "('=h:05' | '=h:06' | '=h:07')");
        let hours: Vec<(DateTime<Utc>, DateTime<Utc>, String)> =
            span.by_hour().map(|hour| (hour.from, hour.before, hour.edge.1)).collect();
        let just_after = TimeDelta::microseconds(1);
        assert_eq!(
            hours,
            [
                (time("2026-08-02T07:00:00"), time("2026-08-02T07:15:00") + just_after, "x".to_owned()),
                (time("2026-08-02T06:00:00"), time("2026-08-02T07:00:00"), String::new()),
                (time("2026-08-02T05:30:00"), time("2026-08-02T06:00:00"), String::new()),
            ]
        );
    }

    #[test]
    fn spans_that_follow_each_other_are_one() {
        let filter = OperationFilter {
            from: Some(time("2026-08-01T10:00:00")),
            after: Some((time("2026-08-03T07:15:00"), "x".to_owned())),
            ..OperationFilter::default()
        };
        let days: Vec<Span> =
            [3, 2, 1].iter().filter_map(|number| Span::of_day(day().with_day(*number)?, &filter)).collect();
        let whole = Span::over(&days).unwrap();
        let before = time("2026-08-03T07:15:00") + TimeDelta::microseconds(1);
        assert_eq!((whole.from, whole.before, whole.hours), (time("2026-08-01T10:00:00"), before, None));
        assert_eq!(whole.edge.1, "x");
        let hours: Vec<Span> = days[2].by_hour().take(3).collect();
        let whole = Span::over(&hours).unwrap();
        assert_eq!((whole.from, whole.hours), (time("2026-08-01T21:00:00"), Some((21, 23))));
        assert!(!whole.is_an_hour() && hours[0].is_an_hour());
        assert_eq!(Span::over(&days[1..2]).unwrap().hours, None);
        assert!(Span::over(&[]).is_none());
    }

    #[test]
    fn the_index_is_asked_for_words_that_are_not_much_more_frequent_than_the_rest() {
        let words = ["'a':*", "'b':*", "'c':*"].map(str::to_owned).to_vec();
        let filter = OperationFilter { terms: "'=s:failed'".to_owned(), words, ..OperationFilter::default() };
        for (by_part, indexed, filtered) in [
            ([100, 90, 80, 70], "'=s:failed' & 'a':* & 'b':* & 'c':*", ""),
            ([100, 4000, 0, 25], "'=s:failed' & 'b':* & 'c':*", "'a':*"),
            ([2, 50, 51, 4000], "'=s:failed' & 'a':*", "'b':* & 'c':*"),
        ] {
            let mut search = Search::new(EnvironmentId(1), filter.clone());
            search.weigh(&by_part);
            assert_eq!(
                (search.indexed.as_str(), search.filtered.as_str()),
                (indexed, filtered),
                "{by_part:?}"
            );
        }
    }
}
