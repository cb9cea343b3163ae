//! The API's description: it is valid, and it says what the table of routes says.

use std::collections::BTreeSet;

use coxswain::http::routes;
use coxswain_wire::Role;
use serde_json::Value;

use crate::support::Panel;

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

async fn document() -> Value {
    let panel = Panel::new().await;
    panel
        .role(Role::Viewer)
        .await
        .get("/openapi.json")
        .await
        .is(200)
}

/// Method, path and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(METHODS.contains(&method.as_str()), "{method} {path}");
            found.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    found
}

/// Every `$ref`, wherever it stands.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
                found.insert(to.to_owned());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn a_clients_tools_can_read_it() {
    let document = document().await;
    let spec = oas3::from_json(document.to_string()).unwrap();
    assert!(spec.validate_version().is_ok());
    assert_eq!(spec.operations().count(), routes().len());
    let mut wanted = BTreeSet::new();
    references(&document, &mut wanted);
    assert!(wanted.contains("#/components/schemas/RunView"));
    for reference in wanted {
        let at = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(at).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn it_has_every_route_and_no_other() {
    let document = document().await;
    let described: BTreeSet<(String, String)> = operations(&document)
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let routes: BTreeSet<(String, String)> = routes()
        .iter()
        .map(|route| (route.method.to_string(), route.path.to_owned()))
        .collect();
    assert_eq!(described, routes);
}

#[tokio::test]
async fn every_operation_says_what_it_takes_and_gives() {
    let document = document().await;
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let at = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{at}: {id} twice");
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.contains_key("default"), "{at}");
        let good: Vec<&String> = answers.keys().filter(|k| k.starts_with('2')).collect();
        assert_eq!(good.len(), 1, "{at}: {good:?}");
        let says_nothing = answers[good[0]]["content"].is_null();
        assert_eq!(says_nothing, good[0] == "204", "{at}");
        let none = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&none);
        let in_path = parameters.iter().any(|p| p["in"] == "path");
        assert_eq!(in_path, path.contains("{id}"), "{at}");
        let csrf = parameters
            .iter()
            .any(|p| p["$ref"] == "#/components/parameters/Csrf");
        assert_eq!(csrf, method != "GET", "{at}");
        assert!(
            method != "GET" || operation["requestBody"].is_null(),
            "{at}"
        );
    }
}

#[tokio::test]
async fn types_are_those_of_the_wire() {
    let document = document().await;
    let body = &document["paths"]["/hosts"]["post"]["requestBody"]["content"];
    let new_host = "#/components/schemas/NewHost";
    assert_eq!(body["application/json"]["schema"]["$ref"], new_host);
    let new_host = &document["components"]["schemas"]["NewHost"];
    assert_eq!(new_host["additionalProperties"], false);
    assert_eq!(
        new_host["required"],
        serde_json::json!(["name", "ssh_address", "ssh_user", "credential"])
    );
    assert_eq!(new_host["properties"]["ssh_port"]["default"], 22);
    let query = &document["paths"]["/runs/{id}/tail"]["get"]["parameters"];
    let names: BTreeSet<&str> = query
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, BTreeSet::from(["before", "id", "line", "step"]));
}
