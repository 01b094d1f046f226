INSERT INTO webhook_endpoints (environment_id, url, updated_at) SELECT id, 'https://hooks.example.com', now() FROM environments;
INSERT INTO webhook_queues (endpoint_id, name, waiting, due_at) SELECT id, E'github\nc1', 1, now() FROM webhook_endpoints;
INSERT INTO webhook_deliveries (uuid, environment_id, queue_id, target, url, type, event, provider_config_key, connection_id, content, state, created_at, queued_at)
SELECT '00000000-0000-4000-8000-000000000005', e.environment_id, q.id, 'primary', e.url, 'auth', 'creation', 'github', 'c1', '\x01', 'waiting', now(), now()
FROM webhook_queues q JOIN webhook_endpoints e ON e.id = q.endpoint_id;
INSERT INTO webhook_attempts (delivery_id, number, started_at, duration_ms, status, answer) SELECT id, 1, now(), 12, 500, '\x01' FROM webhook_deliveries;
