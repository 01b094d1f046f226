//! The routes of connections in the OpenAPI document.

use serde_json::{Value, json};

use super::change::{ConnectionPatch, read_key};
use super::input::Import;
use super::list::{ConnectionList, read_filter};
use super::metadata::MetadataChange;
use super::metadata_of_one::{KEY_HEADER, read_whole};
use super::read::ReadQuery;
use super::view::ConnectionBody;
use crate::api::body::Done;
use crate::api::input::TextRule;
use crate::api::input::formats::{CONNECTION_ID, PROVIDER_CONFIG_KEY};
use crate::api::input::shape::{describe_object, text};
use crate::api::openapi::{Operation, Tag};
use crate::api::scope::{
    ConnectionsCreate, ConnectionsDelete, ConnectionsList, ConnectionsRead, ConnectionsUpdate,
};

pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/connections";
    const ONE: &str = "/connections/{connection_id}";
    const METADATA: &str = "/connections/metadata";
    let mut operations = vec![
        list(Operation::get(ALL, "list_connections", "List connections")),
        Operation::post(ALL, "import_connection", "Import a connection")
            .describe("Replaces an existing one as a whole: what the body leaves out is emptied.")
            .tag(Tag::Connections)
            .key::<ConnectionsCreate>()
            .no_query()
            // How long a token may be is the operator's choice.
            .body(|body| Import::read(body, usize::MAX, |_| true))
            .answers::<ConnectionBody>(201, "The connection.")
            .refuses(400, &["connection_test_failed"])
            .refuses(404, &["not_found"]),
        set(Operation::post(METADATA, "set_metadata", "Replace the metadata of connections")),
        merge(Operation::patch(METADATA, "merge_metadata", "Merge into the metadata of connections")),
        // The literal's other methods mean the connection of that name.
        read(Operation::get(METADATA, "get_connection_metadata", "Read the connection `metadata`")),
        delete(Operation::delete(METADATA, "delete_connection_metadata", "Delete the connection `metadata`")),
        named(read(Operation::get(ONE, "get_connection", "Read a connection, its credentials fresh"))),
        named(delete(Operation::delete(ONE, "delete_connection", "Delete a connection"))),
        named(Operation::patch(ONE, "update_connection", "Change a connection"))
            .tag(Tag::Connections)
            .key::<ConnectionsUpdate>()
            .query(read_key)
            .body(|body| ConnectionPatch::read(body, |_| true))
            .answers::<Done>(200, "The connection is changed.")
            .refuses(400, &["unknown_provider_config"])
            .refuses(404, &["not_found"]),
    ];
    operations.extend(deprecated());
    operations
}

fn deprecated() -> Vec<Operation> {
    const ALL: &str = "/connection";
    const ONE: &str = "/connection/{connection_id}";
    const METADATA: &str = "/connection/metadata";
    const METADATA_OF_ONE: &str = "/connection/{connection_id}/metadata";
    let operations = vec![
        list(Operation::get(ALL, "list_connections_old", "List connections")),
        import_flat(Operation::post(ALL, "import_flat_connection", "Import a connection")),
        set(Operation::post(METADATA, "set_metadata_old", "Replace the metadata of connections")),
        merge(Operation::patch(METADATA, "merge_metadata_old", "Merge into the metadata of connections")),
        read(Operation::get(METADATA, "get_connection_metadata_old", "Read the connection `metadata`")),
        delete(Operation::delete(
            METADATA,
            "delete_connection_metadata_old",
            "Delete the connection `metadata`",
        )),
        named(read(Operation::get(ONE, "get_connection_old", "Read a connection, its credentials fresh"))),
        named(delete(Operation::delete(ONE, "delete_connection_old", "Delete a connection"))),
        of_one(Operation::post(
            METADATA_OF_ONE,
            "set_metadata_of_one",
            "Replace the metadata of a connection",
        ))
        .answers_schema(201, "The body.", describe_object(read_whole)),
        of_one(Operation::patch(
            METADATA_OF_ONE,
            "merge_metadata_of_one",
            "Merge into a connection's metadata",
        ))
        .answers_schema(200, "The body.", describe_object(read_whole)),
    ];
    operations.into_iter().map(Operation::deprecated).collect()
}

fn named(operation: Operation) -> Operation {
    operation.path_text("connection_id", &CONNECTION_ID)
}

fn list(operation: Operation) -> Operation {
    operation
        .describe("Newest first, without credentials.")
        .tag(Tag::Connections)
        .key::<ConnectionsList>()
        .query(read_filter)
        .answers::<ConnectionList>(200, "The connections that all filters fit.")
}

