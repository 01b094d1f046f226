-- How the Connect UI looks for an environment. An environment without a row has the defaults.
CREATE TABLE connect_ui_settings (
    environment_id bigint PRIMARY KEY REFERENCES environments (id),
    settings jsonb NOT NULL,
    updated_at timestamptz NOT NULL
);
