INSERT INTO connect_sessions (environment_id, token_hash, operation_id, created_at, expires_at)
SELECT id, '\x03', '1_b', now(), now() FROM environments;
INSERT INTO oauth_sessions (id, environment_id, integration_id, connection_id, created_at)
SELECT 'state', environment_id, id, 'c1', now() FROM integrations;
