-- Connections that were deleted with their integration or environment and whose provider has not been told yet. Their own
-- rows hold no credentials any more; these do until the provider was told or is given up. Whoever tells it puts `due_at`
-- off first, so that another process takes over when that one dies.
CREATE TABLE pre_deletion_runs (
    connection_row_id bigint PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
    environment_id bigint NOT NULL REFERENCES environments (id),
    -- Sealed, as they were in the connection.
    credentials bytea,
    connection_config jsonb NOT NULL,
    -- Counted when an attempt begins, so that one that kills its process is not made for ever.
    attempts smallint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL
);

CREATE INDEX pre_deletion_runs_due ON pre_deletion_runs (due_at);
