//! Several kubeconfigs as one file, or into a file that a person has: nothing of that is lost but its
//! comments, its layout and the order of its keys.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Kubeconfig;

/// Longest file that is taken.
const MAX: usize = 200 * 1024;

/// A file that holds all of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Merged {
    /// The file's text. Secret.
    pub text: String,
    /// What a person should know, a sentence each: names that were taken. No secrets.
    pub notes: Vec<String>,
}

/// Why a text cannot be merged into. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Larger than any kubeconfig.
    #[error("the file is larger than 200 KiB")]
    TooLarge,
    /// Not YAML or JSON, or not a mapping.
    #[error("this is not a kubeconfig: it does not read as one YAML mapping without doubles")]
    Shape,
    /// Another kind of file.
    #[error("this is not a kubeconfig: its kind is not Config, version v1")]
    Kind,
    /// One of the three lists is something else.
    #[error("its {0} are not a list")]
    List(&'static str),
    /// The text could not be written.
    #[error("the merged file cannot be written")]
    Write,
}

/// The lists of a kubeconfig, and what an entry holds besides its name.
const LISTS: [(&str, &str); 3] = [
    ("clusters", "cluster"),
    ("contexts", "context"),
    ("users", "user"),
];

/// Puts `configs` into one file, or into the file `into`. Cluster, context and user of each have its name,
/// with a number behind where that name is taken by something else. The current context of `into` stays.
///
/// # Errors
/// `into` is no kubeconfig.
pub fn merge(configs: &[Kubeconfig], into: Option<&str>) -> Result<Merged, MergeError> {
    let mut file = match into {
        Some(text) => read(text)?,
        None => Map::new(),
    };
    file.entry("apiVersion").or_insert_with(|| json!("v1"));
    file.entry("kind").or_insert_with(|| json!("Config"));
    let mut notes = Vec::new();
    for config in configs {
        let name = add(&mut file, config, &mut notes)?;
        let current = file.entry("current-context").or_insert(Value::Null);
        if matches!(current, Value::Null) || current == "" {
            *current = Value::from(name);
        }
    }
    let options = serde_saphyr::ser_options! {
        // kubectl reads YAML 1.1, where plain words like `on` are no strings.
        quote_all: true,
        prefer_block_scalars: false,
    };
    let text =
        serde_saphyr::to_string_with_options(&file, options).map_err(|_| MergeError::Write)?;
    Ok(Merged { text, notes })
}

