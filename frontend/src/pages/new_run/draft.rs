//! The inputs while they are being filled in: one text, switch or set for each field.

use coxswain_wire::{Condition, Field, FieldKind, FieldValue, Inputs};
use leptos::prelude::*;

/// One field's value in the making.
#[derive(Clone, Copy)]
pub(super) enum Cell {
    /// Text, choice, or the number of a cluster or host; lists have one entry a line.
    Text(RwSignal<String>),
    Switch(RwSignal<bool>),
    Ids(RwSignal<Vec<i64>>),
}

/// All fields of a form.
#[derive(Clone, Copy)]
pub(super) struct Draft {
    cells: StoredValue<Vec<Asked>>,
}

/// A field's value in the making, and when it is asked for.
struct Asked {
    name: String,
    cell: Cell,
    only_if: Option<Condition>,
}

impl Draft {
    /// Starts from the defaults; `given` fills in by field name.
    pub(super) fn new(fields: &[Field], given: impl Fn(&str) -> Option<String>) -> Self {
        let cells = fields
            .iter()
            .map(|field| {
                let wish = given(&field.name);
                let default = field.default.as_ref();
                Asked {
                    name: field.name.clone(),
                    cell: start(&field.kind, default, wish),
                    only_if: field.only_if.clone(),
                }
            })
            .collect();
        Self {
            cells: StoredValue::new(cells),
        }
    }

    /// A field's value in the making.
    pub(super) fn cell(self, name: &str) -> Option<Cell> {
        self.cells.with_value(|cells| {
            cells
                .iter()
                .find(|asked| asked.name == name)
                .map(|asked| asked.cell)
        })
    }

    /// When another field is asked for.
    fn condition(self, name: &str) -> Option<Condition> {
        self.cells.with_value(|cells| {
            let asked = cells.iter().find(|asked| asked.name == name);
            asked.and_then(|asked| asked.only_if.clone())
        })
    }

    /// Whether a field is asked for now: its condition holds, and so does that of the field which it names.
    pub(super) fn holds(self, condition: Option<&Condition>) -> bool {
        let Some(condition) = condition else {
            return true;
        };
        // A condition names a field before its own: this comes to an end.
        if !self.holds(self.condition(&condition.field).as_ref()) {
            return false;
        }
        match (self.cell(&condition.field), &condition.equals) {
            (Some(Cell::Switch(on)), FieldValue::Bool(wanted)) => on.get() == *wanted,
            (Some(Cell::Text(text)), FieldValue::Text(wanted)) => text.get() == *wanted,
            (Some(Cell::Text(text)), FieldValue::Id(wanted)) => text.get() == wanted.to_string(),
            (Some(Cell::Text(_) | Cell::Switch(_) | Cell::Ids(_)) | None, _) => false,
        }
    }

