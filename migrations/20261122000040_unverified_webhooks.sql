-- Whether webhooks that prove nothing are accepted for an integration.
ALTER TABLE integrations ADD COLUMN accept_unverified_webhooks boolean NOT NULL DEFAULT false;
