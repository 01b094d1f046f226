//! What somebody can do about a failure, by its code. Pure.

/// One sentence for people; `None` where the message says it all.
pub fn advice(code: &str) -> Option<&'static str> {
    let text = match code {
        "callback_err" => {
            "The provider sent the browser back without a code. Usually the user declined, or the client in the integration \
             may not ask for these scopes."
        }
        "state_cookie_err" => {
            "The browser that came back is not the one that left. Open the sign-in in the same browser, with cookies allowed, \
             and serve everything from one host name."
        }
        "provider_config_err" | "unknown_config_key" | "unknown_provider_config" => {
            "Check the integration's id and that it has a client id and a client secret."
        }
        "url_param_err" | "invalid_connection_config" | "missing_connection_config" => {
            "The provider's entry needs values that this connection lacks. Ask for them in the form, or set them as defaults \
             of the session."
        }
        "grant_type_err" | "auth_mode_err" | "invalid_auth_mode" => {
            "The provider of this integration wants another way of signing in than the one that was used."
        }
        "missing_hmac" | "invalid_hmac" => {
            "The signature is made by your backend with the environment's HMAC key, over the integration and the connection id."
        }
        "integration_not_allowed" => "Add the integration to `allowed_integrations` of the connect session.",
        "connection_test_failed" => {
            "The provider was asked with these credentials and said no. Let the user check them, and the permissions they \
             have."
        }
        "refresh_token_external_error" | "connection_refresh_exhausted" => {
            "The provider gives no new token. If it says that the grant is invalid, the user has to sign in again; a \
             reconnect session keeps the connection's id."
        }
        "connection_refresh_backoff" => "The last attempt is seconds ago. The next one may succeed.",
        "client_credentials_fetch_error" | "two_step_credentials_fetch_error" | "bill_tokens_fetch_error" => {
            "The token endpoint refused. Compare the request above with the provider's documentation, and check the client \
             and its permissions."
        }
        "invalid_two_step_credentials" | "invalid_bill_credentials" | "incomplete_raw_credentials" => {
            "The provider answered, but not with a token. Check what was typed in and the address of the account; the \
             provider's entry says where in the answer the token is looked for."
        }
        "token_err" => {
            "The provider gave no request token. Check the client id and the client secret of the integration, and that the \
             provider knows the callback URL."
        }
        "github_app_token_fetch_error" => {
            "The provider gave no token for the installation. Check the app id and the private key of the integration, and \
             whether the app is still installed."
        }
        "aws_sigv4_sts_request_failed" => {
            "AWS gave no temporary keys. The role's trust policy has to name the integration's own AWS user and the \
             connection's external id."
        }
        "failed_to_generate"
        | "failed_to_sign"
        | "failed_to_generate_assertion"
        | "failed_to_generate_jwt_assertion"
        | "invalid_private_key_format"
        | "missing_private_key" => {
            "Nothing was sent, because nothing could be signed. Paste the private key whole, with its BEGIN and END lines and \
             without a passphrase."
        }
        "unknown_err" => {
            "Look at the exchange before this message. A redirect URL that the provider does not know, or a wrong client \
             secret, are the usual reasons."
        }
        "post_connection_failed" => {
            "The connection works, but lacks what this step would have brought. Look at the exchange before this message: \
             most often the token may not read it, and needs another scope. Authorizing again runs the step again."
        }
        "pre_deletion_failed" => {
            "The connection was deleted all the same. Revoke its access at the provider by hand if that matters."
        }
        "proxy_dns_failed" => {
            "The host name has no address. Check the base URL of the provider or of the call."
        }
        "proxy_connect_failed" | "proxy_tls_failed" => {
            "The provider's server was not reached. Check the base URL, the network and the outbound proxy."
        }
        "proxy_timeout" => {
            "The provider did not answer in time. HITCHPOST_PROXY_TIMEOUT_MS sets how long calls wait."
        }
        "base_url_override_not_allowed" | "base_url_override_disabled" => {
            "NANGO_OUTBOUND_URL_POLICY decides which hosts may be called."
        }
        "interrupted" => "The browser or the client closed the connection, or the server was stopped.",
        _ => return None,
    };
    Some(text)
}
