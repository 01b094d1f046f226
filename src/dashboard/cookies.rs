//! Reading and writing cookies (RFC 6265).

use axum::http::{HeaderMap, HeaderValue, header};

/// `light` or `dark`; scripts of the page may read it.
pub const THEME: &str = "hitchpost_theme";
/// The message for the next page.
pub const FLASH: &str = "hitchpost_flash";

/// The cookie of a session. Over https its name makes browsers refuse one that another host or plain http has set.
pub fn session(is_secure: bool) -> &'static str {
    if is_secure { "__Host-hitchpost_session" } else { "hitchpost_session" }
}

/// The value of a cookie.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(found, value)| (found == name).then_some(value))
}

/// A cookie to set. Never sent with requests that other sites start, links apart.
pub struct Cookie<'a> {
    pub name: &'a str,
    pub value: &'a str,
    /// Seconds; zero takes the cookie away.
    pub max_age: i64,
    pub is_secure: bool,
}

impl Cookie<'_> {
    /// The value of `Set-Cookie`; none when the cookie's value cannot be written.
    pub fn header(&self) -> Option<HeaderValue> {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let Cookie { name, value, max_age, .. } = self;
        let text = format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&text).ok()
    }
}

/// Adds a cookie to an answer.
pub fn set(headers: &mut HeaderMap, cookie: &Cookie<'_>) {
    if let Some(value) = cookie.header() {
        headers.append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; hitchpost_theme=dark"));
        headers.append(header::COOKIE, HeaderValue::from_static("b=x=y;empty="));
        for (name, expected) in [
            ("a", Some("1")),
            (THEME, Some("dark")),
            ("b", Some("x=y")),
            ("empty", Some("")),
            ("theme", None),
        ] {
            assert_eq!(find(&headers, name), expected, "{name}");
        }
    }
}
