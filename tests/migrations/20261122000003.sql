INSERT INTO api_keys (account_id, environment_id, kind, display_name, scopes, secret, lookup_hash, created_at, deleted_at, retired_until)
SELECT account_id, id, 'webhook_signing', 'Webhook signing', '{}', '\x01', '\x03', now(), now(), now() + interval '1 day' FROM environments;
