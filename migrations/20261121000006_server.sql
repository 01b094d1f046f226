-- Fingerprints of the keys that sealed values in this database may name.
CREATE TABLE encryption_keys (
    fingerprint text PRIMARY KEY,
    created_at timestamptz NOT NULL
);

-- What other replicas must drop from their caches; read by each at least every 5 seconds.
CREATE TABLE changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- 'api_key', 'environment', 'integration' or 'connection'.
    kind text NOT NULL,
    environment_id bigint NOT NULL,
    subject_id bigint NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE INDEX changes_created ON changes (created_at);

-- Background jobs that only one replica runs at a time.
CREATE TABLE job_leases (
    name text PRIMARY KEY,
    owner uuid NOT NULL,
    until timestamptz NOT NULL,
    last_started_at timestamptz NOT NULL
);
