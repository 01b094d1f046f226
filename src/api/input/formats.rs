//! The forms a text may have (`http-api` section 4.3): character classes, lengths, addresses, identifiers. Pure predicates
//! written by hand; they are checked on every request, and none can backtrack.

use url::Url;

/// The form of a text, apart from its length.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// What the text must be, as in "must be a valid URL".
    description: &'static str,
    matches: fn(&str) -> bool,
    /// The same rule as a pattern of ECMA-262, for the OpenAPI document; never used to judge.
    pattern: Option<&'static str>,
    /// Its name among the formats of JSON Schema.
    name: Option<&'static str>,
}

impl Format {
    /// A form with a description for the message "must be <description>".
    pub const fn new(description: &'static str, matches: fn(&str) -> bool) -> Self {
        Self { description, matches, pattern: None, name: None }
    }

    const fn like(self, pattern: &'static str) -> Self {
        Self { pattern: Some(pattern), ..self }
    }

    const fn named(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// The form as a pattern, when one says it all.
    pub fn pattern(&self) -> Option<&'static str> {
        self.pattern
    }

    /// The name of the form in JSON Schema.
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// Whether `text` has this form.
    pub fn matches(&self, text: &str) -> bool {
        (self.matches)(text)
    }

    /// What the text must be.
    pub fn description(&self) -> &'static str {
        self.description
    }
}

/// What a text must satisfy: a form and a length, counted like JavaScript in UTF-16 code units.
#[derive(Debug, Clone, Copy)]
pub struct TextRule {
    pub format: Option<Format>,
    pub min: usize,
    pub max: usize,
}

impl TextRule {
    /// Any text at all, the empty one included.
    pub const ANY: Self = Self::length(0, usize::MAX);
    /// Any text of at least one character.
    pub const NOT_EMPTY: Self = Self::length(1, usize::MAX);

    /// Any text of `min` to `max` characters.
    pub const fn length(min: usize, max: usize) -> Self {
        Self { format: None, min, max }
    }

    const fn form(format: Format, max: usize) -> Self {
        Self { format: Some(format), min: 0, max }
    }

    /// Whether `text` satisfies the form and the length.
    pub fn accepts(&self, text: &str) -> bool {
        let length = text_length(text);
        let has_form = self.format.is_none_or(|format| format.matches(text)) && is_storable(text);
        has_form && (self.min..=self.max).contains(&length)
    }
}

const EMAIL_PATTERN: &str =
    r"^([A-Za-z0-9_'+-]+\.)*[A-Za-z0-9_'+-]*[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,}$";

/// `ProviderName`.
pub const PROVIDER_NAME: TextRule =
    TextRule::form(Format::new("letters, digits, _ and -", is_plain_name).like(r"^[A-Za-z0-9_-]+$"), 255);
