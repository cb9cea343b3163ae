//! `dist/`: content-hashed names, the page that refers to them, and compressed siblings.
//!
//! Everything but `index.html` lies under `/assets/`, with a hash in its name or its folder's, and may be cached for ever.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::Mode;
use super::wasm::{FIRST, GLUE, LOADER};
use crate::hash::sha256;

/// Hexadecimal digits of the content's hash in a file name.
const HASH_LENGTH: usize = 16;
/// Kinds of files that compression makes smaller.
const COMPRESSED: [&str; 7] = ["css", "html", "js", "json", "svg", "txt", "wasm"];

/// Bytes that a browser fetches, as sent, before somebody can sign in.
const FIRST_LOAD: usize = 250 * 1024;

/// A file by its path below a folder.
pub(super) struct Asset {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// Everything that goes into `dist/`.
pub(super) struct Files {
    pub(super) page: String,
    pub(super) css: Vec<u8>,
    /// Files that refer to each other by their names
    pub(super) program: Vec<Asset>,
    pub(super) assets: Vec<Asset>,
}

/// Writes the folder anew, beside the old one, and changes places at the end.
///
/// # Errors
/// A placeholder that names nothing, a first load over its bound, or the folder cannot be written.
pub(super) fn write(files: Files, out: &Path, mode: Mode) -> Result<()> {
    let mut page = files.page;
    let mut ready: Vec<Asset> = Vec::new();
    let mut add = |placeholder: &str, name: &str, content: Vec<u8>| {
        let name = format!("assets/{}", hashed(name, &content));
        page = page.replace(&format!("{{{{{placeholder}}}}}"), &format!("/{name}"));
        ready.push(Asset { name, content });
    };
    add("css", "app.css", files.css);
    for asset in files.assets {
        add(&asset.name, &asset.name, asset.content);
    }
    let folder = format!("assets/{}", hash_of(&files.program));
    for (placeholder, name) in [("js", GLUE), ("wasm", FIRST), ("loader", LOADER)] {
        if !files.program.iter().any(|file| file.name == name) {
            bail!("the program has no {name}");
        }
        page = page.replace(
            &format!("{{{{{placeholder}}}}}"),
            &format!("/{folder}/{name}"),
        );
    }
    for file in files.program {
        ready.push(Asset {
            name: format!("{folder}/{}", file.name),
            content: file.content,
        });
    }
    if let Some(at) = page.find("{{") {
        let rest: String = page[at..].chars().take(40).collect();
        bail!("frontend/index.html: nothing fills `{rest}`");
    }
    ready.push(Asset {
        name: "index.html".to_owned(),
        content: page.into_bytes(),
    });

    let fresh = out.with_extension("new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    let sizes = std::thread::scope(|scope| {
        let fresh = &fresh;
        let tasks: Vec<_> = ready
            .iter()
            .map(|asset| scope.spawn(move || put(fresh, asset, mode)))
            .collect();
        tasks
            .into_iter()
            .map(|task| {
                task.join()
                    .unwrap_or_else(|_| bail!("a compressing thread panicked"))
            })
            .collect::<Result<Vec<Sizes>>>()
    })?;
    report(&ready, &sizes);
    if mode == Mode::Release {
        bound(&ready, &sizes)?;
    }
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    fs::rename(&fresh, out)?;
    Ok(())
}

/// All files below a folder, in a stable order.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(list(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// All files below a folder with their content.
///
/// # Errors
/// The folder or a file cannot be read.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<Asset>> {
    list(folder)?
        .into_iter()
        .map(|file| {
            let name = file
                .strip_prefix(folder)?
                .to_str()
                .context("a file name that is not UTF-8")?
                .to_owned();
            Ok(Asset {
                name,
                content: fs::read(&file)?,
            })
        })
        .collect()
}

/// `app.css` becomes `app-<hash>.css`.
fn hashed(name: &str, content: &[u8]) -> String {
    let hash = &sha256(content)[..HASH_LENGTH];
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}-{hash}.{extension}"),
        None => format!("{name}-{hash}"),
    }
}

/// One hash over files that belong together.
fn hash_of(files: &[Asset]) -> String {
    let mut all = Vec::new();
    for file in files {
        all.extend_from_slice(file.name.as_bytes());
        all.extend_from_slice(&(file.content.len() as u64).to_le_bytes());
        all.extend_from_slice(&file.content);
    }
    sha256(&all)[..HASH_LENGTH].to_owned()
}

/// In bytes; compressed only where that was done.
struct Sizes {
    plain: usize,
    brotli: Option<usize>,
}

fn put(folder: &Path, asset: &Asset, mode: Mode) -> Result<Sizes> {
    let file = folder.join(&asset.name);
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&file, &asset.content).with_context(|| file.display().to_string())?;
    let plain = asset.content.len();
    let extension = file
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    if mode == Mode::Dev || !COMPRESSED.contains(&extension) {
        return Ok(Sizes {
            plain,
            brotli: None,
        });
    }
    let brotli = brotli(&asset.content)?;
    fs::write(sibling(&file, "br"), &brotli)?;
    fs::write(sibling(&file, "gz"), gzip(&asset.content)?)?;
    Ok(Sizes {
        plain,
        brotli: Some(brotli.len()),
    })
}

fn sibling(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn brotli(content: &[u8]) -> Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 22,
        ..Default::default()
    };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut &content[..], &mut packed, &parameters)?;
    Ok(packed)
}

fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

fn kib(bytes: usize) -> String {
    format!("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024)
}

fn report(ready: &[Asset], sizes: &[Sizes]) {
    for (asset, size) in ready.iter().zip(sizes) {
        let packed = size
            .brotli
            .map_or_else(String::new, |bytes| format!("  {:>10} brotli", kib(bytes)));
        println!("web: {:44} {:>12}{packed}", asset.name, kib(size.plain));
    }
}

/// Says how much is sent, and refuses a first load that has become too large.
fn bound(ready: &[Asset], sizes: &[Sizes]) -> Result<()> {
    let sent = |first: bool| -> usize {
        ready
            .iter()
            .zip(sizes)
            .filter(|(asset, _)| !first || is_first(&asset.name))
            .map(|(_, size)| size.brotli.unwrap_or(size.plain))
            .sum()
    };
    let (first, all) = (sent(true), sent(false));
    println!(
        "web: {} before somebody can sign in, {} in all, as sent",
        kib(first),
        kib(all)
    );
    if first > FIRST_LOAD {
        bail!(
            "the first load is {}, over its bound of {}: does the sign-in call what belongs behind it \
             (frontend/src/inside.rs)?",
            kib(first),
            kib(FIRST_LOAD)
        );
    }
    Ok(())
}

/// Everything but the parts of the program that are fetched later.
fn is_first(name: &str) -> bool {
    !name.ends_with(".wasm") || name.ends_with(FIRST)
}
