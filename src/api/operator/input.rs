//! Bodies of the operator's routes. Settings files have the same members, so they are read here too.

use serde_json::Value;
use url::Url;

use crate::api::environments::{HMAC_KEY, read_headers};
use crate::api::input::formats::{ENVIRONMENT_NAME, Format, URL};
use crate::api::input::{IssueCode, ObjectReader, TextRule};
use crate::crypto::Secret;
use crate::environments::connect_ui::{ConnectUiSettings, DefaultTheme, Palette, Theme};
use crate::environments::settings::EnvironmentPatch;
use crate::environments::variables::Variable;
use crate::environments::webhooks::WebhookPatch;

/// Longest webhook address, in characters.
const MAX_ADDRESS: usize = 255;
const MAX_VARIABLES: usize = 1000;
/// The name of a variable.
pub const VARIABLE_NAME: TextRule = TextRule::length(1, 256);
/// The value of a variable, in characters.
pub const VARIABLE_VALUE: TextRule = TextRule::length(0, 65_536);

// Values that end up in a style sheet: nothing that could end a declaration or fetch something.
const COLOUR: TextRule = TextRule {
    format: Some(Format::new("a CSS colour", |text| is_css(text, b"#(),.%/ -"))),
    min: 1,
    max: 100,
};
const FONT: TextRule = TextRule {
    format: Some(Format::new("a CSS font list", |text| is_css(text, b"'\", _-"))),
    min: 1,
    max: 200,
};
const LENGTH: TextRule =
    TextRule { format: Some(Format::new("a CSS length", |text| is_css(text, b".%"))), min: 1, max: 20 };
const LOGO: TextRule = TextRule {
    format: Some(Format::new("an https URL", |text| {
        text.starts_with("https://") && Url::parse(text).is_ok()
    })),
    min: 0,
    max: 2000,
};
const THEMES: [(&str, DefaultTheme); 3] =
    [("light", DefaultTheme::Light), ("dark", DefaultTheme::Dark), ("system", DefaultTheme::System)];

fn is_css(text: &str, punctuation: &[u8]) -> bool {
    let is_harmless = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || punctuation.contains(&byte));
    is_harmless && !text.to_ascii_lowercase().contains("url(")
}

/// The body of `PATCH /api/v1/environments`.
pub fn read_environment_patch(body: &mut ObjectReader<'_>) -> EnvironmentPatch {
    EnvironmentPatch { name: body.optional_text("name", &ENVIRONMENT_NAME), ..read_environment(body) }
}

/// The members of an environment that a settings file has too, where the name is the key of the entry.
pub fn read_environment(body: &mut ObjectReader<'_>) -> EnvironmentPatch {
    EnvironmentPatch {
        name: None,
        is_production: body.optional_bool("is_production"),
        callback_url: cleared(body, "callback_url")
            .or_else(|| body.optional_text_or_empty("callback_url", &URL)),
        hmac_enabled: body.optional_bool("hmac_enabled"),
        hmac_key: cleared(body, "hmac_key")
            .or_else(|| body.optional_text("hmac_key", &HMAC_KEY))
            .map(Secret::new),
        slack_notifications: body.optional_bool("slack_notifications"),
        otlp_endpoint: cleared(body, "otlp_endpoint")
            .or_else(|| body.optional_text_or_empty("otlp_endpoint", &URL)),
        otlp_headers: read_headers(body),
    }
}

/// The empty text for a member that is null: the caller takes the value away.
fn cleared(body: &mut ObjectReader<'_>, name: &'static str) -> Option<String> {
    (body.value(name)?.is_null()).then(String::new)
}

/// The body of `PATCH /api/v1/environments/webhook`; `is_allowed` is the outbound policy.
pub fn read_webhook_patch(body: &mut ObjectReader<'_>, is_allowed: impl Fn(&Url) -> bool) -> WebhookPatch {
    WebhookPatch {
        primary_url: read_address(body, "primary_url", &is_allowed),
        secondary_url: read_address(body, "secondary_url", &is_allowed),
        on_sync_completion_always: body.optional_bool("on_sync_completion_always"),
        on_auth_creation: body.optional_bool("on_auth_creation"),
        on_auth_refresh_error: body.optional_bool("on_auth_refresh_error"),
        on_sync_error: body.optional_bool("on_sync_error"),
        on_async_action_completion: body.optional_bool("on_async_action_completion"),
    }
}

fn read_address(
    body: &mut ObjectReader<'_>,
    name: &'static str,
    is_allowed: &impl Fn(&Url) -> bool,
) -> Option<String> {
    if let Some(empty) = cleared(body, name) {
        return Some(empty);
    }
    let url = body.webhook_url(name, is_allowed)?;
    if url.chars().count() > MAX_ADDRESS {
        body.issue(IssueCode::TooBig, name, format!("must have at most {MAX_ADDRESS} characters"));
    }
    Some(url)
}

/// The body of `POST /api/v1/environments/variables`.
pub fn read_variables(body: &mut ObjectReader<'_>) -> Vec<Variable> {
    if !body.has("variables") {
        body.issue(IssueCode::InvalidType, "variables", "is required: a list of names and values");
    }
    let variables = body.list_of_objects("variables", MAX_VARIABLES, |entry| Variable {
        name: entry.required_text("name", &VARIABLE_NAME),
        value: Secret::new(entry.required_text("value", &VARIABLE_VALUE)),
    });
    let variables = variables.unwrap_or_default();
    for (index, variable) in variables.iter().enumerate() {
        if variables[..index].iter().any(|earlier| earlier.name == variable.name) {
            body.issue_at_item(IssueCode::Custom, "variables", index, "has the name of an earlier one");
        }
    }
    variables
}

/// The body of `PUT /api/v1/connect-ui-settings`.
pub fn read_connect_ui(body: &mut ObjectReader<'_>) -> ConnectUiSettings {
    ConnectUiSettings {
        theme: body.required_nested("theme", |theme| Theme {
            light: theme.required_nested("light", read_palette),
            dark: theme.required_nested("dark", read_palette),
        }),
        default_theme: body.required_one_of("defaultTheme", &THEMES),
        show_watermark: read_required_bool(body, "showWatermark"),
        logo: body.optional_text_or_empty("logo", &LOGO).filter(|text| !text.is_empty()),
        font_family: body.optional_text_or_empty("fontFamily", &FONT).filter(|text| !text.is_empty()),
        border_radius: body.optional_text_or_empty("borderRadius", &LENGTH).filter(|text| !text.is_empty()),
    }
}

fn read_palette(palette: &mut ObjectReader<'_>) -> Palette {
    Palette { primary: palette.required_text("primary", &COLOUR) }
}

fn read_required_bool(body: &mut ObjectReader<'_>, name: &'static str) -> bool {
    if body.value(name).is_none_or(Value::is_null) {
        body.issue(IssueCode::InvalidType, name, "is required: true or false");
        return false;
    }
    body.optional_bool(name).unwrap_or_default()
}
