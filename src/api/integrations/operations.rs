//! The routes of integrations in the OpenAPI document.

use serde_json::json;

use super::deprecated::{ConfigDetails, ConfigSummary};
use super::input::{IntegrationPatch, NewIntegration, QuickstartIntegration};
use super::read_include;
use super::view::IntegrationBody;
use crate::api::body::Done;
use crate::api::input::TextRule;
use crate::api::input::formats::PROVIDER_CONFIG_KEY;
use crate::api::openapi::{Operation, Tag};
use crate::api::scope::{
    IntegrationsCreate, IntegrationsDelete, IntegrationsList, IntegrationsRead, IntegrationsUpdate,
};

pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/integrations";
    const QUICKSTART: &str = "/integrations/quickstart";
    let mut operations = vec![
        Operation::get(ALL, "list_integrations", "List integrations")
            .describe("A connect session sees those that it allows.")
            .tag(Tag::Integrations)
            .key_or_session::<IntegrationsList>()
            .no_query()
            .answers_list::<IntegrationBody>(200, "The integrations."),
        Operation::post(ALL, "create_integration", "Create an integration")
            .tag(Tag::Integrations)
            .key::<IntegrationsCreate>()
            .no_query()
            .body(NewIntegration::read)
            .answers_data::<IntegrationBody>(200, "The new integration."),
        Operation::post(QUICKSTART, "create_quickstart_integration", "Use a shared application")
            .describe("This server has no shared applications, so the answer is always a refusal.")
            .tag(Tag::Integrations)
            .key::<IntegrationsCreate>()
            .no_query()
            .body(QuickstartIntegration::read),
        get_config(),
    ];
    let by_key =
        one("/integrations/{uniqueKey}", ["get_integration", "update_integration", "delete_integration"]);
    operations.extend(by_key.map(|operation| operation.path_text("uniqueKey", &PROVIDER_CONFIG_KEY)));
    // The literal's other methods mean the integration of that name.
    operations.extend(one(QUICKSTART, ["get_quickstart", "update_quickstart", "delete_quickstart"]));
    operations
}

/// What one integration answers to.
fn one(path: &'static str, [get, update, delete]: [&'static str; 3]) -> [Operation; 3] {
    let operations = [
        Operation::get(path, get, "Read an integration")
            .key::<IntegrationsRead>()
            .query(read_include)
            .answers_data::<IntegrationBody>(200, "The integration."),
        Operation::patch(path, update, "Change an integration")
            .key::<IntegrationsUpdate>()
            .no_query()
            .body(IntegrationPatch::read)
            .answers_data::<IntegrationBody>(200, "The changed integration."),
        Operation::delete(path, delete, "Delete an integration and its connections")
            .key::<IntegrationsDelete>()
            .no_query()
            .answers::<Done>(200, "The integration is gone."),
    ];
    operations.map(|operation| {
        operation.tag(Tag::Integrations).refuses(400, &["invalid_uri_params"]).refuses(404, &["not_found"])
    })
}

fn get_config() -> Operation {
    let summary = json!({"$ref": "#/components/schemas/ConfigSummary"});
    let details = json!({"$ref": "#/components/schemas/ConfigDetails"});
    let config = json!({"anyOf": [{"allOf": [summary, details]}, summary]});
    let answer = json!({"type": "object", "properties": {"config": config}, "required": ["config"]});
    Operation::get("/config/{providerConfigKey}", "get_config", "Read an integration")
        .describe("Use `GET /integrations/{uniqueKey}`.")
        .tag(Tag::Integrations)
        .deprecated()
        .key::<IntegrationsRead>()
        .parameter("query", "include_creds", json!({"type": "string"}))
        .path_text("providerConfigKey", &TextRule::ANY)
        .schema::<ConfigSummary>()
        .schema::<ConfigDetails>()
        .answers_schema(200, "The integration; with `include_creds=true` everything about it.", answer)
        .refuses(400, &["unknown_provider_config", "unknown_provider_template"])
}
