//! Which versions of the command line tool are served (`spec` http-api, section 1.10). Callers that are not that tool are
//! never refused here.

use axum::http::{HeaderMap, header};

use crate::error::ApiError;

const PRODUCT: &str = "nango-cli/";
/// Older ones deploy in a format that is not understood.
const MINIMUM: Version = [0, 39, 25];
// IMPROVE: the level of compatibility, not our own version. Every patch of the last level is served.
const FIRST_TOO_NEW: Version = [0, 72, 0];

type Version = [u64; 3];

/// # Errors
/// 400 `invalid_cli_version` for a tool that is too old to deploy.
pub fn check_minimum(headers: &HeaderMap) -> Result<(), ApiError> {
    if version_of(headers).is_none_or(|version| version >= MINIMUM) {
        return Ok(());
    }
    Err(refused("This version of the CLI is too old to deploy. Install 0.39.25 or a later one."))
}

/// # Errors
/// 400 `invalid_cli_version` for a tool that is newer than what this server is compatible with.
pub fn check_maximum(headers: &HeaderMap) -> Result<(), ApiError> {
    if version_of(headers).is_none_or(|version| version < FIRST_TOO_NEW) {
        return Ok(());
    }
    Err(refused("This version of the CLI is too new for this server. Install 0.71 or an earlier one."))
}

fn refused(message: &str) -> ApiError {
    ApiError::bad_request("invalid_cli_version", message)
}

/// The version of the calling tool, if it is that tool.
fn version_of(headers: &HeaderMap) -> Option<Version> {
    let agent = headers.get(header::USER_AGENT)?.to_str().ok()?;
    let (_, rest) = agent.split_once(PRODUCT)?;
    let text = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut numbers = text.split('.').map(|part| part.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_tool_has_a_version() {
        for (agent, minimum, maximum) in [
            ("nango-cli/0.39.24 (linux)", false, true),
            ("nango-cli/0.39.25", true, true),
            ("nango-cli/0.71.99", true, true),
            ("nango-cli/0.72.0-beta.1", true, false),
            ("nango-cli/1.0.0", true, false),
            ("nango-cli/0.9", true, true),
            ("nango-cli/x.y.z", true, true),
            ("nango-node-client/9.9.9", true, true),
            ("prefix nango-cli/0.1.0", false, true),
        ] {
            let headers = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static(agent))]);
            assert_eq!(check_minimum(&headers).is_ok(), minimum, "{agent}");
            assert_eq!(check_maximum(&headers).is_ok(), maximum, "{agent}");
        }
        assert!(check_minimum(&HeaderMap::new()).is_ok());
    }
}
