-- Providers that administrators define in the dashboard. They belong to the whole server, as the catalog does.
CREATE TABLE custom_providers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The entry's name, which is the `provider` of integrations.
    name text NOT NULL CONSTRAINT custom_providers_name UNIQUE,
    -- One entry in the grammar of the catalog, as it was typed.
    definition text NOT NULL,
    -- Whether an entry of this name in the catalog's files is meant to be replaced.
    replaces_entry boolean NOT NULL,
    -- Counts the changes, so that nobody overwrites what they have not seen.
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
