-- Lists and background jobs over a million connections.

-- One connection by its id, whatever its integration.
CREATE INDEX connections_id ON connections (environment_id, connection_id) WHERE deleted_at IS NULL;

-- The newest of one integration; also what the index it replaces was for.
CREATE INDEX connections_newest_of_integration
    ON connections (integration_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
DROP INDEX connections_integration;

-- Not partial: removing an end user asks whether any connection, deleted ones included, still points there.
CREATE INDEX connections_of_end_user ON connections (end_user_id);
DROP INDEX connections_end_user;
CREATE INDEX connect_sessions_connection ON connect_sessions (connection_id) WHERE connection_id IS NOT NULL;

CREATE INDEX end_users_organization ON end_users (environment_id, organization_id);

-- What the refresh job and the cleanup look for.
CREATE INDEX connections_expiring
    ON connections (credentials_expires_at) WHERE deleted_at IS NULL AND NOT refresh_exhausted;
CREATE INDEX connections_deleted ON connections (deleted_at) WHERE deleted_at IS NOT NULL;

-- Searches for a part of a text need trigrams. Without the extension, as in the embedded database or for a user who may
-- not create it, they read every row instead.
DO $$
DECLARE
    home text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
        RETURN;
    END IF;
    BEGIN
        CREATE EXTENSION IF NOT EXISTS pg_trgm;
    EXCEPTION
        WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
            RETURN;
    END;
    SELECT n.nspname INTO home FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_trgm';
    EXECUTE format('CREATE INDEX connections_id_trigrams ON connections USING gin (connection_id %I.gin_trgm_ops) WHERE deleted_at IS NULL', home);
    EXECUTE format('CREATE INDEX end_users_trigrams ON end_users USING gin (display_name %1$I.gin_trgm_ops, email %1$I.gin_trgm_ops)', home);
END
$$;
