//! YAML as kubectl prints it: sorted keys, lists at the level of their key, doubtful strings in double quotes.

use serde_json::Value;

/// A document.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for key in keys {
                out.push_str(&format!("{indent}{}:", scalar(key)));
                entry(&map[key], depth, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for item in list {
                out.push_str(&indent);
                out.push('-');
                let mut inner = String::new();
                match item {
                    Value::Object(map) if !map.is_empty() => write(item, depth + 1, &mut inner),
                    Value::Array(list) if !list.is_empty() => write(item, depth + 1, &mut inner),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => {
                        entry(item, depth, out);
                        continue;
                    }
                }
                // The first line follows the dash.
                out.push(' ');
                out.push_str(inner.trim_start());
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            out.push_str(&leaf(value));
            out.push('\n');
        }
    }
}

/// What follows a key or a dash.
fn entry(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            write(value, depth + 1, out);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            write(value, depth, out);
        }
        Value::String(text) if text.contains('\n') && !text.contains('\t') => {
            let keep = if text.ends_with('\n') { "" } else { "-" };
            out.push_str(&format!(" |{keep}\n"));
            for line in text.trim_end_matches('\n').split('\n') {
                out.push_str(&format!("{}{line}\n", "  ".repeat(depth + 1)));
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => out.push_str(&format!(" {}\n", leaf(value))),
    }
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// A string, quoted where YAML would read something else.
fn scalar(text: &str) -> String {
    let words = [
        "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n",
    ];
    let number = text.parse::<f64>().is_ok() || text.starts_with("0x") || text.starts_with("0o");
    let timestamp = {
        let bytes = text.as_bytes();
        bytes.len() >= 10
            && bytes[..4].iter().all(u8::is_ascii_digit)
            && (bytes[4], bytes[7]) == (b'-', b'-')
    };
    let special = text.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@` ".contains(c))
        && !(text.starts_with('-') && text.len() > 1 && !text.starts_with("- "));
    let inside = text.contains(": ")
        || text.contains(" #")
        || text.ends_with(':')
        || text.ends_with(' ')
        || text.chars().any(char::is_control);
    let doubtful = words.contains(&text.to_lowercase().as_str()) || number || timestamp;
    if text.starts_with(['[', '{', '\'', '"']) && !inside_control(text) && text.contains('"') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    if doubtful || special || inside {
        Value::from(text).to_string()
    } else {
        text.to_owned()
    }
}

fn inside_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_kubectl_prints_it() {
        let value = json!({
            "apiVersion": "v1", "y": "2", "empty": {}, "none": [],
            "metadata": {"annotations": {"listener.cattle.io/cn-10.43.0.1": "10.43.0.1"},
                "creationTimestamp": "2026-11-22T05:39:16Z", "resourceVersion": "599"},
            "items": [{"a": 1, "b": ["x", {"c": null}]}, "plain"],
            "args": "[\"server\"]", "text": "a\nb\n",
        });
        let wanted = "apiVersion: v1\nargs: '[\"server\"]'\nempty: {}\nitems:\n- a: 1\n  b:\n  - x\n  - c: null\n- plain\n\
            metadata:\n  annotations:\n    listener.cattle.io/cn-10.43.0.1: 10.43.0.1\n  creationTimestamp: \"2026-11-22T05:39:16Z\"\n  \
            resourceVersion: \"599\"\nnone: []\ntext: |\n  a\n  b\n\"y\": \"2\"\n";
        assert_eq!(document(&value), wanted);
        let again: Value = serde_yaml_ng::from_str(wanted).unwrap();
        assert_eq!(again, value);
    }
}
