-- A new connection is told only when what it is asked about itself was stored, or when that takes too long.
ALTER TABLE webhook_deliveries
    -- Not sent before, though the queue may be due.
    ADD COLUMN held_until timestamptz,
    -- The run of hooks (`post_connection_runs.run_id`) whose end lets it go.
    ADD COLUMN held_for uuid;

CREATE INDEX webhook_deliveries_held ON webhook_deliveries (held_for) WHERE held_for IS NOT NULL;
