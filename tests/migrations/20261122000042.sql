-- Values of new connections, changed and deleted ones.
INSERT INTO connections (environment_id, integration_id, connection_id, connection_config, metadata, created_at, updated_at)
SELECT environment_id, id, 'valued', '{"team.id": "T1", "n": 5, "x": {}, "l": ["a", "a", 1]}', '[1]', now(), now()
FROM integrations;
UPDATE connections SET metadata = '{"a": "b"}' WHERE connection_id = 'valued';
UPDATE connections SET deleted_at = now() WHERE connection_id = 'valued';
