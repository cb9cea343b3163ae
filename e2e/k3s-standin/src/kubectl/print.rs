//! Output formats: tables, JSON, YAML, names, JSONPath.

use serde::Serialize as _;
use serde_json::{Value, json};

use super::{Complaint, jsonpath, yaml};
use crate::api::resources::Resource;
use crate::output;

/// How to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A table; wide or not.
    Table(bool),
    /// JSON with four spaces.
    Json,
    /// YAML.
    Yaml,
    /// `kind/name` lines.
    Name,
    /// A JSONPath template.
    JsonPath(String),
}

impl Format {
    /// From `-o`.
    ///
    /// # Errors
    /// kubectl's text for an unknown format.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Complaint> {
        match text {
            None | Some("") => Ok(Self::Table(false)),
            Some("wide") => Ok(Self::Table(true)),
            Some("json") => Ok(Self::Json),
            Some("yaml") => Ok(Self::Yaml),
            Some("name") => Ok(Self::Name),
            Some(other) => match other.strip_prefix("jsonpath=") {
                Some(template) => Ok(Self::JsonPath(template.to_owned())),
                None => Err(Complaint::new(format!(
                    "error: unable to match a printer suitable for the output format \"{other}\", allowed formats are: json,jsonpath,name,wide,yaml"
                ))),
            },
        }
    }
}

/// Prints an object or a list in any format but a table.
///
/// # Errors
/// When the JSONPath template is broken.
pub(super) fn object(format: &Format, value: &Value) -> Result<(), Complaint> {
    match format {
        Format::Json => {
            output::line(pretty(value));
        }
        Format::Yaml => output::text(yaml::document(value)),
        Format::JsonPath(template) => {
            let text = jsonpath::render(template, value)
                .map_err(|error| Complaint::new(format!("error: {error}")))?;
            output::text(text);
        }
        Format::Name | Format::Table(_) => {}
    }
    Ok(())
}

/// JSON with four spaces of indentation, as kubectl prints it.
fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, format);
    if value.serialize(&mut serializer).is_err() {
        return value.to_string();
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `node/n1`, `deployment.apps/web`.
pub(super) fn typed_name(resource: &Resource, name: &str) -> String {
    if resource.group.is_empty() {
        format!("{}/{name}", resource.singular)
    } else {
        format!("{}.{}/{name}", resource.singular, resource.group)
    }
}

/// Several objects as one `List`.
pub(super) fn list(items: Vec<Value>) -> Value {
    json!({
        "apiVersion": "v1", "items": items, "kind": "List",
        "metadata": {"resourceVersion": "", "selfLink": ""},
    })
}

/// How a table is printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableStyle {
    /// All columns.
    pub(super) wide: bool,
    /// A column for the namespace.
    pub(super) namespaces: bool,
    /// A heading.
    pub(super) heading: bool,
    /// Names with their kind, as among several kinds.
    pub(super) typed: bool,
}

/// Rows of several tables of one kind, aligned.
pub(super) fn table(resource: &Resource, tables: &[Value], style: TableStyle) -> String {
    let Some(first) = tables.first() else {
        return String::new();
    };
    let definitions = first["columnDefinitions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let shown: Vec<usize> = (0..definitions.len())
        .filter(|&at| style.wide || definitions[at]["priority"].as_i64().unwrap_or(0) == 0)
        .collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    if style.heading {
        let names = shown
            .iter()
            .map(|&at| definitions[at]["name"].as_str().unwrap_or_default());
        let namespace = style.namespaces.then_some("Namespace");
        rows.push(
            namespace
                .into_iter()
                .chain(names)
                .map(str::to_uppercase)
                .collect(),
        );
    }
    for row in tables
        .iter()
        .flat_map(|table| table["rows"].as_array().into_iter().flatten())
    {
        let namespace = row["object"]["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default();
        let mut cells = Vec::new();
        if style.namespaces {
            cells.push(namespace.to_owned());
        }
        cells.extend(shown.iter().map(|&at| match cell(&row["cells"][at]) {
            name if at == 0 && style.typed => typed_name(resource, &name),
            text => text,
        }));
        rows.push(cells);
    }
    aligned(&rows, 3)
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<none>".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Columns padded to their widest cell plus `gap`; nothing after the last one.
pub(crate) fn aligned(rows: &[Vec<String>], gap: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|c| c.chars().count())
                .max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    let mut out = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if at + 1 < row.len() {
                let padding = widths[at] + gap - cell.chars().count();
                out.extend(std::iter::repeat_n(' ', padding));
            }
        }
        out.push('\n');
    }
    out
}
