INSERT INTO integrations (environment_id, unique_key, provider, oauth_client_secret, created_at, updated_at)
SELECT id, 'github', 'github', '\x01', now(), now() FROM environments;
