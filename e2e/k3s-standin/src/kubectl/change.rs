//! `kubectl create`, `apply`, `scale`, `cordon`, `uncordon`, `label`, `annotate`.

use std::io::Read as _;

use hyper::Method;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::args::Args;
use super::client::Kube;
use super::get::wanted;
use super::print::typed_name;
use super::{Complaint, Outcome};
use crate::api::resources::{self, Resource};
use crate::output;

const JSON: &str = "application/json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";

/// Runs `create`.
pub(super) async fn create(kube: &Kube, args: &Args) -> Outcome {
    if let Some(file) = args.value("filename") {
        for object in documents(file)? {
            let resource = kind_of(&object)?;
            post(kube, args, resource, object).await?;
        }
        return Ok(());
    }
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["configmap" | "cm", name] => {
            let object = json!({"metadata": {"name": name}, "data": literals(args)?});
            post(kube, args, resources::configmaps(), object).await
        }
        ["secret", "generic", name] => {
            let object = json!({
                "metadata": {"name": name}, "type": "Opaque", "stringData": literals(args)?,
            });
            post(kube, args, resources::secrets(), object).await
        }
        ["namespace" | "ns", name] => {
            post(
                kube,
                args,
                resources::namespaces(),
                json!({"metadata": {"name": name}}),
            )
            .await
        }
        ["deployment" | "deploy", name] => {
            post(
                kube,
                args,
                resources::deployments(),
                deployment(args, name)?,
            )
            .await
        }
        [kind, ..] => Err(Complaint::new(format!(
            "error: Unexpected args: [{kind}]\nSee 'kubectl create -h' for help and examples"
        ))),
        [] => Err(Complaint::new("error: must specify one of -f and -k")),
    }
}

fn deployment(args: &Args, name: &str) -> Result<Value, Complaint> {
    let Some(image) = args.value("image") else {
        return Err(Complaint::new("error: required flag(s) \"image\" not set"));
    };
    let replicas: u64 = args
        .value("replicas")
        .unwrap_or("1")
        .parse()
        .map_err(|_| Complaint::new("error: invalid argument for \"--replicas\" flag"))?;
    let container = image
        .rsplit('/')
        .next()
        .and_then(|image| image.split(':').next());
    let labels = json!({"app": name});
    Ok(json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": container, "image": image}]},
            },
        },
    }))
}

fn literals(args: &Args) -> Result<Map<String, Value>, Complaint> {
    args.values("from-literal")
        .iter()
        .map(|literal| match literal.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), json!(value))),
            None => Err(Complaint::new(format!(
                "error: invalid literal source {literal}, expected key=value"
            ))),
        })
        .collect()
}

async fn post(kube: &Kube, args: &Args, resource: &Resource, object: Value) -> Outcome {
    let namespace = object["metadata"]["namespace"]
        .as_str()
        .unwrap_or(args.namespace())
        .to_owned();
    let path = resource.path(Some(&namespace), None);
    let created = kube.change(Method::POST, &path, JSON, &object).await?;
    let name = created["metadata"]["name"].as_str().unwrap_or_default();
    output::line(format!("{} created", typed_name(resource, name)));
    Ok(())
}

/// Runs `apply`: creates what is missing and merges into what exists.
pub(super) async fn apply(kube: &Kube, args: &Args) -> Outcome {
    let Some(file) = args.value("filename") else {
        return Err(Complaint::new("error: must specify one of -f and -k"));
    };
    for object in documents(file)? {
        let resource = kind_of(&object)?;
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or(args.namespace())
            .to_owned();
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let path = resource.path(Some(&namespace), Some(&name));
        if kube.exists(&path, &Value::Null).await? {
            kube.change(Method::PATCH, &path, STRATEGIC, &object)
                .await?;
            output::line(format!("{} configured", typed_name(resource, &name)));
        } else {
            post(kube, args, resource, object).await?;
        }
    }
    Ok(())
}

/// Objects of a YAML or JSON file, or of stdin.
fn documents(file: &str) -> Result<Vec<Value>, Complaint> {
    let fail = |text: String| Complaint::new(format!("error: {text}"));
    let mut text = String::new();
    if file == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| fail(error.to_string()))?;
    } else {
        text = std::fs::read_to_string(file)
            .map_err(|_| fail(format!("the path \"{file}\" does not exist")))?;
    }
    let mut objects = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let value = Value::deserialize(document)
            .map_err(|error| fail(format!("error parsing {file}: {error}")))?;
        match value["items"].as_array() {
            Some(items) => objects.extend(items.iter().cloned()),
            None if value.is_object() => objects.push(value),
            None => {}
        }
    }
    Ok(objects)
}

fn kind_of(object: &Value) -> Result<&'static Resource, Complaint> {
    let (kind, version) = (
        &object["kind"],
        object["apiVersion"].as_str().unwrap_or_default(),
    );
    resources::RESOURCES
        .iter()
        .find(|resource| json!(resource.kind) == *kind && resource.api_version() == version)
        .ok_or_else(|| {
            Complaint::new(format!(
                "error: unable to recognize: no matches for kind {kind} in version \"{version}\""
            ))
        })
}

/// Runs `scale`.
pub(super) async fn scale(kube: &Kube, args: &Args) -> Outcome {
    let Some(replicas) = args
        .value("replicas")
        .and_then(|text| text.parse::<u64>().ok())
    else {
        return Err(Complaint::new(
            "error: The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0",
        ));
    };
    for kind in wanted(&args.words)? {
        for name in &kind.names {
            let path = kind.resource.path(Some(args.namespace()), Some(name)) + "/scale";
            let body = json!({"spec": {"replicas": replicas}});
            kube.change(Method::PATCH, &path, MERGE, &body).await?;
            output::line(format!("{} scaled", typed_name(kind.resource, name)));
        }
    }
    Ok(())
}

/// Runs `cordon` and `uncordon`.
pub(super) async fn cordon(kube: &Kube, args: &Args, on: bool) -> Outcome {
    let word = if on { "cordoned" } else { "uncordoned" };
    for name in &args.words {
        let name = name.strip_prefix("node/").unwrap_or(name);
        let path = resources::nodes().path(None, Some(name));
        let node = kube.get(&path, false).await?;
        if (node["spec"]["unschedulable"] == json!(true)) == on {
            output::line(format!("node/{name} already {word}"));
            continue;
        }
        let value = if on { json!(true) } else { Value::Null };
        let body = json!({"spec": {"unschedulable": value}});
        kube.change(Method::PATCH, &path, STRATEGIC, &body).await?;
        output::line(format!("node/{name} {word}"));
    }
    Ok(())
}

/// Runs `label` and `annotate`: `<kind> <name> key=value key-`.
pub(super) async fn metadata(kube: &Kube, args: &Args, field: &str, word: &str) -> Outcome {
    let change = |text: &String| text.contains('=') || text.ends_with('-');
    let (changes, objects): (Vec<String>, Vec<String>) =
        args.words.iter().cloned().partition(change);
    let mut map = Map::new();
    for text in &changes {
        match text.split_once('=') {
            Some((key, value)) => map.insert(key.to_owned(), json!(value)),
            None => map.insert(text.trim_end_matches('-').to_owned(), Value::Null),
        };
    }
    for kind in wanted(&objects)? {
        for name in &kind.names {
            let path = kind.resource.path(Some(args.namespace()), Some(name));
            let body = json!({"metadata": {field: map}});
            kube.change(Method::PATCH, &path, MERGE, &body).await?;
            output::line(format!("{} {word}", typed_name(kind.resource, name)));
        }
    }
    Ok(())
}
