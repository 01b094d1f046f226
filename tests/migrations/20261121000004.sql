INSERT INTO end_users (environment_id, end_user_id, created_at, updated_at) SELECT id, 'u1', now(), now() FROM environments;
INSERT INTO connections (environment_id, integration_id, connection_id, credentials, end_user_id, created_at, updated_at)
SELECT i.environment_id, i.id, 'c1', '\x01', u.id, now(), now() FROM integrations i, end_users u;
INSERT INTO connection_errors (connection_id, type, log_id, created_at) SELECT id, 'auth', '1_a', now() FROM connections;
