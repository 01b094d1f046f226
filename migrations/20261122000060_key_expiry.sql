-- A replaced key still works until then.
ALTER TABLE api_keys ADD COLUMN expires_at timestamptz;
