INSERT INTO audit_events (id, occurred_at, account_id, environment_id, environment_name, actor, targets, context, outcome,
    resource, action)
VALUES ('00000000-0000-4000-8000-000000000021', '2026-11-23T00:00:00Z', 1, 1, 'dev', '{"type": "user", "id": "1"}', '[]',
    '{}', 'denied', 'app_auth', 'login');
