//! The style sheets: joined in the order of `order.txt`, checked and minified.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use lightningcss::stylesheet::{MinifyOptions, ParserOptions, PrinterOptions, StyleSheet};

use super::{Mode, dist};

/// One style sheet out of all in the folder.
///
/// # Errors
/// A file that the order leaves out or names in vain, or one that is no CSS.
pub(super) fn bundle(folder: &Path, mode: Mode) -> Result<Vec<u8>> {
    let order = fs::read_to_string(folder.join("order.txt")).context("frontend/style/order.txt")?;
    let names: Vec<&str> = order
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    for file in dist::list(folder)? {
        let name = file.file_name().unwrap_or_default();
        if file.extension().is_some_and(|extension| extension == "css")
            && !names.iter().any(|listed| *listed == name)
        {
            bail!("frontend/style/order.txt does not name {}", name.display());
        }
    }
    let mut joined = String::new();
    for name in names {
        let text = fs::read_to_string(folder.join(name))
            .with_context(|| format!("frontend/style/{name}"))?;
        let css = minify(&text, name, mode)?;
        joined.push_str(&css);
        joined.push('\n');
    }
    Ok(joined.into_bytes())
}

fn minify(text: &str, name: &str, mode: Mode) -> Result<String> {
    let options = ParserOptions {
        filename: format!("frontend/style/{name}"),
        ..ParserOptions::default()
    };
    let mut sheet = StyleSheet::parse(text, options).map_err(|error| anyhow!("{error}"))?;
    sheet
        .minify(MinifyOptions::default())
        .map_err(|error| anyhow!("{error}"))?;
    let printer = PrinterOptions {
        minify: mode == Mode::Release,
        ..PrinterOptions::default()
    };
    Ok(sheet.to_css(printer)?.code)
}
