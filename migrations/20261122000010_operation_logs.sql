-- Operation logs: what happened, and the messages that tell how. Partitioned by day, because dropping a partition is how old
-- days go; the partitions themselves are made by the server (`logs/retention.rs`).
CREATE TABLE log_operations (
    -- Milliseconds of created_at, `_`, eight random characters.
    id text NOT NULL,
    created_at timestamptz NOT NULL,
    -- Successful proxied calls: they are most of the log, kept for a shorter time and first to go when space is short.
    is_bulk boolean NOT NULL DEFAULT false,
    account_id bigint NOT NULL DEFAULT 0,
    environment_id bigint,
    -- 'proxy:call'
    kind text NOT NULL,
    -- 'waiting', 'running', 'success', 'failed', 'timeout' or 'cancelled'
    state text NOT NULL,
    level text NOT NULL DEFAULT 'info',
    message text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    -- When an operation that has not ended counts as abandoned.
    expires_at timestamptz,
    -- Names, ids, error, request and response, under their names on the wire.
    data jsonb NOT NULL DEFAULT '{}',
    -- The messages of an operation that was written as a whole: one row instead of many.
    messages jsonb,
    -- What filters and the search ask for (`logs/terms.rs`).
    terms tsvector NOT NULL DEFAULT '',
    PRIMARY KEY (is_bulk, created_at, id)
) PARTITION BY LIST (is_bulk);

CREATE TABLE log_operations_kept PARTITION OF log_operations FOR VALUES IN (false) PARTITION BY RANGE (created_at);
CREATE TABLE log_operations_bulk PARTITION OF log_operations FOR VALUES IN (true) PARTITION BY RANGE (created_at);

CREATE INDEX log_operations_newest ON log_operations (environment_id, created_at DESC, id DESC);
CREATE INDEX log_operations_terms ON log_operations USING gin (terms);
-- Few rows at any time.
CREATE INDEX log_operations_open ON log_operations (expires_at) WHERE state IN ('waiting', 'running');

-- Messages come in the order in which they arrived here, which readers that follow an operation rely on.
CREATE SEQUENCE log_message_seq;

CREATE TABLE log_messages (
    operation_id text NOT NULL,
    -- The day of the operation, so that its messages live as long as it does.
    operation_at timestamptz NOT NULL,
    seq bigint NOT NULL DEFAULT nextval('log_message_seq'),
    created_at timestamptz NOT NULL,
    level text NOT NULL DEFAULT 'info',
    -- As the API shows it.
    body jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (operation_id, operation_at, seq)
) PARTITION BY RANGE (operation_at);

-- Whether the second state comes after the first: states only move forward. What really happened is later than what was
-- presumed when nothing was heard any more. The ranks are those of `State::rank` (`logs/kind.rs`).
CREATE FUNCTION log_state_rank(state text) RETURNS integer IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT CASE state WHEN 'waiting' THEN 0 WHEN 'running' THEN 1 WHEN 'failed' THEN 3 WHEN 'success' THEN 4 ELSE 2 END $$;

CREATE FUNCTION later_log_state(before text, after text) RETURNS boolean IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT log_state_rank(after) > log_state_rank(before) $$;
