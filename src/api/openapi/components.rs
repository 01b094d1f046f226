//! What the operations share: the error envelope, the ways to authenticate, and the headers of answers.

use serde_json::{Map, Value, json};

use super::operation::add_schemas;
use crate::api::input::Issue;

/// The envelope of every error answer (`crate::error`).
pub const ERROR: &str = "#/components/schemas/Error";

/// Schemas that no operation brings along.
pub fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    schemas.insert("Error".to_owned(), error());
    add_schemas::<Issue>(&mut |name, schema| {
        schemas.insert(name, schema);
    });
    schemas
}

fn error() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["code"],
            "properties": {
                "code": {"type": "string", "description": "Part of the contract."},
                "message": {"type": "string", "description": "For people; may change."},
                "errors": {
                    "description": "Everything that is wrong, with invalid_body, invalid_query_params, \
                        invalid_uri_params and invalid_headers.",
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/Issue"},
                    "minItems": 1,
                },
                "payload": {
                    "description": "More about some errors; the id of the request with generic_error_support.",
                    "type": ["object", "string"],
                },
            },
        }},
    })
}

pub fn security_schemes() -> Value {
    let in_query = |name: &str, description: &str| json!({"type": "apiKey", "in": "query", "name": name, "description": description});
    json!({
        "secretKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key (UUID v4) of an environment or of the account. Roles are the scopes it needs.",
        },
        "connectSession": {
            "type": "http",
            "scheme": "bearer",
            "description": "A connect session token, `nango_connect_session_` and 64 hex digits.",
        },
        "connectSessionInQuery": in_query("connect_session_token", "A connect session token."),
        "publicKey": in_query(
            "public_key",
            "The public key of an environment that wants an `hmac` with each call.",
        ),
    })
}

pub fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({"description": description, "required": true, "schema": schema});
    json!({
        "RequestId": header("Names the request in the logs.", json!({"type": "string"})),
        "ErrorCode": header("The code of an error of this server.", json!({"type": "string"})),
        "RetryAfter": header("Seconds until the window ends.", json!({"type": "integer", "minimum": 0})),
        "Location": header("Where to go on.", json!({"type": "string"})),
        "Allow": header("The methods that the address knows.", json!({"type": "string"})),
    })
}
