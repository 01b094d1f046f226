-- Where an environment's webhooks go and what is worth one. An environment without a row has the defaults.
CREATE TABLE webhook_settings (
    environment_id bigint PRIMARY KEY REFERENCES environments (id),
    primary_url text,
    secondary_url text,
    on_sync_completion_always boolean NOT NULL DEFAULT true,
    on_auth_creation boolean NOT NULL DEFAULT true,
    on_auth_refresh_error boolean NOT NULL DEFAULT true,
    on_sync_error boolean NOT NULL DEFAULT true,
    on_async_action_completion boolean NOT NULL DEFAULT true,
    updated_at timestamptz NOT NULL
);
