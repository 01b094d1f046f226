INSERT INTO post_connection_runs (connection_row_id, environment_id, run_id, decided, due_at)
SELECT id, environment_id, '00000000-0000-4000-8000-000000000001', '{subdomain}', now() FROM connections;
