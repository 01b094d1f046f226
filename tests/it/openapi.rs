//! The OpenAPI document: it is served, it is sound, and it has the routes that are there. That it tells the truth about
//! answers is checked with every request of every test (`support/contract.rs`).

use std::collections::HashSet;

use hitchpost::api;
use hitchpost::api::openapi::{document, meaning, operations};
use serde_json::{Value, json};

use crate::support::contract::{declared_codes, find_operation};
use crate::support::schema::{problems, resolve};
use crate::support::{TestApp, run};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

#[test]
fn the_document_is_served_to_anybody() {
    run(async {
        let app = TestApp::start().await;
        let reply = app.anonymous().get("/openapi.json").send().await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(&reply.json(), document());
        assert_eq!(reply.json()["openapi"], "3.1.0");
        let tag = reply.header("etag").expect("a tag").to_owned();
        let again = app.anonymous().get("/openapi.json").header("if-none-match", &tag).send().await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    });
}

#[test]
fn every_route_is_in_the_document_and_the_document_has_no_other() {
    run(async {
        let app = TestApp::start().await;
        let nobody = app.anonymous();
        // The operators' routes follow the dashboard, not the public API; the README has their table.
        for pattern in api::patterns().into_iter().filter(|pattern| !pattern.starts_with("/api/v1/")) {
            for method in METHODS {
                let path = with_values(pattern);
                let reply = nobody.ask(method, &path).send().await;
                let is_served = !reply.text().contains("There is nothing at this address.");
                let is_described = find_operation(method, &path).is_some();
                assert_eq!(is_served, is_described, "{method} {pattern}");
            }
        }
        for operation in operations() {
            let path = with_values(operation.path);
            let reply = nobody.ask(&operation.method.to_uppercase(), &path).send().await;
            let is_served = !reply.text().contains("There is nothing at this address.");
            assert!(is_served, "{} {} is not served", operation.method, operation.path);
        }
    });
}

fn with_values(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| if segment.starts_with('{') { "x" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn operations_have_names_of_their_own_and_parameters_for_their_paths() {
    let mut ids = HashSet::new();
    for operation in operations() {
        assert!(ids.insert(operation.id), "{} is there twice", operation.id);
        let json = operation.to_json();
        let parameters = json["parameters"].as_array().cloned().unwrap_or_default();
        let mut names = HashSet::new();
        for parameter in &parameters {
            assert!(
                names.insert((parameter["in"].to_string(), parameter["name"].to_string())),
                "{parameter}"
            );
        }
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let named: HashSet<String> =
            in_path.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect();
        let path = operation.document_path();
        let wanted: HashSet<String> = path
            .split('/')
            .filter_map(|segment| Some(segment.strip_prefix('{')?.strip_suffix('}')?.to_owned()))
            .collect();
        assert_eq!(named, wanted, "{path}");
    }
}

#[test]
fn every_schema_is_one_that_the_tests_understand() {
    let mut seen = 0;
    visit(document(), &mut |key, value| {
        if key == "$ref" {
            resolve(document(), value);
        }
        if key == "schema" {
            seen += 1;
            // Judging anything panics at an unknown keyword or a dangling reference.
            for sample in [json!(null), json!("x"), json!(1), json!([{}]), json!({"a": {}})] {
                problems(document(), value, &sample);
            }
        }
    });
    assert!(seen > 300, "{seen} schemas");
}

fn visit(value: &Value, found: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            found(key, member);
            visit(member, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
        _ => {}
    }
}

#[test]
fn every_code_has_a_meaning_and_every_meaning_a_route() {
    let declared = declared_codes();
    let without: Vec<&&str> = declared.keys().filter(|code| meaning(code).is_none()).collect();
    assert!(without.is_empty(), "no meaning is written down for {without:?}");
    let unused: Vec<&str> = api::openapi::MEANINGS
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| !declared.contains_key(code))
        .collect();
    assert!(unused.is_empty(), "no route answers {unused:?}");
}

#[test]
fn the_old_forms_are_deprecated() {
    let deprecated: HashSet<String> = operations()
        .iter()
        .filter(|operation| operation.to_json()["deprecated"] == true)
        .map(|operation| operation.document_path())
        .collect();
    let expected = [
        "/config/{providerConfigKey}",
        "/connection",
        "/connection/metadata",
        "/connection/{connection_id}",
        "/connection/{connection_id}/metadata",
        "/v1/{endpoint}",
    ];
    assert_eq!(deprecated, HashSet::from(expected.map(str::to_owned)));
}

/// Spot checks that schemas come out of the readers and the types as they should.
#[test]
fn schemas_say_what_is_taken_and_given() {
    let paths = &document()["paths"];
    let body = &paths["/environments"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(
        (&body["required"], &body["additionalProperties"], &body["properties"]["name"]["pattern"]),
        (&json!(["name"]), &json!(false), &json!("^[a-z0-9_-]+$"))
    );
    let session = &paths["/connect/sessions"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(session["anyOf"], json!([{"required": ["end_user"]}, {"required": ["tags"]}]));
    let import = &paths["/connections"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    let kinds: Vec<&Value> = import["properties"]["credentials"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variant| &variant["properties"]["type"]["const"])
        .collect();
    assert_eq!(
        json!(kinds),
        json!(["OAUTH1", "OAUTH2", "OAUTH2_CC", "BASIC", "API_KEY", "CUSTOM", "APP", "NONE", "TBA"])
    );
    let list = &paths["/connections"]["get"];
    let tags = list["parameters"].as_array().unwrap().iter().find(|parameter| parameter["name"] == "tags");
    assert_eq!(tags.unwrap()["style"], "deepObject");
    assert_eq!(
        list["security"],
        json!([{"secretKey": ["environment:connections:list"]}, {"secretKey": ["environment:connections:list_credentials"]}])
    );
    let connection = &document()["components"]["schemas"]["Connection"];
    let required = connection["required"].as_array().unwrap();
    assert_eq!(required.len(), connection["properties"].as_object().unwrap().len(), "{required:?}");
}
