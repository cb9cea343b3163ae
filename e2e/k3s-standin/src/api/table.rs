//! Objects as a `meta.k8s.io/v1` Table, which kubectl prints.

use serde_json::{Value, json};

use super::columns::{Column, columns, row};
use super::resources::Resource;
use super::store::List;

/// The table of a list of objects.
pub(super) fn of(resource: &Resource, list: &List) -> Value {
    let definitions: Vec<Value> = columns(resource).iter().map(definition).collect();
    let rows: Vec<Value> = list
        .items
        .iter()
        .map(|object| {
            json!({
                "cells": row(resource, object),
                "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                    "metadata": object["metadata"],
                },
            })
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": list.revision.to_string()},
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name, "type": "string", "description": "",
        "format": if column.name == "Name" { "name" } else { "" },
        "priority": i32::from(column.wide),
    })
}
