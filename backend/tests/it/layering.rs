//! Who may use whom inside the panel; between packages the compiler sees to it.

use std::fs;
use std::path::{Path, PathBuf};

/// For each part, the parts that its files must not name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "store",
        &[
            "http",
            "world",
            "workflows",
            "steps",
            "observe",
            "wiring",
            "serve",
            "auth",
            "app",
        ],
    ),
    (
        "audit",
        &[
            "http",
            "store",
            "world",
            "workflows",
            "steps",
            "observe",
            "wiring",
            "serve",
            "auth",
            "app",
            "vault",
        ],
    ),
    (
        "vault",
        &[
            "http",
            "workflows",
            "observe",
            "wiring",
            "serve",
            "auth",
            "app",
        ],
    ),
    (
        "auth",
        &[
            "http",
            "world",
            "workflows",
            "steps",
            "observe",
            "wiring",
            "serve",
            "app",
        ],
    ),
    (
        "world",
        &[
            "http",
            "store",
            "workflows",
            "steps",
            "observe",
            "wiring",
            "serve",
            "auth",
            "app",
            "vault",
            "audit",
        ],
    ),
    (
        "steps",
        &[
            "http",
            "store",
            "workflows",
            "observe",
            "wiring",
            "serve",
            "auth",
            "app",
            "vault",
            "audit",
        ],
    ),
    (
        "workflows",
        &[
            "http", "store", "observe", "wiring", "serve", "auth", "app", "vault", "audit",
        ],
    ),
    (
        "observe",
        &[
            "http",
            "store",
            "workflows",
            "wiring",
            "serve",
            "auth",
            "app",
            "vault",
            "audit",
        ],
    ),
    ("http", &["steps", "workflows", "wiring", "serve"]),
    ("wiring", &["http", "serve", "app", "auth"]),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn of_part(part: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let (folder, file) = (source().join(part), source().join(format!("{part}.rs")));
    if folder.is_dir() {
        files(&folder, &mut found);
    }
    if file.is_file() {
        found.push(file);
    }
    assert!(!found.is_empty(), "there is no part {part}");
    found
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    for (part, forbidden) in FORBIDDEN {
        for (path, text) in of_part(part) {
            for other in *forbidden {
                let named = format!("crate::{other}::");
                assert!(!text.contains(&named), "{} uses {other}", path.display());
            }
        }
    }
}

#[test]
fn only_the_store_knows_sql() {
    let mut all = Vec::new();
    files(&source(), &mut all);
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        let inside = path.starts_with(source().join("store"));
        assert!(
            inside || !text.contains("sqlx"),
            "{} names sqlx",
            path.display()
        );
        let machines = path.starts_with(source().join("world"));
        assert!(
            machines || !text.contains("openssh::"),
            "{} names openssh",
            path.display()
        );
    }
}
