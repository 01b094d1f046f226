//! Who may use the dashboard's routes by name and password.

use super::reader::{Reader, parse_bool};
use crate::crypto::Secret;

const USERNAME: &str = "NANGO_DASHBOARD_USERNAME";
const PASSWORD: &str = "NANGO_DASHBOARD_PASSWORD";
const ACCOUNTS: &str = "FLAG_AUTH_ENABLED";

#[derive(Debug)]
pub struct DashboardConfig {
    /// `None`: nobody gets in by password.
    pub credentials: Option<DashboardCredentials>,
}

/// Credentials for HTTP basic auth.
#[derive(Debug)]
pub struct DashboardCredentials {
    pub username: String,
    pub password: Secret,
}

impl DashboardConfig {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let credentials = match (reader.text(USERNAME), reader.text(PASSWORD)) {
            (None, None) => None,
            (Some(username), Some(password)) => {
                check(reader, &username);
                Some(DashboardCredentials { username, password: Secret::new(password) })
            }
            (username, _) => {
                let (set, missing) =
                    if username.is_some() { (USERNAME, PASSWORD) } else { (PASSWORD, USERNAME) };
                reader.complain(format!("{missing}: it is missing, while {set} is set. Set both or none."));
                None
            }
        };
        DashboardConfig { credentials }
    }
}

fn check(reader: &Reader<'_>, username: &str) {
    if username.contains(':') {
        reader.complain(format!("{USERNAME}: HTTP basic auth allows no colon in a name."));
    }
    // Explicitly on: unset means that the credentials alone decide.
    if reader.text(ACCOUNTS).and_then(|value| parse_bool(&value)) == Some(true) {
        reader.complain(format!(
            "{ACCOUNTS}: it asks for accounts, while {USERNAME} and {PASSWORD} ask for basic auth. Set {ACCOUNTS}=false, \
             or remove the two."
        ));
    }
}
