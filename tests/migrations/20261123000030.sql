INSERT INTO pre_deletion_runs (connection_row_id, environment_id, credentials, connection_config, due_at)
SELECT id, environment_id, credentials, connection_config, now() FROM connections;