    /// What is sent: fields that are asked for, without those left empty.
    pub(super) fn inputs(self, fields: &[Field]) -> Inputs {
        untrack(|| {
            fields
                .iter()
                .filter(|field| self.holds(field.only_if.as_ref()))
                .filter_map(|field| {
                    let value = finish(&field.kind, self.cell(&field.name)?)?;
                    Some((field.name.clone(), value))
                })
                .collect()
        })
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.trim().trim_end_matches(',').to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

fn start(kind: &FieldKind, default: Option<&FieldValue>, wish: Option<String>) -> Cell {
    match kind {
        FieldKind::Bool => {
            let default = matches!(default, Some(FieldValue::Bool(true)));
            Cell::Switch(RwSignal::new(wish.map_or(default, |w| w == "true")))
        }
        FieldKind::Hosts => {
            let default = match default {
                Some(FieldValue::Ids(ids)) => ids.clone(),
                Some(
                    FieldValue::Bool(_)
                    | FieldValue::Id(_)
                    | FieldValue::Text(_)
                    | FieldValue::List(_),
                )
                | None => Vec::new(),
            };
            Cell::Ids(RwSignal::new(wish.map_or(default, |w| {
                w.split(',')
                    .filter_map(|id| id.trim().parse().ok())
                    .collect()
            })))
        }
        FieldKind::Text { .. }
        | FieldKind::Choice { .. }
        | FieldKind::TextList { .. }
        | FieldKind::Cluster
        | FieldKind::Host
        | FieldKind::Snapshot => {
            let default = match default {
                Some(FieldValue::Text(text)) => text.clone(),
                Some(FieldValue::Id(id)) => id.to_string(),
                Some(FieldValue::List(list)) => list.join("\n"),
                Some(FieldValue::Bool(_) | FieldValue::Ids(_)) | None => String::new(),
            };
            Cell::Text(RwSignal::new(wish.unwrap_or(default)))
        }
    }
}

fn finish(kind: &FieldKind, cell: Cell) -> Option<FieldValue> {
    match (kind, cell) {
        (FieldKind::Bool, Cell::Switch(on)) => Some(FieldValue::Bool(on.get())),
        (FieldKind::Hosts, Cell::Ids(ids)) => {
            let ids = ids.get();
            (!ids.is_empty()).then_some(FieldValue::Ids(ids))
        }
        (FieldKind::Cluster | FieldKind::Host, Cell::Text(text)) => {
            text.get().parse().ok().map(FieldValue::Id)
        }
        (FieldKind::TextList { .. }, Cell::Text(text)) => {
            let list = lines(&text.get());
            (!list.is_empty()).then_some(FieldValue::List(list))
        }
        (
            FieldKind::Text { .. } | FieldKind::Choice { .. } | FieldKind::Snapshot,
            Cell::Text(text),
        ) => {
            let text = text.get().trim().to_owned();
            (!text.is_empty()).then_some(FieldValue::Text(text))
        }
        // `start` gives each kind its cell.
        (
            FieldKind::Bool
            | FieldKind::Hosts
            | FieldKind::Cluster
            | FieldKind::Host
            | FieldKind::TextList { .. }
            | FieldKind::Text { .. }
            | FieldKind::Choice { .. }
            | FieldKind::Snapshot,
            _,
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: FieldKind, only_if: Option<Condition>) -> Field {
        Field {
            name: name.into(),
            label: String::new(),
            help: String::new(),
            kind,
            required: false,
            default: None,
            only_if,
        }
    }

    #[test]
    fn only_what_is_asked_for_is_sent() {
        let owner = Owner::new();
        owner.set();
        let when_on = Condition {
            field: "clean".into(),
            equals: FieldValue::Bool(true),
        };
        let fields = [
            field("cluster", FieldKind::Cluster, None),
            field("clean", FieldKind::Bool, None),
            field(
                "why",
                FieldKind::Text {
                    placeholder: String::new(),
                },
                Some(when_on),
            ),
            field(
                "sans",
                FieldKind::TextList {
                    placeholder: String::new(),
                },
                None,
            ),
        ];
        let draft = Draft::new(&fields, |name| match name {
            "cluster" => Some("3".into()),
            "why" => Some("because".into()),
            "sans" => Some("a.example\n\n b.example,\n".into()),
            _ => None,
        });
        let sent = draft.inputs(&fields);
        assert_eq!(sent.get("cluster"), Some(&FieldValue::Id(3)));
        assert_eq!(sent.get("clean"), Some(&FieldValue::Bool(false)));
        assert_eq!(sent.get("why"), None);
        assert_eq!(
            sent.get("sans"),
            Some(&FieldValue::List(vec![
                "a.example".into(),
                "b.example".into()
            ]))
        );

        if let Some(Cell::Switch(clean)) = draft.cell("clean") {
            clean.set(true);
        }
        assert_eq!(
            draft.inputs(&fields).get("why"),
            Some(&FieldValue::Text("because".into()))
        );
    }

    #[test]
    fn what_hangs_on_a_field_that_is_not_asked_for_is_not_asked_for() {
        let owner = Owner::new();
        owner.set();
        let text = || FieldKind::Text {
            placeholder: String::new(),
        };
        let only_if = |field: &str, value: &str| {
            Some(Condition {
                field: field.into(),
                equals: FieldValue::Text(value.into()),
            })
        };
        let fields = [
            field("what", text(), None),
            field("extent", text(), only_if("what", "rotate")),
            field("services", text(), only_if("extent", "some")),
        ];
        let draft = Draft::new(&fields, |name| {
            let given = [
                ("what", "rotate"),
                ("extent", "some"),
                ("services", "kubelet"),
            ];
            let found = given.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        assert_eq!(draft.inputs(&fields).len(), 3);
        if let Some(Cell::Text(what)) = draft.cell("what") {
            what.set("clean_up".into());
        }
        assert_eq!(draft.inputs(&fields).len(), 1);
    }
}
