INSERT INTO environment_variables (environment_id, name, value, updated_at)
SELECT id, 'REGION', '\x01', now() FROM environments;
