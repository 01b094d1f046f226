INSERT INTO log_hours (environment_id, hour, kind, state, count, durations)
VALUES (1, '2026-11-23T00:00:00Z', 'proxy:call', 'success', 3, array_fill(0::bigint, ARRAY[21]));
