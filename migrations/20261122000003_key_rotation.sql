-- A replaced webhook signing key signs beside its successor until then.
ALTER TABLE api_keys ADD COLUMN retired_until timestamptz;

-- Names tell live keys apart: those of an environment, and those of the account.
CREATE UNIQUE INDEX api_keys_environment_name
    ON api_keys (environment_id, display_name)
    WHERE kind = 'api' AND environment_id IS NOT NULL AND deleted_at IS NULL;
CREATE UNIQUE INDEX api_keys_account_name
    ON api_keys (account_id, display_name)
    WHERE kind = 'api' AND environment_id IS NULL AND deleted_at IS NULL;
