//! `kubectl get`.

use serde_json::Value;

use super::args::Args;
use super::client::Kube;
use super::print::{self, Format, TableStyle};
use super::{Complaint, Outcome};
use crate::api::resources::{self, Resource};
use crate::output;

/// A kind with the names asked for; no names means all.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Kind.
    pub(super) resource: &'static Resource,
    /// Names.
    pub(super) names: Vec<String>,
}

/// Runs `get`.
pub(super) async fn run(kube: &Kube, args: &Args) -> Outcome {
    if let Some(path) = args.value("raw") {
        let body = kube.raw(path).await?;
        output::text(String::from_utf8_lossy(&body));
        return Ok(());
    }
    let format = Format::parse(args.value("output"))?;
    let wanted = wanted(&args.words)?;
    if let Format::Table(wide) = format {
        return tables(kube, args, &wanted, wide).await;
    }
    let mut items = Vec::new();
    let mut complaint = None;
    for kind in &wanted {
        for path in paths(args, kind) {
            match kube.get(&path, false).await {
                Ok(value) => items.extend(flattened(value, kind)),
                Err(error) => complaint = Some(error),
            }
        }
    }
    if format == Format::Name {
        for (kind, item) in &items {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            output::line(print::typed_name(kind, name));
        }
    } else {
        let single = wanted.len() == 1 && wanted[0].names.len() == 1;
        let mut values: Vec<Value> = items.into_iter().map(|(_, value)| value).collect();
        match (single, values.pop()) {
            (true, Some(only)) => print::object(&format, &only)?,
            (true, None) => {}
            (false, last) => {
                values.extend(last);
                print::object(&format, &print::list(values))?;
            }
        }
    }
    complain(args, complaint)
}

/// Absent objects are no failure with `--ignore-not-found`.
fn complain(args: &Args, complaint: Option<Complaint>) -> Outcome {
    match complaint {
        Some(error) if args.switch("ignore-not-found") && error.0.contains("(NotFound)") => Ok(()),
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn flattened(value: Value, kind: &Wanted) -> Vec<(&'static Resource, Value)> {
    match value["items"].as_array() {
        Some(items) => items
            .iter()
            .map(|item| (kind.resource, item.clone()))
            .collect(),
        None => vec![(kind.resource, value)],
    }
}

async fn tables(kube: &Kube, args: &Args, wanted: &[Wanted], wide: bool) -> Outcome {
    let mut complaint = None;
    for (at, kind) in wanted.iter().enumerate() {
        let mut tables = Vec::new();
        for path in paths(args, kind) {
            match kube.get(&path, true).await {
                Ok(table) => tables.push(table),
                Err(error) => {
                    if let Some(earlier) = complaint.replace(error) {
                        output::error_line(earlier.0);
                    }
                }
            }
        }
        let empty = tables
            .iter()
            .all(|table| table["rows"].as_array().is_none_or(Vec::is_empty));
        if empty {
            if complaint.is_none() && wanted.len() == 1 {
                output::error_line(nothing(args, kind.resource));
            }
            continue;
        }
        if at > 0 {
            output::line("");
        }
        let style = TableStyle {
            wide,
            namespaces: args.switch("all-namespaces") && kind.resource.namespaced,
            heading: !args.switch("no-headers"),
            typed: wanted.len() > 1,
        };
        output::text(print::table(kind.resource, &tables, style));
    }
    complain(args, complaint)
}

fn nothing(args: &Args, resource: &Resource) -> String {
    if resource.namespaced && !args.switch("all-namespaces") {
        format!("No resources found in {} namespace.", args.namespace())
    } else {
        "No resources found".to_owned()
    }
}

/// Kinds and names from words: `nodes`, `pods,nodes`, `node n1 n2`, `node/n1 pod/p1`.
///
/// # Errors
/// kubectl's text for an unknown kind.
pub(super) fn wanted(words: &[String]) -> Result<Vec<Wanted>, Complaint> {
    let find = |word: &str| {
        resources::named(word).ok_or_else(|| {
            Complaint::new(format!(
                "error: the server doesn't have a resource type \"{word}\""
            ))
        })
    };
    let Some((first, names)) = words.split_first() else {
        return Err(Complaint::new(
            "error: You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.",
        ));
    };
    if first.contains('/') {
        return words
            .iter()
            .map(|word| {
                let (kind, name) = word.split_once('/').unwrap_or((word, ""));
                Ok(Wanted {
                    resource: find(kind)?,
                    names: vec![name.to_owned()],
                })
            })
            .collect();
    }
    let names = names.to_vec();
    first
        .split(',')
        .map(|kind| {
            Ok(Wanted {
                resource: find(kind)?,
                names: names.clone(),
            })
        })
        .collect()
}

/// Paths of the requests for a kind.
fn paths(args: &Args, kind: &Wanted) -> Vec<String> {
    let all = args.switch("all-namespaces");
    let namespace = (!all).then(|| args.namespace());
    if kind.names.is_empty() {
        let mut path = kind.resource.path(namespace, None);
        let mut sign = '?';
        for (flag, parameter) in [
            ("selector", "labelSelector"),
            ("field-selector", "fieldSelector"),
        ] {
            if let Some(value) = args.value(flag) {
                path.push_str(&format!("{sign}{parameter}={}", encode(value)));
                sign = '&';
            }
        }
        return vec![path];
    }
    kind.names
        .iter()
        .map(|name| kind.resource.path(namespace, Some(name)))
        .collect()
}

/// Percent-encodes everything that is not plain.
pub(super) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
