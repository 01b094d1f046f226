INSERT INTO audit_events (id, occurred_at, account_id, environment_id, environment_name, actor, targets, context, outcome,
    resource, action, metadata)
VALUES ('00000000-0000-4000-8000-000000000020', '2026-11-22T00:00:00Z', 1, 1, 'dev',
    '{"type": "api_key", "id": "1", "display": "ci"}', '[{"type": "integration", "id": "1", "display": "acme"}]',
    '{"interface": "api", "ip": "192.0.2.1"}', 'success', 'integration', 'created', '{"after": {"provider": "acme"}}');
