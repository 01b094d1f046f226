//! Pages of operations under filters, compared with what a plain reading of all operations gives.

use chrono::{Days, NaiveTime};
use hitchpost::db::log_partitions::{self, LogTable};
use hitchpost::logs::{self, OperationCursor, OperationQuery, State};

use crate::support::{TestApp, run};

/// Yesterday has an hour of trouble that is larger than what is sorted at once; today is larger than what is tried at first.
/// One in a thousand has a word of its own, one in a hundred failed.
const ROWS: &str = "
WITH made AS (
    SELECT i, $2::timestamptz + CASE WHEN i <= 4300 THEN interval '12 hours' + i * interval '800 milliseconds'
                                     ELSE (i - 4300) * interval '70 seconds' END AS made_at, i <= 4300 AS is_trouble
    FROM generate_series(1, 5200) AS i
    UNION ALL
    SELECT i, $2::timestamptz + interval '1 day' + (i - 5200) * interval '18 seconds', false FROM generate_series(5201, 9700) AS i)
INSERT INTO log_operations (id, created_at, environment_id, is_bulk, kind, state, message, updated_at, terms)
SELECT floor(extract(epoch FROM made_at) * 1000)::bigint || '_' || lpad(i::text, 8, 'a'), date_trunc('milliseconds', made_at), $1::bigint,
    i % 2 = 0, 'proxy:call', CASE WHEN i % 100 = 3 THEN 'failed' ELSE 'success' END,
    CASE WHEN is_trouble THEN 'outage' ELSE 'quiet' END || CASE WHEN i % 1000 = 9 THEN ' needle' ELSE '' END, made_at,
    array_to_tsvector(ARRAY['=e:' || $1::bigint, '=s:' || CASE WHEN i % 100 = 3 THEN 'failed' ELSE 'success' END, '=t:proxy',
        '=k:proxy:call', '=c:c' || i % 700, '=h:' || to_char(made_at AT TIME ZONE 'UTC', 'HH24'),
        CASE WHEN is_trouble THEN 'outage' ELSE 'quiet' END, 'word' || i % 40]
        || CASE WHEN i % 1000 = 9 THEN ARRAY['needle'] ELSE ARRAY[]::text[] END)
FROM made";

struct World {
    app: TestApp,
    yesterday: chrono::DateTime<chrono::Utc>,
}

impl World {
    async fn start() -> World {
        let app = TestApp::start().await;
        let today = app.now().date_naive();
        let yesterday = today.checked_sub_days(Days::new(1)).unwrap();
        for day in [yesterday, today] {
            for table in [LogTable::Operations, LogTable::Bulk] {
                log_partitions::ensure(&app.app.db, table, day).await.unwrap();
            }
        }
        let yesterday = yesterday.and_time(NaiveTime::MIN).and_utc();
        let insert = sqlx::query(ROWS).bind(app.environment_id.0).bind(yesterday);
        insert.execute(&app.app.db).await.unwrap();
        World { app, yesterday }
    }

    /// Every operation that matches, the newest first.
    async fn expected(&self, condition: &str) -> Vec<String> {
        let all = format!(
            "SELECT id FROM log_operations WHERE environment_id = $1 AND {condition} ORDER BY created_at DESC, id DESC"
        );
        let all = sqlx::query_scalar(sqlx::AssertSqlSafe(all)).bind(self.app.environment_id.0);
        all.fetch_all(&self.app.app.db).await.unwrap()
    }

    /// All pages, and the total that each of them tells.
    async fn pages(&self, query: OperationQuery) -> (Vec<String>, Vec<i64>) {
        let (mut ids, mut totals) = (Vec::new(), Vec::new());
        let mut after: Option<OperationCursor> = None;
        loop {
            let query = OperationQuery { after, ..query.clone() };
            let page = logs::list_operations(&self.app.app, self.app.environment_id, &query).await.unwrap();
            ids.extend(page.operations.iter().map(|operation| operation["id"].as_str().unwrap().to_owned()));
            totals.push(page.total);
            after = page.next;
            if after.is_none() {
                return (ids, totals);
            }
        }
    }
}

fn searching(text: &str, limit: i64) -> OperationQuery {
    OperationQuery { search: Some(text.to_owned()), limit, ..OperationQuery::default() }
}

#[test]
fn every_page_of_every_filter_is_what_a_plain_reading_gives() {
    run(async {
        let world = World::start().await;
        let at = |minutes| world.yesterday + chrono::TimeDelta::minutes(minutes);
        let during = |from, to, query| OperationQuery { period: Some((at(from), at(to))), ..query };
        let failed =
            || OperationQuery { states: vec![State::Failed], limit: 40, ..OperationQuery::default() };
        let connection = OperationQuery { connections: vec!["c77".into()], ..failed() };
        let connection = OperationQuery { states: Vec::new(), ..connection };
        let noon = format!(
            "created_at BETWEEN '{}' AND '{}'",
            at(11 * 60 + 50).to_rfc3339(),
            at(12 * 60 + 20).to_rfc3339()
        );
        for (query, condition) in [
            (OperationQuery { limit: 500, ..OperationQuery::default() }, "true".to_owned()),
            (searching("outage", 500), "message LIKE 'outage%'".to_owned()),
            (searching("need", 3), "message LIKE '%needle'".to_owned()),
            (searching("quiet needle", 100), "message = 'quiet needle'".to_owned()),
            (searching("outage needle word", 100), "message = 'outage needle'".to_owned()),
            (searching("word9 outage", 30), "message LIKE 'outage%' AND terms @@ 'word9'".to_owned()),
            (searching("nothing", 25), "false".to_owned()),
            (failed(), "state = 'failed'".to_owned()),
            (connection, "terms @@ '''=c:c77'''".to_owned()),
            (during(710, 740, searching("outage", 200)), format!("message LIKE 'outage%' AND {noon}")),
            (during(710, 740, failed()), format!("state = 'failed' AND {noon}")),
        ] {
            let expected = world.expected(&condition).await;
            let (found, totals) = world.pages(query.clone()).await;
            assert!(found == expected, "{query:?}: {} instead of {}", found.len(), expected.len());
            let total = i64::try_from(expected.len()).unwrap().min(1000);
            assert!(totals.iter().all(|one| *one == total), "{query:?}: {totals:?} instead of {total}");
        }
        let plan: String =
            sqlx::query_scalar("SHOW plan_cache_mode").fetch_one(&world.app.app.db).await.unwrap();
        assert_eq!(plan, "auto", "settings of a search stay with it");
    });
}
