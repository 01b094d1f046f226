INSERT INTO connect_ui_settings (environment_id, settings, updated_at)
SELECT id, '{"defaultTheme": "dark"}', now() FROM environments;
