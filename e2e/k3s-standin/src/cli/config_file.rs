//! `/etc/rancher/k3s/config.yaml` and `config.yaml.d/*.yaml`: later files win, `key+` appends.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_yaml_ng::{Mapping, Value};

use super::flags::ConfigValue;

/// Reads the file and its drop-in directory. A missing file is fine unless it was named explicitly.
///
/// # Errors
/// When a file is not readable or is no YAML mapping of scalars and lists.
pub(crate) fn read(file: &Path, explicit: bool) -> anyhow::Result<Vec<ConfigValue>> {
    let mut merged: Vec<ConfigValue> = Vec::new();
    let mut files = Vec::new();
    if file.exists() {
        files.push(file.to_owned());
    } else if explicit {
        bail!("stat {}: no such file or directory", file.display());
    }
    files.extend(drop_ins(file)?);
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("open {}", file.display()))?;
        merge(&mut merged, &text).with_context(|| file.display().to_string())?;
    }
    Ok(merged)
}

fn drop_ins(file: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let directory = PathBuf::from(format!("{}.d", file.display()));
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let yaml = path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml");
        if yaml && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn merge(merged: &mut Vec<ConfigValue>, text: &str) -> anyhow::Result<()> {
    let mapping = match serde_yaml_ng::from_str::<Value>(text).context("yaml")? {
        Value::Null => Mapping::new(),
        Value::Mapping(mapping) => mapping,
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Sequence(_)
        | Value::Tagged(_) => bail!("yaml: not a mapping"),
    };
    for (key, value) in mapping {
        let key = scalar(&key)?;
        let values = if let Value::Sequence(list) = &value {
            list.iter().map(scalar).collect::<anyhow::Result<_>>()?
        } else {
            vec![scalar(&value)?]
        };
        let (name, append) = match key.strip_suffix('+') {
            Some(name) => (name.to_owned(), true),
            None => (key, false),
        };
        match merged.iter_mut().find(|present| present.key == name) {
            Some(present) if append => present.values.extend(values),
            Some(present) => present.values = values,
            None => merged.push(ConfigValue { key: name, values }),
        }
    }
    Ok(())
}

fn scalar(value: &Value) -> anyhow::Result<String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        Value::String(value) => Ok(value.clone()),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => {
            bail!("yaml: a list or mapping where a value belongs")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_files_win_and_plus_appends() {
        let mut merged = Vec::new();
        merge(
            &mut merged,
            "tls-san:\n- a\nnode-name: n1\ncluster-init: true\n",
        )
        .unwrap();
        merge(&mut merged, "tls-san+:\n- b\nnode-name: n2\n").unwrap();
        let value = |key: &str| {
            merged
                .iter()
                .find(|value| value.key == key)
                .map(|value| value.values.join(","))
        };
        assert_eq!(value("tls-san").as_deref(), Some("a,b"));
        assert_eq!(value("node-name").as_deref(), Some("n2"));
        assert_eq!(value("cluster-init").as_deref(), Some("true"));
    }
}
