-- Values that running functions read; names are unique within an environment.
CREATE TABLE environment_variables (
    environment_id bigint NOT NULL REFERENCES environments (id),
    name text NOT NULL,
    -- Sealed.
    value bytea NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (environment_id, name)
);
