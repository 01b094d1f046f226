-- Connections are found by single values of their config and metadata when a provider's webhook arrives. The values are noted
-- beside the connections, because an index on the columns would be written again with every token and every read.
CREATE TABLE connection_values (
    integration_id bigint NOT NULL,
    -- Of place, name and value. Whoever looks something up compares the connection itself as well.
    hash bigint NOT NULL,
    connection_id bigint NOT NULL REFERENCES connections (id) ON DELETE CASCADE,
    PRIMARY KEY (integration_id, hash, connection_id)
);

CREATE INDEX connection_values_connection ON connection_values (connection_id);

-- The texts and numbers of an object, also those in lists. What is longer than a list of ids, or than an id, is no value that
-- anybody looks for.
CREATE FUNCTION connection_value_hashes(place text, members jsonb)
RETURNS SETOF bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$
    SELECT hashtextextended(place || '.' || member.key || '=' || (item #>> '{}'), 0)
    FROM jsonb_each(CASE jsonb_typeof(members) WHEN 'object' THEN members ELSE '{}' END) member
    CROSS JOIN LATERAL jsonb_array_elements(
        CASE jsonb_typeof(member.value)
            WHEN 'array' THEN CASE WHEN jsonb_array_length(member.value) <= 1000 THEN member.value ELSE '[]' END
            ELSE jsonb_build_array(member.value)
        END
    ) item
    WHERE jsonb_typeof(item) IN ('string', 'number') AND length(item #>> '{}') <= 1000
$$;

CREATE FUNCTION note_connection_values() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS
$$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM connection_values WHERE connection_id = NEW.id;
    END IF;
    IF NEW.deleted_at IS NULL THEN
        INSERT INTO connection_values (integration_id, hash, connection_id)
        SELECT NEW.integration_id, hash, NEW.id FROM connection_value_hashes('config', NEW.connection_config) hash
        UNION
        SELECT NEW.integration_id, hash, NEW.id FROM connection_value_hashes('metadata', NEW.metadata) hash;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER connections_values_added AFTER INSERT ON connections
    FOR EACH ROW EXECUTE FUNCTION note_connection_values();
CREATE TRIGGER connections_values_changed AFTER UPDATE OF connection_config, metadata, deleted_at ON connections
    FOR EACH ROW
    WHEN (
        OLD.connection_config IS DISTINCT FROM NEW.connection_config
        OR OLD.metadata IS DISTINCT FROM NEW.metadata
        OR OLD.deleted_at IS DISTINCT FROM NEW.deleted_at
    )
    EXECUTE FUNCTION note_connection_values();

INSERT INTO connection_values (integration_id, hash, connection_id)
SELECT c.integration_id, hash, c.id
FROM connections c CROSS JOIN LATERAL connection_value_hashes('config', c.connection_config) hash
WHERE c.deleted_at IS NULL
UNION
SELECT c.integration_id, hash, c.id
FROM connections c CROSS JOIN LATERAL connection_value_hashes('metadata', c.metadata) hash
WHERE c.deleted_at IS NULL;
