-- What `POST /environments` sets beside the columns that exist.
ALTER TABLE environments
    ADD COLUMN slack_notifications boolean NOT NULL DEFAULT false,
    ADD COLUMN otlp_endpoint text,
    -- Sealed JSON object of header names and values.
    ADD COLUMN otlp_headers bytea;
