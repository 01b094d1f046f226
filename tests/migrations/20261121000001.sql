INSERT INTO accounts (uuid, name, created_at) VALUES ('00000000-0000-4000-8000-000000000001', 'Default', now());
INSERT INTO environments (account_id, uuid, name, is_production, public_key, created_at, updated_at)
SELECT id, '00000000-0000-4000-8000-000000000002', 'dev', false, '00000000-0000-4000-8000-000000000003', now(), now() FROM accounts;
