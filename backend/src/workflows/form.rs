//! Inputs against the form: everything that is unknown, missing, or of another type is named.

use std::ops::RangeInclusive;

use coxswain_k3s::names::unseen;
use coxswain_wire::{Condition, Field, FieldKind, FieldValue, Inputs, WorkflowInfo};

use super::FieldError;

/// Inputs that fit their form, defaults filled in; and the errors found in them later.
pub(super) struct Form {
    values: Inputs,
    errors: Vec<FieldError>,
}

impl Form {
    /// Checks the inputs against the form.
    ///
    /// # Errors
    /// Every field that does not fit.
    pub(super) fn read(info: &WorkflowInfo, inputs: &Inputs) -> Result<Self, Vec<FieldError>> {
        let mut form = Self {
            values: Inputs::new(),
            errors: Vec::new(),
        };
        for name in inputs.keys() {
            if !info.fields.iter().any(|f| f.name == *name) {
                form.refuse(name, format!("{} does not ask for this.", info.title));
            }
        }
        // In the order of the form: a condition names a field before its own.
        for field in &info.fields {
            form.take(field, inputs.get(&field.name));
        }
        if form.errors.is_empty() {
            Ok(form)
        } else {
            Err(form.errors)
        }
    }

    fn take(&mut self, field: &Field, given: Option<&FieldValue>) {
        let given = given.filter(|value| !is_empty(value));
        if let Some(Condition {
            field: other,
            equals,
        }) = &field.only_if
            && self.values.get(other) != Some(equals)
        {
            if given.is_some() {
                self.refuse(
                    &field.name,
                    format!("This goes only with another choice of {other}."),
                );
            }
            return;
        }
        match given.or(field.default.as_ref().filter(|value| !is_empty(value))) {
            None if field.required => self.refuse(&field.name, "This is missing.".to_owned()),
            None => {}
            Some(value) => match misfit(&field.kind, value).or_else(|| unread(value)) {
                Some(why) => self.refuse(&field.name, why),
                None => {
                    self.values.insert(field.name.clone(), value.clone());
                }
            },
        }
    }

    /// Notes an error.
    pub(super) fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.errors.push(FieldError {
            field: field.to_owned(),
            message: message.into(),
        });
    }

    pub(super) fn text(&self, field: &str) -> Option<&str> {
        match self.values.get(field) {
            Some(FieldValue::Text(text)) => Some(text.trim()),
            Some(
                FieldValue::Bool(_) | FieldValue::Id(_) | FieldValue::Ids(_) | FieldValue::List(_),
            )
            | None => None,
        }
    }

    /// A text that must have a form of its own; noted if it has not. Absent is no error.
    pub(super) fn parsed<T>(&mut self, field: &str) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        match self.text(field)?.parse() {
            Ok(value) => Some(value),
            Err(why) => {
                self.refuse(field, format!("{why}."));
                None
            }
        }
    }

    /// A whole number within a range; noted if it is none. Absent is no error.
    pub(super) fn number(&mut self, field: &str, range: &RangeInclusive<u32>) -> Option<u32> {
        let given = self.text(field)?.parse().ok();
        let fits = given.filter(|number| range.contains(number));
        if fits.is_none() {
            let (least, most) = (range.start(), range.end());
            let message = format!("This must be a whole number from {least} to {most}.");
            self.refuse(field, message);
        }
        fits
    }

    /// The same of a field that may be left empty.
    pub(super) fn number_or(
        &mut self,
        field: &str,
        range: &RangeInclusive<u32>,
        default: u32,
    ) -> Option<u32> {
        match self.text(field) {
            Some(_) => self.number(field, range),
            None => Some(default),
        }
    }

    pub(super) fn list(&self, field: &str) -> Vec<String> {
        match self.values.get(field) {
            Some(FieldValue::List(texts)) => texts
                .iter()
                .map(|t| t.trim().to_owned())
                .filter(|t| !t.is_empty())
                .collect(),
            Some(
                FieldValue::Bool(_) | FieldValue::Id(_) | FieldValue::Ids(_) | FieldValue::Text(_),
            )
            | None => Vec::new(),
        }
    }

    pub(super) fn flag(&self, field: &str) -> bool {
        self.values.get(field) == Some(&FieldValue::Bool(true))
    }

    pub(super) fn id(&self, field: &str) -> Option<i64> {
        match self.values.get(field) {
            Some(FieldValue::Id(id)) => Some(*id),
            Some(
                FieldValue::Bool(_)
                | FieldValue::Text(_)
                | FieldValue::Ids(_)
                | FieldValue::List(_),
            )
            | None => None,
        }
    }

    pub(super) fn ids(&self, field: &str) -> Vec<i64> {
        match self.values.get(field) {
            Some(FieldValue::Ids(ids)) => ids.clone(),
            Some(
                FieldValue::Bool(_) | FieldValue::Text(_) | FieldValue::Id(_) | FieldValue::List(_),
            )
            | None => Vec::new(),
        }
    }

    /// The value, unless an error was noted.
    pub(super) fn or_errors<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            Some(_) | None => Err(self.errors),
        }
    }
}

/// As good as not given: pages send empty inputs too.
fn is_empty(value: &FieldValue) -> bool {
    match value {
        FieldValue::Text(text) => text.trim().is_empty(),
        FieldValue::Ids(ids) => ids.is_empty(),
        FieldValue::List(texts) => texts.iter().all(|t| t.trim().is_empty()),
        FieldValue::Bool(_) | FieldValue::Id(_) => false,
    }
}

/// What is approved must be what is read.
fn unread(value: &FieldValue) -> Option<String> {
    match value {
        FieldValue::Text(text) => unseen(text),
        FieldValue::List(texts) => texts.iter().find_map(|text| unseen(text)),
        FieldValue::Bool(_) | FieldValue::Id(_) | FieldValue::Ids(_) => None,
    }
}

fn misfit(kind: &FieldKind, value: &FieldValue) -> Option<String> {
    let wanted = match (kind, value) {
        (FieldKind::Text { .. } | FieldKind::Snapshot, FieldValue::Text(_))
        | (FieldKind::Bool, FieldValue::Bool(_))
        | (FieldKind::TextList { .. }, FieldValue::List(_))
        | (FieldKind::Cluster | FieldKind::Host, FieldValue::Id(_))
        | (FieldKind::Hosts, FieldValue::Ids(_)) => return None,
        (FieldKind::Choice { choices }, FieldValue::Text(text)) => {
            if choices.iter().any(|c| c.value == *text) {
                return None;
            }
            let known: Vec<&str> = choices.iter().map(|c| c.value.as_str()).collect();
            return Some(format!("Choose one of: {}.", known.join(", ")));
        }
        (FieldKind::Text { .. }, _) => "a text",
        (FieldKind::Bool, _) => "true or false",
        (FieldKind::Choice { .. }, _) => "one of the choices, as a text",
        (FieldKind::TextList { .. }, _) => "a list of texts",
        (FieldKind::Cluster, _) => "the number of a cluster",
        (FieldKind::Host, _) => "the number of a host",
        (FieldKind::Hosts, _) => "a list of numbers of hosts",
        (FieldKind::Snapshot, _) => "the name of a snapshot, as a text",
    };
    Some(format!("This must be {wanted}."))
}
