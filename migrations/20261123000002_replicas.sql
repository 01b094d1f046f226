-- The processes that serve this database. Each renews its row; one that ends takes it along.
CREATE TABLE replicas (
    id uuid PRIMARY KEY,
    hostname text NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    -- Bytes; NULL where the system does not tell.
    memory bigint,
    -- Entries of the operation log that wait, and those that were lost since the start.
    log_queue bigint NOT NULL,
    log_lost bigint NOT NULL
);

-- Connections whose refreshes fail, the newest failure first.
CREATE INDEX connections_failing ON connections (last_refresh_failure DESC)
    WHERE deleted_at IS NULL AND last_refresh_failure IS NOT NULL;
