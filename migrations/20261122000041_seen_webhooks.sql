-- Deliveries of providers, so that none is accepted twice.
CREATE TABLE seen_webhooks (
    integration_id bigint NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
    -- SHA-256 of what tells the delivery apart.
    id_hash bytea NOT NULL,
    -- False while a process works on it.
    is_done boolean NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (integration_id, id_hash)
);

CREATE INDEX seen_webhooks_expiring ON seen_webhooks (expires_at);

-- What a provider sent for the operator to confirm.
CREATE TABLE webhook_handshakes (
    integration_id bigint PRIMARY KEY REFERENCES integrations (id) ON DELETE CASCADE,
    -- Sealed.
    token bytea NOT NULL,
    received_at timestamptz NOT NULL
);
