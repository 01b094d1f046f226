INSERT INTO log_operations (id, created_at, environment_id, kind, state, updated_at, terms)
VALUES ('1785578400124_a8Kd03Lz', '2026-08-01 10:00:00.124+00', 1, 'proxy:call', 'failed', '2026-08-01 10:00:00.124+00',
    array_to_tsvector(ARRAY['=h:10']));