/// `ProviderConfigKey`, also called unique key and integration id.
pub const PROVIDER_CONFIG_KEY: TextRule = TextRule::form(
    Format::new("letters, digits, spaces and ~ : . @ _ -", is_provider_config_key)
        .like(r"^[A-Za-z0-9_~:.@ -]+$"),
    255,
);
/// `ConnectionId`.
pub const CONNECTION_ID: TextRule = TextRule::form(
    Format::new("a connection id (letters, digits, spaces, common punctuation)", is_connection_id)
        .like(r#"^[A-Za-z0-9_,.;:=+~\[\]|@${}"'\\/ -]+$"#),
    255,
);
/// `FunctionName`, `SyncName` and `Variant`.
pub const FUNCTION_NAME: TextRule =
    TextRule::form(Format::new("letters, digits, _ and -", is_plain_name).like(r"^[A-Za-z0-9_-]+$"), 255);
/// `Model`: an upper-case first letter and at least one more character.
pub const MODEL: TextRule = TextRule::form(
    Format::new("a model name (upper-case first letter, then letters, digits, _ and -)", is_model)
        .like(r"^[A-Z][A-Za-z0-9_-]+$"),
    255,
);
/// `EnvironmentName`.
pub const ENVIRONMENT_NAME: TextRule = TextRule::form(
    Format::new("lower-case letters, digits, _ and -", is_environment_name).like(r"^[a-z0-9_-]+$"),
    255,
);
/// `TagKey`.
pub const TAG_KEY: TextRule = TextRule::form(
    Format::new("a tag key (a letter, then letters, digits and _ - . /)", is_tag_key)
        .like(r"^[A-Za-z][A-Za-z0-9_./-]*$"),
    64,
);
/// The name of an AWS region.
pub const AWS_REGION: TextRule = TextRule::form(
    Format::new("an AWS region (lower-case letters, digits and -)", crate::modes::aws_sigv4::is_region)
        .like(r"^[a-z0-9-]{1,64}$"),
    64,
);
/// `TagValue`.
pub const TAG_VALUE: TextRule = TextRule::length(1, 255);
/// Scopes separated by commas. The empty text is an alternative of its own: `ObjectReader::optional_text_or_empty`.
pub const SCOPES: TextRule = TextRule::form(
    Format::new("scopes separated by commas", is_scopes).like(r"^[A-Za-z0-9_:/.*-]+(,[A-Za-z0-9_:/.*-]+)*$"),
    usize::MAX,
);
/// An e-mail address of at least five characters.
pub const EMAIL: TextRule = TextRule {
    format: Some(Format::new("an e-mail address", is_email).like(EMAIL_PATTERN)),
    min: 5,
    max: usize::MAX,
};
/// An absolute URL, surrounding spaces allowed.
pub const URL: TextRule = TextRule::form(Format::new("an absolute URL", is_url).named("uri"), usize::MAX);
/// A UUID of any version, any letter case.
pub const UUID: TextRule = TextRule::form(
    Format::new("a UUID", is_uuid)
        .like(r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
        .named("uuid"),
    usize::MAX,
);
/// A UUID of version 4, any letter case: keys and public keys.
pub const UUID_V4: TextRule = TextRule::form(
    Format::new("a UUID of version 4", is_uuid_v4)
        .like(r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-4[0-9A-Fa-f]{3}-[89abAB][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$")
        .named("uuid"),
    usize::MAX,
);
/// `nango_connect_session_` and 64 lower-case hex digits.
pub const CONNECT_SESSION_TOKEN: TextRule = TextRule::form(
    Format::new("a connect session token", is_connect_session_token)
        .like(r"^nango_connect_session_[0-9a-f]{64}$"),
    usize::MAX,
);
/// Date, `T`, time (seconds optional, any fraction) and `Z`; no offset, no date alone.
pub const ISO_DATE_TIME: TextRule =
    TextRule::form(Format::new("an ISO date-time in UTC, ending in Z", is_iso_date_time), usize::MAX);
/// How often a sync runs: `every half day`, `every 5 minutes`, `30m`. Whether the scheduler accepts the interval is not
/// judged here.
pub const FREQUENCY: TextRule =
    TextRule::form(Format::new("an interval such as \"every 5 minutes\"", is_frequency), usize::MAX);
/// A private key as PEM, PKCS#1 or PKCS#8, surrounding white space allowed.
pub const PRIVATE_KEY_PEM: TextRule =
    TextRule::form(Format::new("a PEM private key (PKCS#1 or PKCS#8)", is_private_key_pem), usize::MAX);

/// No text holds U+0000: PostgreSQL cannot store it, and compares nothing with it.
pub fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// Length in UTF-16 code units, as JavaScript counts.
pub fn text_length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The longest beginning of `text` of at most `max` UTF-16 code units, never half a character.
pub fn cut_to_length(text: &str, max: usize) -> &str {
    let mut units = 0;
    for (start, character) in text.char_indices() {
        units += character.len_utf16();
        if units > max {
            return &text[..start];
        }
    }
    text
}

fn is_made_of(text: &str, allowed: fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(allowed)
}

fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_plain_name(text: &str) -> bool {
    is_made_of(text, is_plain_byte)
}

fn is_provider_config_key(text: &str) -> bool {
    is_made_of(text, |byte| is_plain_byte(byte) || b"~:.@ ".contains(&byte))
}

fn is_connection_id(text: &str) -> bool {
    is_made_of(text, |byte| is_plain_byte(byte) || br#",.;:=+~[]|@${}"'\/ "#.contains(&byte))
}

fn is_model(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase()) && is_plain_name(&text[1..])
}

fn is_environment_name(text: &str) -> bool {
    is_made_of(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
}

fn is_tag_key(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && is_made_of(text, |byte| is_plain_byte(byte) || matches!(byte, b'.' | b'/'))
}

fn is_scopes(text: &str) -> bool {
    text.split(',').all(|scope| is_made_of(scope, |byte| is_plain_byte(byte) || b":/.*".contains(&byte)))
}

fn is_email(text: &str) -> bool {
    text.rsplit_once('@')
        .is_some_and(|(local, domain)| is_email_local_part(local) && is_dotted_domain(domain))
}

fn is_email_local_part(local: &str) -> bool {
    let dots_are_inside = !local.starts_with('.') && !local.ends_with(['.', '\'']) && !local.contains("..");
    dots_are_inside && is_made_of(local, |byte| is_plain_byte(byte) || matches!(byte, b'\'' | b'+' | b'.'))
}

fn is_dotted_domain(domain: &str) -> bool {
    let Some((labels, top)) = domain.rsplit_once('.') else { return false };
    let is_label = |label: &str| {
        label.starts_with(|first: char| first.is_ascii_alphanumeric())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    labels.split('.').all(is_label) && top.len() >= 2 && is_made_of(top, |byte| byte.is_ascii_alphabetic())
}

fn is_url(text: &str) -> bool {
    Url::parse(text.trim()).is_ok()
}

fn is_uuid(text: &str) -> bool {
    let is_place_right = |(place, byte): (usize, u8)| match place {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_place_right)
}

fn is_uuid_v4(text: &str) -> bool {
    is_uuid(text)
        && text.as_bytes().get(14) == Some(&b'4')
        && text.as_bytes().get(19).is_some_and(|variant| b"89abAB".contains(variant))
}

fn is_connect_session_token(text: &str) -> bool {
    let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("nango_connect_session_")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_lower_hex))
}

fn is_iso_date_time(text: &str) -> bool {
    crate::time_format::parse_utc_date_time(text).is_some()
}

fn is_frequency(text: &str) -> bool {
    let interval = text.strip_prefix("every ").unwrap_or(text);
    let counted = interval.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let unit = counted.strip_prefix(' ').unwrap_or(counted);
    matches!(interval, "month" | "week" | "half day" | "half hour" | "quarter hour") || is_time_unit(unit)
}

fn is_time_unit(text: &str) -> bool {
    let singular = text.strip_suffix('s').unwrap_or(text);
    matches!(text, "s" | "m" | "h" | "d")
        || matches!(singular, "sec" | "second" | "min" | "minute" | "hr" | "hour" | "day")
}

// IMPROVE: upstream takes PKCS#1 without surrounding white space only.
fn is_private_key_pem(text: &str) -> bool {
    let pem = text.trim();
    ["RSA PRIVATE KEY", "PRIVATE KEY"].iter().any(|label| {
        pem.strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_prefix(label))
            .and_then(|rest| rest.strip_prefix("-----"))
            .and_then(|rest| rest.strip_suffix("-----"))
            .and_then(|rest| rest.strip_suffix(label))
            .is_some_and(|rest| rest.ends_with("-----END "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_accepts_and_refuses() {
        let hex = "3f".repeat(32);
        let token = format!("nango_connect_session_{hex}");
        let long_token = format!("{token}0");
        let upper_token = token.to_uppercase();
        let (x255, x256, x64, x65) = ("x".repeat(255), "x".repeat(256), "x".repeat(64), "x".repeat(65));
        let astral = "\u{1F600}".repeat(128);
        let pkcs1 = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        let pkcs8 = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";
        let mixed = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        let cases: &[(&str, &TextRule, &[&str], &[&str])] = &[
            (
                "provider name",
                &PROVIDER_NAME,
                &["acme", "A_9-z", &x255],
                &["", "a.b", "a b", "a\n", "\u{e9}", &x256],
            ),
            (
                "provider config key",
                &PROVIDER_CONFIG_KEY,
                &["acme-prod", "a~b:c.d@e f_g", &x255],
                &["", "a/b", "a,b", "a\tb", &x256],
            ),
            (
                "connection id",
                &CONNECTION_ID,
                &["c-77", r#"a,.;:=+~[]|@${}"'\/_ -z"#, &x255],
                &["", "a?b", "a#b", "a&b", "a%b", "a<b", "caf\u{e9}", &x256],
            ),
            ("function name", &FUNCTION_NAME, &["create-contact", "x_1"], &["", "a/b", "a::b"]),
            ("model", &MODEL, &["Contact", "Ab", "A-", "A1_"], &["", "A", "contact", "1A", "A b", "\u{c9}a"]),
            ("environment name", &ENVIRONMENT_NAME, &["dev", "eu-1_b"], &["", "Dev", "a.b"]),
            ("tag key", &TAG_KEY, &["a", "plan/v1.2_x-y", &x64], &["", "1a", "_a", "a b", "\u{e9}", &x65]),
            ("tag value", &TAG_VALUE, &["x", "any \u{e9} text", &x255], &["", &x256, &astral]),
            ("scopes", &SCOPES, &["read", "a:b,c/d_e.*-f"], &["", ",", "a,", ",a", "a b", "a, b"]),
            (
                "e-mail",
                &EMAIL,
                &["u1@example.com", "a.b+c'd@x-y.example.co", "a@b.cd"],
                &[
                    "",
                    "a",
                    "@b.cd",
                    "a@",
                    "a@b",
                    "a@b.c",
                    "a@.cd",
                    "a@b..cd",
                    ".a@b.cd",
                    "a.@b.cd",
                    "a..b@c.de",
                    "a'@b.cd",
                    "a b@c.de",
                    "a@b@c.de",
                    "a@-b.cd",
                    "a@b_c.de",
                    "a@b.c1",
                    "\u{e9}@b.cd",
                ],
            ),
            (
                "URL",
                &URL,
                &["https://a.example/x?y=1", "  http://a.example  ", "http://localhost:3000", "urn:x"],
                &["", " ", "a.example", "/path", "http://", "//a.example", "http://a b/"],
            ),
            (
                "UUID",
                &UUID,
                &["3f0c9a12-1b2c-5d3e-8f4a-5b6c7d8e9f01", "3F0C9A12-1B2C-4D3E-8F4A-5B6C7D8E9F01"],
                &["", "3f0c9a121b2c5d3e8f4a5b6c7d8e9f01", "3f0c9a12-1b2c-5d3e-8f4a-5b6c7d8e9f0g"],
            ),
            (
                "UUID v4",
                &UUID_V4,
                &["2f6d0c1e-8a55-4b8e-9d60-0a6f3b1c9e77", "2F6D0C1E-8A55-4B8E-BD60-0A6F3B1C9E77"],
                &["2f6d0c1e-8a55-5b8e-9d60-0a6f3b1c9e77", "2f6d0c1e-8a55-4b8e-cd60-0a6f3b1c9e77", "\u{e9}"],
            ),
            ("session token", &CONNECT_SESSION_TOKEN, &[&token], &["", &hex, &long_token, &upper_token]),
            (
                "ISO date-time",
                &ISO_DATE_TIME,
                &["2026-08-01T10:15:30.123Z", "2026-08-01T10:15Z", "2024-02-29T00:00:00.123456789Z"],
                &[
                    "",
                    "2026-08-01",
                    "2026-08-01T10:15:30+00:00",
                    "2026-08-01 10:15:30Z",
                    "2025-02-29T00:00:00Z",
                ],
            ),
            (
                "private key",
                &PRIVATE_KEY_PEM,
                &[pkcs1, pkcs8],
                &["", "MIIE", mixed, "-----BEGIN PRIVATE KEY-----"],
            ),
        ];
        for (name, rule, accepted, refused) in cases {
            for text in *accepted {
                assert!(rule.accepts(text), "{name} accepts {text:?}");
            }
            for text in *refused {
                assert!(!rule.accepts(text), "{name} refuses {text:?}");
            }
            if let Some((format, pattern)) = rule.format.and_then(|format| Some((format, format.pattern()?)))
            {
                let pattern = regex::Regex::new(pattern).unwrap();
                for text in accepted.iter().chain(*refused) {
                    assert_eq!(
                        pattern.is_match(text),
                        format.matches(text),
                        "{name}: {text:?} by its pattern"
                    );
                }
            }
        }
    }

    #[test]
    fn texts_are_counted_and_cut_in_utf16_code_units() {
        let cases = [("", 0), ("abc", 3), ("\u{e9}", 1), ("\u{1F600}", 2), ("e\u{301}", 2)];
        for (text, expected) in cases {
            assert_eq!(text_length(text), expected, "{text:?}");
        }
        let cuts = [
            ("abc", 2, "ab"),
            ("abc", 3, "abc"),
            ("a\u{1F600}b", 2, "a"),
            ("a\u{1F600}b", 3, "a\u{1F600}"),
            ("x", 0, ""),
        ];
        for (text, max, expected) in cuts {
            assert_eq!(cut_to_length(text, max), expected, "{text:?} to {max}");
        }
    }
}
