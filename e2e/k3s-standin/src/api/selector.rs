//! Label and field selectors.

use serde_json::Value;

/// One term of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Equals(String, String),
    Differs(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// Label and field terms that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Term>,
    fields: Vec<Term>,
}

impl Selector {
    /// Parses both selectors of a request.
    ///
    /// # Errors
    /// With a message for a 400 answer.
    pub(crate) fn parse(labels: Option<&str>, fields: Option<&str>) -> Result<Self, String> {
        Ok(Self {
            labels: terms(labels.unwrap_or_default())?,
            fields: terms(fields.unwrap_or_default())?,
        })
    }

    /// A selector from an object's `spec.selector`.
    pub(crate) fn of_labels(selector: &Value) -> Self {
        let equals = |(key, value): (&String, &Value)| {
            Term::Equals(key.clone(), value.as_str().unwrap_or_default().to_owned())
        };
        let labels = selector["matchLabels"]
            .as_object()
            .map(|map| map.iter().map(equals).collect());
        Self {
            labels: labels.unwrap_or_default(),
            fields: Vec::new(),
        }
    }

    /// Whether an object fits.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| {
            object["metadata"]["labels"][key]
                .as_str()
                .map(str::to_owned)
        };
        let field = |path: &str| Some(field(object, path));
        self.labels.iter().all(|term| term.holds(label))
            && self.fields.iter().all(|term| term.holds(field))
    }
}

/// A field by its dotted path, empty when missing.
fn field(object: &Value, path: &str) -> String {
    let mut at = object;
    for part in path.split('.') {
        at = &at[part];
    }
    match at {
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

impl Term {
    fn holds(&self, value: impl Fn(&str) -> Option<String>) -> bool {
        match self {
            Self::Equals(key, wanted) => value(key).as_ref() == Some(wanted),
            Self::Differs(key, unwanted) => value(key).as_ref() != Some(unwanted),
            Self::In(key, set) => value(key).is_some_and(|value| set.contains(&value)),
            Self::NotIn(key, set) => value(key).is_none_or(|value| !set.contains(&value)),
            Self::Exists(key) => value(key).is_some(),
            Self::Missing(key) => value(key).is_none(),
        }
    }
}

fn terms(text: &str) -> Result<Vec<Term>, String> {
    split(text)
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| term(&part))
        .collect()
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_i32;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
        .into_iter()
        .map(|part| part.trim().to_owned())
        .collect()
}

fn term(part: &str) -> Result<Term, String> {
    let pair = |(key, value): (&str, &str)| (key.trim().to_owned(), value.trim().to_owned());
    if let Some(split) = part.split_once("!=") {
        let (key, value) = pair(split);
        return Ok(Term::Differs(key, value));
    }
    if let Some(split) = part.split_once("==").or_else(|| part.split_once('=')) {
        let (key, value) = pair(split);
        return Ok(Term::Equals(key, value));
    }
    if let Some((head, set)) = part.split_once('(') {
        let values = set
            .trim_end_matches(')')
            .split(',')
            .map(|value| value.trim().to_owned());
        let mut words = head.split_whitespace();
        return match (words.next(), words.next()) {
            (Some(key), Some("in")) => Ok(Term::In(key.to_owned(), values.collect())),
            (Some(key), Some("notin")) => Ok(Term::NotIn(key.to_owned(), values.collect())),
            _ => Err(format!("unable to parse requirement: {part}")),
        };
    }
    if part.contains(char::is_whitespace) {
        return Err(format!("unable to parse requirement: {part}"));
    }
    Ok(match part.strip_prefix('!') {
        Some(key) => Term::Missing(key.trim().to_owned()),
        None => Term::Exists(part.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_and_fields() {
        let pod = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"nodeName": "n1"}});
        let fits = |labels, fields| Selector::parse(labels, fields).unwrap().matches(&pod);
        assert!(fits(Some("app=web"), Some("spec.nodeName=n1")));
        assert!(fits(Some("app in (web, db),!gone"), None));
        assert!(!fits(Some("app notin (web)"), None));
        assert!(!fits(Some("app!=web"), None));
        assert!(!fits(None, Some("spec.nodeName=n2")));
        assert!(fits(None, Some("status.phase!=Failed")));
    }
}
