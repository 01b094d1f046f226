//! Who gets into the dashboard, and who may use the operator's routes by name and password.

use url::Url;

use super::reader::{Reader, parse_bool};
use crate::access::Role;
use crate::crypto::Secret;

const USERNAME: &str = "NANGO_DASHBOARD_USERNAME";
const PASSWORD: &str = "NANGO_DASHBOARD_PASSWORD";
const ACCOUNTS: &str = "FLAG_AUTH_ENABLED";
const DEFAULT_ROLE: &str = "DEFAULT_USER_ROLE";
const SMTP_URL: &str = "SMTP_URL";
const SMTP_FROM: &str = "SMTP_FROM";
const OIDC_ISSUER: &str = "HITCHPOST_OIDC_ISSUER";
const OIDC_CLIENT_ID: &str = "HITCHPOST_OIDC_CLIENT_ID";
const OIDC_CLIENT_SECRET: &str = "HITCHPOST_OIDC_CLIENT_SECRET";
const OIDC_SCOPES: &str = "HITCHPOST_OIDC_SCOPES";
const OIDC_GROUPS_CLAIM: &str = "HITCHPOST_OIDC_GROUPS_CLAIM";
const OIDC_ROLES: &str = "HITCHPOST_OIDC_ROLES";
const OIDC_ONLY: &str = "HITCHPOST_OIDC_ONLY";
const OPEN: &str = "HITCHPOST_OPEN_DASHBOARD";

#[derive(Debug)]
pub struct DashboardConfig {
    /// `None`: nobody gets in by password.
    pub credentials: Option<DashboardCredentials>,
    pub access: DashboardAccess,
    /// The role of members of whom nothing else is known.
    pub default_role: Role,
    /// `None`: no mails are sent, and administrators are shown the links instead.
    pub smtp: Option<SmtpConfig>,
    /// `None`: members have passwords.
    pub oidc: Option<OidcConfig>,
}

/// The OpenID provider at which members log in.
#[derive(Debug)]
pub struct OidcConfig {
    pub issuer: String,
    pub client_id: String,
    /// `None`: a public client.
    pub client_secret: Option<Secret>,
    /// Asked for beside `openid`, `email` and `profile`.
    pub scopes: Vec<String>,
    /// The claim that names a member's groups.
    pub groups_claim: String,
    /// Groups and their roles; the first that fits counts.
    pub roles: Vec<(String, Role)>,
    /// Whether passwords are not taken any more.
    pub is_only: bool,
}

/// How mails are sent.
#[derive(Debug)]
pub struct SmtpConfig {
    /// `smtp://` or `smtps://`, with the credentials.
    pub url: Secret,
    pub from: String,
}

/// Who gets into the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DashboardAccess {
    /// People with an account.
    Accounts,
    /// Whoever knows the one name and password.
    Password,
    /// Everybody who reaches the port. Asked for twice.
    Open,
    /// Nobody: accounts are off, and nothing else was chosen.
    Closed,
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
        let access = access(reader, credentials.is_some());
        DashboardConfig {
            credentials,
            access,
            default_role: default_role(reader),
            smtp: smtp(reader),
            oidc: oidc(reader),
        }
    }
}

fn default_role(reader: &Reader<'_>) -> Role {
    let Some(name) = reader.text(DEFAULT_ROLE) else { return Role::Administrator };
    Role::find(&name).unwrap_or_else(|| {
        let names = Role::ALL.map(Role::as_str).join(", ");
        reader.complain(format!("{DEFAULT_ROLE}: expected one of {names}."));
        Role::DevelopmentFullAccess
    })
}

fn smtp(reader: &Reader<'_>) -> Option<SmtpConfig> {
    let url = reader.url(SMTP_URL)?;
    if !matches!(url.scheme(), "smtp" | "smtps") {
        reader.complain(format!("{SMTP_URL}: expected a URL such as `smtp://user:password@host:587`."));
    }
    let own_host = reader.url("NANGO_SERVER_URL").as_ref().and_then(Url::host_str).map(str::to_owned);
    let from = reader.text(SMTP_FROM);
    let from = from
        .unwrap_or_else(|| format!("Hitchpost <hitchpost@{}>", own_host.unwrap_or("localhost".to_owned())));
    Some(SmtpConfig { url: Secret::new(url.to_string()), from })
}

fn oidc(reader: &Reader<'_>) -> Option<OidcConfig> {
    let is_only = reader.bool(OIDC_ONLY, false);
    let (issuer, client_id) = (reader.text(OIDC_ISSUER), reader.text(OIDC_CLIENT_ID));
    let (Some(issuer), Some(client_id)) = (&issuer, &client_id) else {
        if issuer.is_some() || client_id.is_some() || is_only {
            reader.complain(format!(
                "{OIDC_ISSUER}: it and {OIDC_CLIENT_ID} name the OpenID provider together. Set both."
            ));
        }
        return None;
    };
    Some(OidcConfig {
        issuer: issuer.clone(),
        client_id: client_id.clone(),
        client_secret: reader.text(OIDC_CLIENT_SECRET).map(Secret::new),
        scopes: reader.list(OIDC_SCOPES),
        groups_claim: reader.text(OIDC_GROUPS_CLAIM).unwrap_or_else(|| "groups".to_owned()),
        roles: reader.list(OIDC_ROLES).iter().filter_map(|pair| group_role(reader, pair)).collect(),
        is_only,
    })
}

/// One pair such as `admins=administrator`.
fn group_role(reader: &Reader<'_>, pair: &str) -> Option<(String, Role)> {
    let found =
        pair.rsplit_once('=').and_then(|(group, role)| Some((group.trim(), Role::find(role.trim())?)));
    if found.is_none() {
        let names = Role::ALL.map(Role::as_str).join(", ");
        reader.complain(format!(
            "{OIDC_ROLES}: expected pairs such as `admins=administrator`; roles are {names}."
        ));
    }
    found.map(|(group, role)| (group.to_owned(), role))
}

fn access(reader: &Reader<'_>, has_credentials: bool) -> DashboardAccess {
    if has_credentials {
        return DashboardAccess::Password;
    }
    match (reader.bool(ACCOUNTS, true), reader.bool(OPEN, false)) {
        (true, _) => DashboardAccess::Accounts,
        (false, true) => DashboardAccess::Open,
        (false, false) => DashboardAccess::Closed,
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
