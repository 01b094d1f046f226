INSERT INTO api_keys (account_id, environment_id, kind, display_name, scopes, secret, lookup_hash, created_at)
SELECT account_id, id, 'api', 'Default', ARRAY['environment:*'], '\x01', '\x02', now() FROM environments;
