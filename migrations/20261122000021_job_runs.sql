-- How each background job went the last time, on whichever replica.
CREATE TABLE job_runs (
    name text PRIMARY KEY,
    replica uuid NOT NULL,
    started_at timestamptz NOT NULL,
    duration_ms bigint NOT NULL,
    -- What the job did, in numbers; null when it failed.
    result jsonb,
    -- Why it failed; null when it did not.
    error text,
    last_success_at timestamptz,
    runs bigint NOT NULL DEFAULT 1,
    failures bigint NOT NULL DEFAULT 0
);
