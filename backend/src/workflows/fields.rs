//! Fields of a workflow's form, as its description has them.

use coxswain_wire::{Choice, Condition, Field, FieldKind, FieldValue};

/// A line of text that may stay empty.
pub(super) fn text(name: &str, label: &str, help: &str, placeholder: &str) -> Field {
    let placeholder = placeholder.to_owned();
    field(name, label, help, FieldKind::Text { placeholder })
}

/// Several lines of text, none at all too.
pub(super) fn list(name: &str, label: &str, help: &str, placeholder: &str) -> Field {
    let placeholder = placeholder.to_owned();
    field(name, label, help, FieldKind::TextList { placeholder })
}

/// The cluster that a run is about.
pub(super) fn cluster(help: &str) -> Field {
    required(field("cluster", "Cluster", help, FieldKind::Cluster))
}

/// One host of the inventory, or none.
pub(super) fn host(name: &str, label: &str, help: &str) -> Field {
    field(name, label, help, FieldKind::Host)
}

/// Hosts of the inventory, none at all too.
pub(super) fn hosts(name: &str, label: &str, help: &str) -> Field {
    field(name, label, help, FieldKind::Hosts)
}

/// One of the cluster's snapshots that the panel has taken.
pub(super) fn snapshot(name: &str, label: &str, help: &str) -> Field {
    field(name, label, help, FieldKind::Snapshot)
}

/// A switch that is off.
pub(super) fn flag(name: &str, label: &str, help: &str) -> Field {
    Field {
        default: Some(FieldValue::Bool(false)),
        ..field(name, label, help, FieldKind::Bool)
    }
}

/// One of several values with their labels; a person has to choose.
pub(super) fn choice(name: &str, label: &str, help: &str, choices: &[(&str, &str)]) -> Field {
    let choices = choices
        .iter()
        .map(|(value, label)| Choice {
            value: (*value).to_owned(),
            label: (*label).to_owned(),
        })
        .collect();
    required(field(name, label, help, FieldKind::Choice { choices }))
}

/// With a text that stands there at first.
pub(super) fn preset(value: &str, field: Field) -> Field {
    Field {
        default: Some(FieldValue::Text(value.to_owned())),
        ..field
    }
}

/// It must not stay empty.
pub(super) fn required(field: Field) -> Field {
    Field {
        required: true,
        ..field
    }
}

/// Shown and read only while another field has this text.
pub(super) fn only_if(other: &str, value: &str, field: Field) -> Field {
    let condition = Condition {
        field: other.to_owned(),
        equals: FieldValue::Text(value.to_owned()),
    };
    Field {
        only_if: Some(condition),
        ..field
    }
}

fn field(name: &str, label: &str, help: &str, kind: FieldKind) -> Field {
    Field {
        name: name.to_owned(),
        label: label.to_owned(),
        help: help.to_owned(),
        kind,
        required: false,
        default: None,
        only_if: None,
    }
}
