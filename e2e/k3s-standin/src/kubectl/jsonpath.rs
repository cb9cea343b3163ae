//! kubectl's JSONPath templates: text, `{.a.b[*].c}`, filters, `{range}…{end}`, `{"text"}`.

use serde_json::Value;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Piece>),
}

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    All,
    Index(i64),
    /// `[?(@.path=="value")]`, or `!=`.
    Filter {
        path: Vec<Step>,
        equal: bool,
        value: String,
    },
}

/// Renders a template over a value.
///
/// # Errors
/// When the template does not parse.
pub(super) fn render(template: &str, value: &Value) -> Result<String, String> {
    let mut parser = Parser {
        rest: template,
        original: template,
    };
    let pieces = parser.pieces(false)?;
    let mut out = String::new();
    write(&pieces, value, &mut out);
    Ok(out)
}

fn write(pieces: &[Piece], value: &Value, out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Path(steps) => {
                let found: Vec<String> = walk(value, steps).into_iter().map(shown).collect();
                out.push_str(&found.join(" "));
            }
            Piece::Range(steps, inner) => {
                for item in walk(value, steps) {
                    write(inner, item, out);
                }
            }
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn walk<'a>(value: &'a Value, steps: &[Step]) -> Vec<&'a Value> {
    let mut found = vec![value];
    for step in steps {
        found = found
            .into_iter()
            .flat_map(|value| advance(value, step))
            .collect();
    }
    found
}

fn advance<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    let items = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::All => match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(map) => map.values().collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        },
        Step::Index(index) => {
            let length = i64::try_from(items().len()).unwrap_or(0);
            let at = if *index < 0 { length + index } else { *index };
            usize::try_from(at)
                .ok()
                .and_then(|at| items().get(at))
                .into_iter()
                .collect()
        }
        Step::Filter {
            path,
            equal,
            value: wanted,
        } => items()
            .iter()
            .filter(|item| {
                let found = walk(item, path).first().map(|value| shown(value));
                (found.as_ref() == Some(wanted)) == *equal
            })
            .collect(),
    }
}

struct Parser<'a> {
    rest: &'a str,
    original: &'a str,
}

impl Parser<'_> {
    fn error(&self, what: &str) -> String {
        format!("error parsing jsonpath {}, {what}", self.original)
    }

    fn pieces(&mut self, inside_range: bool) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::new();
        while !self.rest.is_empty() {
            let Some(open) = self.rest.find('{') else {
                pieces.push(Piece::Text(std::mem::take(&mut self.rest).to_owned()));
                break;
            };
            if open > 0 {
                pieces.push(Piece::Text(self.rest[..open].to_owned()));
            }
            let body = self.action(open + 1)?;
            let body = body.trim();
            if body == "end" {
                return if inside_range {
                    Ok(pieces)
                } else {
                    Err(self.error("unexpected end"))
                };
            }
            if let Some(path) = body.strip_prefix("range ") {
                let steps = self.path(path.trim())?;
                pieces.push(Piece::Range(steps, self.pieces(true)?));
            } else if let Some(text) = body
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
            {
                pieces.push(Piece::Text(unescape(text)));
            } else {
                pieces.push(Piece::Path(self.path(body)?));
            }
        }
        if inside_range {
            Err(self.error("range without end"))
        } else {
            Ok(pieces)
        }
    }

    /// The text up to the matching brace, quotes respected; moves behind it.
    fn action(&mut self, from: usize) -> Result<String, String> {
        let mut quote: Option<char> = None;
        for (at, c) in self.rest[from..].char_indices() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, '}') => {
                    let body = self.rest[from..from + at].to_owned();
                    self.rest = &self.rest[from + at + 1..];
                    return Ok(body);
                }
                (Some(_) | None, _) => {}
            }
        }
        Err(self.error("unclosed action"))
    }

    fn path(&self, text: &str) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        let mut rest = text.trim_start_matches(['$', '@']);
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after).ok_or_else(|| self.error("unterminated array"))?;
                steps.push(self.bracket(&after[..end])?);
                rest = &after[end + 1..];
            } else if let Some(after) = rest.strip_prefix('.') {
                if after.is_empty() {
                    break;
                }
                let (name, behind) = field(after);
                if name == "*" {
                    steps.push(Step::All);
                } else if !name.is_empty() {
                    steps.push(Step::Field(name));
                }
                rest = behind;
            } else {
                return Err(self.error(&format!("unrecognized character in action: {rest}")));
            }
        }
        Ok(steps)
    }

    fn bracket(&self, text: &str) -> Result<Step, String> {
        if text == "*" {
            return Ok(Step::All);
        }
        if let Some(name) = quoted(text) {
            return Ok(Step::Field(name));
        }
        if let Some(filter) = text
            .strip_prefix("?(")
            .and_then(|text| text.strip_suffix(')'))
        {
            for (operator, equal) in [("==", true), ("!=", false)] {
                if let Some((path, value)) = filter.split_once(operator) {
                    let value = value.trim();
                    let value = quoted(value).unwrap_or_else(|| value.to_owned());
                    return Ok(Step::Filter {
                        path: self.path(path.trim())?,
                        equal,
                        value,
                    });
                }
            }
            return Err(self.error("unsupported filter"));
        }
        text.parse()
            .map(Step::Index)
            .map_err(|_| self.error("invalid array index"))
    }
}

/// Position of the bracket that closes an already opened one.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote: Option<char> = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn quoted(text: &str) -> Option<String> {
    for mark in ['\'', '"'] {
        if let Some(inner) = text
            .strip_prefix(mark)
            .and_then(|text| text.strip_suffix(mark))
        {
            return Some(inner.to_owned());
        }
    }
    // Quotes escaped for a shell, as in `\"Ready\"`.
    text.strip_prefix("\\\"")
        .and_then(|text| text.strip_suffix("\\\""))
        .map(str::to_owned)
}

/// A field name up to `.` or `[`; a backslash takes the next character as it is.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, &text[at..]),
            other => name.push(other),
        }
    }
    (name, "")
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n")
        .replace("\\t", "\t")
        .replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_of_the_transcripts() {
        let node = json!({
            "type": "kubernetes.io/tls",
            "metadata": {"annotations": {"listener.cattle.io/cn-a": "a"}},
            "status": {"conditions": [{"type": "Disk", "status": "False"}, {"type": "Ready", "status": "True"}]},
            "items": [{"n": 1}, {"n": 2}],
        });
        let show = |template: &str| render(template, &node).unwrap();
        assert_eq!(
            show("{.type} {.metadata.annotations}"),
            "kubernetes.io/tls {\"listener.cattle.io/cn-a\":\"a\"}"
        );
        assert_eq!(
            show("{.status.conditions[?(@.type==\"Ready\")].status} {.spec.taints}"),
            "True "
        );
        assert_eq!(show("{.items[*].n}"), "1 2");
        assert_eq!(show("{range .items[*]}{.n}{\"\\n\"}{end}"), "1\n2\n");
        assert_eq!(
            show("{.metadata.annotations.listener\\.cattle\\.io/cn-a}"),
            "a"
        );
        assert_eq!(show("{.items[-1].n}"), "2");
        assert!(render("{.a", &node).is_err());
    }
}
