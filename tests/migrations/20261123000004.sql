INSERT INTO connection_counts (environment_id, counted_at, live) VALUES (1, '2026-11-23T00:00:00Z', 2);