fn read(text: &str) -> Result<Map<String, Value>, MergeError> {
    if text.len() > MAX {
        return Err(MergeError::TooLarge);
    }
    // The parser's own message may quote the text, and with it a key.
    let options = serde_saphyr::options! {
        // As numbers they would come out with other digits.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    let file: Map<String, Value> =
        serde_saphyr::from_str_with_options(text, options).map_err(|_| MergeError::Shape)?;
    let is = |key: &str, wanted: &str| file.get(key).is_none_or(|value| value == wanted);
    if !is("kind", "Config") || !is("apiVersion", "v1") {
        return Err(MergeError::Kind);
    }
    Ok(file)
}

/// Adds the three entries, and gives the name they got.
fn add(
    file: &mut Map<String, Value>,
    config: &Kubeconfig,
    notes: &mut Vec<String>,
) -> Result<String, MergeError> {
    let wanted = config.name();
    let taken = names(file)?;
    // There are fewer names than numbers: one is free.
    let numbered = (2..).map(|n| format!("{wanted}-{n}"));
    let mut candidates = std::iter::once(wanted.to_owned()).chain(numbered);
    let name = loop {
        let Some(name) = candidates.next() else {
            return Err(MergeError::Write);
        };
        if !taken.contains(&name) {
            break name;
        }
        if holds(file, &config.entries(&name)) {
            notes.push(format!(
                "{name} was in the file already, with the same credentials."
            ));
            return Ok(name);
        }
    };
    if name != wanted {
        notes.push(format!(
            "The name {wanted} was taken in the file: what was added is called {name}."
        ));
    }
    for ((list, _), entry) in LISTS.into_iter().zip(config.entries(&name)) {
        list_of(file, list)?.push(entry);
    }
    Ok(name)
}

fn names(file: &mut Map<String, Value>) -> Result<BTreeSet<String>, MergeError> {
    let mut names = BTreeSet::new();
    for (list, _) in LISTS {
        names.extend(list_of(file, list)?.iter().filter_map(name_of));
    }
    Ok(names)
}

/// kubectl takes a name without quotes that reads as a number for a text.
fn name_of(entry: &Value) -> Option<String> {
    match entry.get("name")? {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// True if the file has exactly these entries.
fn holds(file: &Map<String, Value>, entries: &[Value; 3]) -> bool {
    LISTS.into_iter().zip(entries).all(|((list, _), entry)| {
        let found = file.get(list).and_then(Value::as_array);
        found.is_some_and(|all| all.contains(entry))
    })
}

fn list_of<'a>(
    file: &'a mut Map<String, Value>,
    list: &'static str,
) -> Result<&'a mut Vec<Value>, MergeError> {
    let value = file.entry(list).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().ok_or(MergeError::List(list))
}

impl Kubeconfig {
    /// Its entries for the lists of [`LISTS`], under this name.
    fn entries(&self, name: &str) -> [Value; 3] {
        let [ca, certificate, key] = self.encoded();
        let bodies = [
            json!({ "certificate-authority-data": ca, "server": self.server() }),
            json!({ "cluster": name, "user": name }),
            json!({ "client-certificate-data": certificate, "client-key-data": key }),
        ];
        let mut bodies = bodies.into_iter();
        LISTS.map(|(_, what)| json!({ "name": name, what: bodies.next() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const K3S_YAML: &str = include_str!("../../tests/samples/k3s.yaml");

    fn config(name: &str) -> Kubeconfig {
        Kubeconfig::parse(K3S_YAML).unwrap().for_cluster(
            &name.parse().unwrap(),
            &format!("https://{name}.example:6443").parse().unwrap(),
        )
    }

    fn value(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    fn named(file: &Value, list: &str) -> Vec<String> {
        let all = file[list].as_array().unwrap().iter();
        all.map(|e| e["name"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn several_become_one() {
        let merged = merge(&[config("prod"), config("test")], None).unwrap();
        assert_eq!(merged.notes, [""; 0]);
        let file = value(&merged.text);
        for (list, _) in LISTS {
            assert_eq!(named(&file, list), ["prod", "test"]);
        }
        assert_eq!(file["current-context"], "prod");
        assert_eq!(Kubeconfig::parse(&merged.text).unwrap(), config("prod"));
        let one = merge(&[config("prod")], None).unwrap();
        assert_eq!(Kubeconfig::parse(&one.text).unwrap(), config("prod"));
    }

    #[test]
    fn what_was_there_stays() {
        let mine = "# mine\napiVersion: v1\nkind: Config\npreferences: {colors: true}\nextensions:\n- name: x\n  extension: {a: [1, 2.5, null]}\n\
            clusters:\n- name: old\n  cluster:\n    server: https://old:6443\n    insecure-skip-tls-verify: true\n    tls-server-name: 'on'\n\
            contexts:\n- {name: old, context: {cluster: old, user: me, namespace: '012'}}\n\
            users:\n- name: me\n  user:\n    exec: {command: login, args: [--x, 'yes'], env: null}\ncurrent-context: old\n";
        let merged = merge(&[config("prod")], Some(mine)).unwrap();
        let (before, after) = (value(mine), value(&merged.text));
        for key in ["preferences", "extensions", "current-context", "kind"] {
            assert_eq!(after[key], before[key], "{key}");
        }
        for (list, _) in LISTS {
            assert_eq!(after[list][0], before[list][0]);
            assert_eq!(after[list].as_array().unwrap().len(), 2);
        }
        assert!(merged.text.contains("\"on\"") || merged.text.contains("'on'"));
        let odd = "users:\n- {name: 7, user: {password: 0123, username: 1_000}}\nclusters: []\n";
        let merged = merge(&[config("7")], Some(odd)).unwrap();
        assert_eq!(
            value(&merged.text)["users"][0]["user"],
            json!({"password": "0123", "username": "1_000"})
        );
        assert_eq!(value(&merged.text)["users"][1]["name"], "7-2");
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let mine = "users:\n- name: prod\n  user: {token: abc}\ncontexts:\ncurrent-context: ''\n";
        let first = merge(&[config("prod")], Some(mine)).unwrap();
        assert_eq!(first.notes.len(), 1);
        let file = value(&first.text);
        assert_eq!(named(&file, "users"), ["prod", "prod-2"]);
        assert_eq!(named(&file, "clusters"), ["prod-2"]);
        assert_eq!(file["current-context"], "prod-2");
        assert_eq!(
            file["contexts"][0]["context"],
            json!({"cluster": "prod-2", "user": "prod-2"})
        );
        // A second time nothing is added.
        let again = merge(&[config("prod")], Some(&first.text)).unwrap();
        assert_eq!(again.text, first.text);
        assert!(again.notes[0].contains("already"), "{:?}", again.notes);
    }

    #[test]
    fn what_is_no_kubeconfig_is_refused() {
        let refused = |text: &str| merge(&[config("prod")], Some(text)).err();
        for bad in [
            "a: [",
            "just text",
            "- a",
            "a: 1\n---\nb: 2\n",
            "users: []\nusers: []\n",
        ] {
            assert_eq!(refused(bad), Some(MergeError::Shape), "{bad}");
        }
        assert_eq!(refused("kind: Pod"), Some(MergeError::Kind));
        assert_eq!(refused("users: {}"), Some(MergeError::List("users")));
        assert_eq!(refused(&" ".repeat(MAX + 1)), Some(MergeError::TooLarge));
        assert!(merge(&[config("prod")], Some(r#"{"kind":"Config","users":[]}"#)).is_ok());
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~\n\tä]{0,12}".prop_map(Value::from),
            prop_oneof![
                "yes", "on", "~", "012", "1_000", "1:30", "0x1f", "[.]inf", "<<", "null"
            ]
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{0,8}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn unknown_fields_survive(extra in anything(), user in anything()) {
            let mine = json!({ "extra": extra, "users": [{ "name": "me", "user": user }] });
            let merged = merge(&[config("prod")], Some(&mine.to_string())).unwrap();
            let file = value(&merged.text);
            prop_assert_eq!(&file["extra"], &mine["extra"]);
            prop_assert_eq!(&file["users"][0], &mine["users"][0]);
        }

        #[test]
        fn never_panics(text in "[ -~\n]{0,200}") {
            let _ = merge(&[config("prod")], Some(&text));
        }
    }
}
