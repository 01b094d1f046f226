-- Operations counted by the hour in which they began, so that nobody has to read the log to draw a chart. The writer of the
-- log keeps the counts in the transactions of its batches (`logs/tally.rs`).
CREATE TABLE log_hours (
    -- No reference: the log outlives environments, and is written after they are gone.
    environment_id bigint NOT NULL,
    hour timestamptz NOT NULL,
    -- 'proxy:call'
    kind text NOT NULL,
    state text NOT NULL,
    count bigint NOT NULL,
    -- How many took how long: one number for each bound of `logs/tally.rs`, and one for the rest. Of operations that ended.
    durations bigint[] NOT NULL,
    PRIMARY KEY (environment_id, hour, kind, state)
) WITH (fillfactor = 60);

CREATE INDEX log_hours_hour ON log_hours (hour);

-- What was logged before.
INSERT INTO log_hours (environment_id, hour, kind, state, count, durations)
SELECT environment_id, date_trunc('hour', created_at, 'UTC'), kind, state, count(*),
    ARRAY[
        count(*) FILTER (WHERE bucket = 0), count(*) FILTER (WHERE bucket = 1), count(*) FILTER (WHERE bucket = 2),
        count(*) FILTER (WHERE bucket = 3), count(*) FILTER (WHERE bucket = 4), count(*) FILTER (WHERE bucket = 5),
        count(*) FILTER (WHERE bucket = 6), count(*) FILTER (WHERE bucket = 7), count(*) FILTER (WHERE bucket = 8),
        count(*) FILTER (WHERE bucket = 9), count(*) FILTER (WHERE bucket = 10), count(*) FILTER (WHERE bucket = 11),
        count(*) FILTER (WHERE bucket = 12), count(*) FILTER (WHERE bucket = 13), count(*) FILTER (WHERE bucket = 14),
        count(*) FILTER (WHERE bucket = 15), count(*) FILTER (WHERE bucket = 16), count(*) FILTER (WHERE bucket = 17),
        count(*) FILTER (WHERE bucket = 18), count(*) FILTER (WHERE bucket = 19), count(*) FILTER (WHERE bucket = 20)]
FROM (
    SELECT environment_id, created_at, kind, state,
        CASE WHEN state NOT IN ('waiting', 'running') THEN
            width_bucket(floor(extract(epoch FROM ended_at - started_at) * 1000)::bigint, ARRAY[1, 2, 5, 10, 20, 35, 50, 75,
                100, 150, 200, 300, 500, 750, 1000, 1500, 2500, 5000, 10000, 30000]::bigint[])
        END AS bucket
    FROM log_operations WHERE environment_id IS NOT NULL) AS operations
GROUP BY 1, 2, 3, 4;

-- What the first page of an environment lists.
CREATE INDEX log_operations_failed ON log_operations (environment_id, created_at DESC, id DESC) WHERE state = 'failed';
