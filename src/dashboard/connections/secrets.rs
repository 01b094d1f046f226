//! Credentials as a page shows them: masked, until somebody asks for them on purpose.

use serde_json::Value;

use crate::auth::Credentials;

const MASK: &str = "••••••••••••";
/// Members that say nothing secret.
const OPEN: [&str; 3] = ["type", "expires_at", "scope"];
/// The provider's whole answer; it is only worth a look when everything is revealed.
const ANSWER: &str = "raw";

/// One member of the credentials.
pub struct Member {
    pub name: String,
    pub text: String,
    pub is_masked: bool,
}

/// The members of credentials without their secrets.
pub fn masked(credentials: &Credentials) -> Vec<Member> {
    let shown = credentials.to_shown_json();
    let members = shown.as_object().into_iter().flatten();
    members.filter(|(name, value)| *name != ANSWER && !value.is_null()).map(mask).collect()
}

fn mask((name, value): (&String, &Value)) -> Member {
    let open = value.as_str().filter(|_| OPEN.contains(&name.as_str()));
    Member { name: name.clone(), text: open.unwrap_or(MASK).to_owned(), is_masked: open.is_none() }
}

/// A JSON value over several lines.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_kind_and_expiry_are_shown() {
        let value = json!({"type": "OAUTH2", "access_token": "hunter2", "refresh_token": "hunter3",
            "expires_at": "2030-01-01T00:00:00.000Z", "raw": {"access_token": "hunter2"}});
        let credentials = Credentials::from_json(value).unwrap();
        let shown = masked(&credentials);
        let open: Vec<&str> =
            shown.iter().filter(|member| !member.is_masked).map(|member| member.name.as_str()).collect();
        assert_eq!(open, ["type", "expires_at"]);
        assert!(shown.iter().all(|member| !member.text.contains("hunter") && member.name != "raw"));
    }
}
