INSERT INTO job_runs (name, replica, started_at, duration_ms, result, last_success_at)
VALUES ('cleanup', '00000000-0000-4000-8000-000000000021', '2026-11-22T00:00:00Z', 12, '{"connections": 3}', '2026-11-22T00:00:00Z');
