-- Who changed what in the control plane. Rows stand for themselves: they outlive the environments and keys that they name.
CREATE TABLE audit_events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    occurred_at timestamptz NOT NULL,
    account_id bigint NOT NULL,
    environment_id bigint,
    environment_name text,
    -- {type, id, display?}
    actor jsonb NOT NULL,
    -- [{type, id, display?}]
    targets jsonb NOT NULL,
    -- {interface?, ip?, userAgent?}
    context jsonb NOT NULL,
    -- 'success', 'failure' or 'denied'.
    outcome text NOT NULL,
    resource text NOT NULL,
    action text NOT NULL,
    -- What changed, without secrets.
    metadata jsonb
);

CREATE INDEX audit_events_resource ON audit_events (account_id, resource, seq DESC);
CREATE INDEX audit_events_occurred ON audit_events (occurred_at);

-- Nobody rewrites history; retention says what it is before it deletes.
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('hitchpost.audit_retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit events can neither be changed nor deleted';
END
$$;

CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_events_not_emptied BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
