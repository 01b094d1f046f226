-- The trail page by page, and what it is filtered by.
CREATE INDEX audit_events_newest ON audit_events (account_id, seq DESC);
CREATE INDEX audit_events_environment ON audit_events (account_id, environment_name, seq DESC);
CREATE INDEX audit_events_outcome ON audit_events (account_id, seq DESC) WHERE outcome <> 'success';
