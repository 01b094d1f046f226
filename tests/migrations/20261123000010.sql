INSERT INTO custom_providers (name, definition, replaces_entry, created_at, updated_at)
VALUES ('acme-crm', 'acme-crm: {display_name: Acme, docs: "https://d", auth_mode: NONE}', false, now(), now());
