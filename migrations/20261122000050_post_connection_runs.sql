-- What is asked of providers after a connection was made or authorized again, and has not ended yet. Whoever runs it puts
-- `due_at` off first, so that another process takes over when that one dies.
CREATE TABLE post_connection_runs (
    connection_row_id bigint PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
    environment_id bigint NOT NULL REFERENCES environments (id),
    -- A later authorization replaces the run, so that the end of the earlier one does not remove it.
    run_id uuid NOT NULL,
    -- Connection config that the connect session decided.
    decided text[] NOT NULL DEFAULT '{}',
    attempts smallint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL
);

CREATE INDEX post_connection_runs_due ON post_connection_runs (due_at);
