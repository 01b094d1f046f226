INSERT INTO seen_webhooks (integration_id, id_hash, is_done, expires_at)
SELECT id, '\x01', true, now() FROM integrations;
INSERT INTO webhook_handshakes (integration_id, token, received_at) SELECT id, '\x01', now() FROM integrations;
