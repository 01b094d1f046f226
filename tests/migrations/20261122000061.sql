INSERT INTO members (id, account_id, email, name, role, password_hash, created_at)
SELECT 61, id, 'ada@acme.test', 'Ada', 'administrator', '$argon2id$', now() FROM accounts LIMIT 1;
INSERT INTO member_sessions (member_id, token_hash, user_agent, address, created_at, last_seen_at, expires_at)
VALUES (61, '\x61', 'Mozilla/5.0', '192.0.2.1', now(), now(), now() + interval '30 days');
INSERT INTO member_links (account_id, kind, token_hash, member_id, email, role, created_at, expires_at)
SELECT id, 'invitation', '\x62', NULL, 'bob@acme.test', 'production_support', now(), now() + interval '7 days' FROM accounts LIMIT 1;
INSERT INTO member_recovery_codes (member_id, code_hash) VALUES (61, '\x63');
