CREATE TABLE log_operations_kept_20260801 PARTITION OF log_operations_kept
    FOR VALUES FROM ('2026-08-01 00:00:00+00') TO ('2026-08-02 00:00:00+00');
CREATE TABLE log_messages_20260801 PARTITION OF log_messages
    FOR VALUES FROM ('2026-08-01 00:00:00+00') TO ('2026-08-02 00:00:00+00');
INSERT INTO log_operations (id, created_at, environment_id, kind, state, updated_at)
VALUES ('1785578400123_a8Kd03Lz', '2026-08-01 10:00:00.123+00', 1, 'proxy:call', 'failed', '2026-08-01 10:00:00.123+00');
INSERT INTO log_messages (operation_id, operation_at, created_at, body)
VALUES ('1785578400123_a8Kd03Lz', '2026-08-01 10:00:00.123+00', '2026-08-01 10:00:00.2+00', '{"message": "GET"}');
