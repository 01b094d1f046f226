INSERT INTO encryption_keys (fingerprint, created_at) VALUES ('f', now());
INSERT INTO changes (kind, environment_id, subject_id, created_at) VALUES ('connection', 1, 1, now());
INSERT INTO job_leases (name, owner, until, last_started_at) VALUES ('cleanup', '00000000-0000-4000-8000-000000000004', now(), now());
