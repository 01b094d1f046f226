-- Live connections of an environment, counted once an hour.
CREATE TABLE connection_counts (
    environment_id bigint NOT NULL REFERENCES environments (id),
    counted_at timestamptz NOT NULL,
    live bigint NOT NULL,
    PRIMARY KEY (environment_id, counted_at)
);

-- What can still be told of the last month: a number for each day on which anything changed.
INSERT INTO connection_counts (environment_id, counted_at, live)
SELECT environment_id, day + interval '1 day', sum(sum(change)) OVER (PARTITION BY environment_id ORDER BY day)
FROM (
    SELECT environment_id, date_trunc('day', created_at, 'UTC') AS day, 1 AS change FROM connections
    UNION ALL
    SELECT environment_id, date_trunc('day', deleted_at, 'UTC'), -1 FROM connections WHERE deleted_at IS NOT NULL) AS changes
WHERE day < date_trunc('day', now(), 'UTC')
GROUP BY environment_id, day;
