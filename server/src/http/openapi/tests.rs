use std::collections::BTreeSet;

use serde_json::{Map, Value};
use utoipa::OpenApi;

use super::*;
use crate::http::routes;
use crate::listeners::Surface;

fn document() -> Value {
    serde_json::to_value(ApiDescription::openapi()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, &Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(method, operation)| {
                let name = format!("{} {path}", method.to_uppercase());
                (name, operation.as_object().unwrap())
            })
    });
    all.collect()
}

#[test]
fn every_route_is_described_and_everything_described_is_a_route() {
    let described: BTreeSet<String> = operations(&document())
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let surfaces = [
        (Surface::Main, false),
        (Surface::Main, true),
        (Surface::Admin, true),
    ];
    let registered: BTreeSet<String> = surfaces
        .into_iter()
        .flat_map(|(surface, has_admin_address)| routes::endpoints(surface, has_admin_address))
        .flat_map(|endpoint| {
            let path = endpoint.path();
            let methods = endpoint.methods().iter();
            methods
                .map(|method| format!("{method} {path}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(described, registered);
    assert!(registered.len() >= 18, "{registered:?}");
}

#[test]
fn admin_routes_move_to_their_own_address() {
    let paths = |surface, has_admin_address| -> BTreeSet<&'static str> {
        routes::endpoints(surface, has_admin_address)
            .iter()
            .map(Endpoint::path)
            .collect()
    };
    let is_admin = |path: &&str| path.starts_with("/admin/");
    let is_user = |path: &&str| path.starts_with("/v1/");
    let shared = paths(Surface::Main, false);
    assert!(shared.iter().any(is_admin) && shared.iter().any(is_user));
    let main = paths(Surface::Main, true);
    assert!(!main.iter().any(is_admin) && main.iter().any(is_user));
    let admin = paths(Surface::Admin, true);
    assert!(admin.iter().any(is_admin) && !admin.iter().any(is_user));
    for always in ["/", "/health", "/ready", "/openapi.json"] {
        assert!(main.contains(always) && admin.contains(always), "{always}");
    }
}

#[test]
fn the_document_is_openapi_3_1() {
    let document = document();
    let text = document.to_string();
    let spec = oas3::from_json(&text).unwrap();
    spec.validate_version().unwrap();
    assert!(spec.openapi.starts_with("3.1"), "{}", spec.openapi);
    let operations = spec.operations().count();
    assert_eq!(operations, self::operations(&document).len());
    for (path, method, operation) in spec.operations() {
        let at = format!("{method} {path}");
        assert!(operation.operation_id.is_some(), "{at}");
        for (status, response) in operation.responses.as_ref().unwrap() {
            let response = response.resolve(&spec).unwrap();
            assert!(response.description.is_some(), "{at} {status}");
            for media in response.content.values() {
                media.schema(&spec).unwrap().unwrap();
            }
        }
        for parameter in operation.parameters(&spec).unwrap() {
            let in_path = parameter.location == oas3::spec::ParameterIn::Path;
            let name = format!("{{{}}}", parameter.name);
            assert_eq!(in_path, path.contains(&name), "{at} {}", parameter.name);
            assert!(!in_path || parameter.required == Some(true), "{at}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let document = document();
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in &references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for schema in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        let reference = format!("#/components/schemas/{schema}");
        assert!(references.contains(&reference), "{schema} is not used");
    }
}

fn collect_references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                into.insert(reference.clone());
            }
            fields
                .values()
                .for_each(|value| collect_references(value, into));
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_references(value, into)),
        _ => {}
    }
}

fn takes_user_token(operation: &Map<String, Value>) -> bool {
    let security = operation.get("security");
    security.is_some_and(|security| security[0]["userToken"].is_array())
}

#[test]
fn operations_name_their_tokens_and_the_shape_of_their_errors() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].to_string()), "{name}");
        assert!(operation["summary"].is_string(), "{name}");
        let responses = operation["responses"].as_object().unwrap();
        // The page itself asks for no token, and its feed for one in the first message.
        let token = if name.contains(" /admin/v1/") && name != "GET /admin/v1/live" {
            Some("adminToken")
        } else if name.contains("/websocket/") || takes_user_token(operation) {
            Some("userToken")
        } else {
            None
        };
        if let Some(token) = token {
            assert!(operation["security"][0][token].is_array(), "{name}");
            assert!(responses.contains_key("401"), "{name}");
            // The dashboard is for tokens of one user.
            let refuses_others = token == "adminToken" || name.contains(" /v1/dashboard");
            assert_eq!(responses.contains_key("403"), refuses_others, "{name}");
        }
        if operation.contains_key("requestBody") {
            assert!(
                responses.contains_key("400") && responses.contains_key("413"),
                "{name}"
            );
        }
        for (status, response) in responses {
            let is_error = status.parse::<u16>().unwrap() >= 400;
            let content = &response["content"];
            let is_ready = name == "GET /ready" || name == "GET /health/ready";
            if is_error && !is_ready && content.get("text/plain").is_none() {
                let schema = &content["application/json"]["schema"]["$ref"];
                let is_engine = name == "GET /socket.io" && status != "404";
                let body = if is_engine {
                    "#/components/schemas/EngineErrorBody"
                } else if name.contains(" /api/v1/") {
                    "#/components/schemas/EventErrorBody"
                } else {
                    "#/components/schemas/ErrorBody"
                };
                assert_eq!(schema, body, "{name} {status}");
            }
        }
    }
}
