//! The forms of the settings with what is stored.

use crate::dashboard::form::Form;
use crate::db::environments::EnvironmentSettings;
use crate::db::webhook_settings::WebhookSettings;
use crate::environments::connect_ui::{ConnectUiSettings, DefaultTheme};

/// Where webhooks go, and about what.
pub fn of_webhooks(settings: &WebhookSettings) -> Form {
    let form = Form::filled([
        ("primary_url", settings.primary_url.as_deref().unwrap_or_default()),
        ("secondary_url", settings.secondary_url.as_deref().unwrap_or_default()),
    ]);
    let events = [
        ("on_auth_creation", settings.on_auth_creation),
        ("on_auth_refresh_error", settings.on_auth_refresh_error),
        ("on_sync_completion_always", settings.on_sync_completion_always),
        ("on_sync_error", settings.on_sync_error),
        ("on_async_action_completion", settings.on_async_action_completion),
    ];
    events.into_iter().fold(form, |form, (name, is_on)| checked(form, name, is_on))
}

/// The callback address and where traces go.
pub fn of_addresses(settings: &EnvironmentSettings) -> Form {
    Form::filled([
        ("callback_url", settings.callback_url.as_deref().unwrap_or_default()),
        ("otlp_endpoint", settings.otlp_endpoint.as_deref().unwrap_or_default()),
    ])
}

/// Whether sign-ins need a signature. The key is never in a form.
pub fn of_signature(settings: &EnvironmentSettings) -> Form {
    checked(Form::default(), "hmac_enabled", settings.hmac_enabled)
}

/// How the Connect UI looks.
pub fn of_look(settings: &ConnectUiSettings) -> Form {
    let theme = match settings.default_theme {
        DefaultTheme::Light => "light",
        DefaultTheme::Dark => "dark",
        DefaultTheme::System => "system",
    };
    let form = Form::filled([
        ("light", &*settings.theme.light.primary),
        ("dark", &*settings.theme.dark.primary),
        ("defaultTheme", theme),
        ("logo", settings.logo.as_deref().unwrap_or_default()),
        ("fontFamily", settings.font_family.as_deref().unwrap_or_default()),
        ("borderRadius", settings.border_radius.as_deref().unwrap_or_default()),
    ]);
    checked(form, "showWatermark", settings.show_watermark)
}

fn checked(form: Form, name: &str, is_on: bool) -> Form {
    if is_on { form.or(name, "on") } else { form }
}