fn read(operation: Operation) -> Operation {
    operation
        .describe("Credentials are shown to keys with the scope `environment:connections:read_credentials`.")
        .tag(Tag::Connections)
        .key::<ConnectionsRead>()
        .query(ReadQuery::read)
        .refuses(400, &["invalid_uri_params"])
        .answers::<ConnectionBody>(200, "The connection.")
        .refuses(400, &["unknown_provider_config", "invalid_credentials"])
        .refuses(404, &["not_found"])
        .refuses(424, &["invalid_credentials"])
        .refuses(500, &["invalid_credentials"])
        .refuses(502, &["invalid_credentials"])
}

fn delete(operation: Operation) -> Operation {
    operation
        .tag(Tag::Connections)
        .key::<ConnectionsDelete>()
        .query(read_key)
        .refuses(400, &["invalid_uri_params"])
        .answers::<Done>(200, "Whether there was something left to delete.")
        .refuses(400, &["unknown_connection"])
}

fn set(operation: Operation) -> Operation {
    of_several(operation).answers_schema(201, "The body.", describe_object(MetadataChange::read))
}

fn merge(operation: Operation) -> Operation {
    of_several(operation).answers_schema(200, "The body.", describe_object(MetadataChange::read))
}

fn of_several(operation: Operation) -> Operation {
    operation
        .describe("All of the connections, or none when one does not exist.")
        .tag(Tag::Connections)
        .key::<ConnectionsUpdate>()
        .no_query()
        .body(MetadataChange::read)
        .refuses(404, &["unknown_connection"])
}

fn of_one(operation: Operation) -> Operation {
    operation
        .describe("The body is the metadata. The integration is named in the query or in the header.")
        .tag(Tag::Connections)
        .key::<ConnectionsUpdate>()
        .path_text("connection_id", &TextRule::ANY)
        .parameter("query", "provider_config_key", json!({"type": "string"}))
        .parameter("header", KEY_HEADER, json!({"type": "string"}))
        .body(read_whole)
        .refuses(400, &["missing_provider_config"])
        .refuses(404, &["unknown_connection"])
}

/// Older than the readers: every member may be null, which counts as not given, and unknown ones are ignored.
fn import_flat(operation: Operation) -> Operation {
    let echo = json!({
        "type": "object",
        "properties": {"connection_id": {"type": "string"}, "provider_config_key": {"type": "string"}},
        "required": ["connection_id", "provider_config_key"],
    });
    operation
        .describe("Use `POST /connections`. The auth mode of the provider says which members are needed.")
        .tag(Tag::Connections)
        .key::<ConnectionsCreate>()
        .body_schema("application/json", flat_body(), true)
        .answers_schema(201, "The body without secrets, and the connection's id.", echo)
        .refuses(
            400,
            &[
                "invalid_body",
                "missing_provider_config",
                "unknown_provider_config",
                "missing_access_token",
                "missing_expires_at",
                "missing_oauth_token",
                "missing_oauth_token_secret",
                "missing_basic_username",
                "missing_api_key",
                "missing_app_id",
                "missing_installation_id",
                "missing_account_id",
                "unknown_oauth_type",
            ],
        )
        .refuses(404, &["unknown_provider_template"])
}

fn flat_body() -> Value {
    const TEXTS: [&str; 14] = [
        "access_token",
        "refresh_token",
        "oauth_token",
        "oauth_token_secret",
        "username",
        "password",
        "api_key",
        "token_id",
        "token_secret",
        "client_id",
        "client_secret",
        "oauth_client_id_override",
        "oauth_client_secret_override",
        "webhook_url_override",
    ];
    let mut properties = json!({
        "provider_config_key": text(&PROVIDER_CONFIG_KEY),
        "connection_id": {"anyOf": [text(&CONNECTION_ID), {"const": ""}, {"type": "null"}]},
        "metadata": {"type": ["object", "null"]},
        "connection_config": {"type": ["object", "null"]},
        "expires_at": {"type": ["string", "number", "null"]},
        "expires_in": {"type": ["string", "number", "null"]},
        "no_expiration": {"type": ["boolean", "null"]},
        "raw": {},
    });
    for name in TEXTS {
        properties[name] = json!({"type": ["string", "null"]});
    }
    for name in ["app_id", "installation_id"] {
        properties[name] = json!({"type": ["string", "integer", "null"]});
    }
    json!({"type": "object", "properties": properties, "required": ["provider_config_key"]})
}
