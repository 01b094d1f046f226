INSERT INTO webhook_agreed_secrets (integration_id, address_hash, secret, agreed_at) SELECT id, '\x01', '\x02', now() FROM integrations;
