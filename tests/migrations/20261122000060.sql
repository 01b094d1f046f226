INSERT INTO api_keys (account_id, environment_id, kind, display_name, scopes, secret, lookup_hash, created_at, expires_at)
SELECT account_id, id, 'api', 'replaced', '{environment:*}', '\x01', '\x04', now(), now() + interval '1 day' FROM environments;
