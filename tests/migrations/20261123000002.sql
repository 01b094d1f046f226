INSERT INTO replicas (id, hostname, version, started_at, seen_at, memory, log_queue, log_lost)
VALUES ('00000000-0000-4000-8000-000000000023', 'web-1', '0.1.0', '2026-11-23T00:00:00Z', '2026-11-23T00:01:00Z', 50000000, 3, 0);
