//! What a browser does not need of a program: names of functions and other notes of the tools.

use anyhow::{Context, Result};
use wasm_encoder::{Module, RawSection, SectionId};
use wasmparser::Parser;

/// The program without its custom sections.
///
/// # Errors
/// It is no wasm.
pub(super) fn strip(program: &[u8]) -> Result<Vec<u8>> {
    let mut stripped = Module::new();
    for payload in Parser::new(0).parse_all(program) {
        let payload = payload.context("reading a part of the program")?;
        if let Some((id, range)) = payload.as_section()
            && id != SectionId::Custom as u8
        {
            let (from, to) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
            let data = &program[from..to];
            stripped.section(&RawSection { id, data });
        }
    }
    Ok(stripped.finish())
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{CustomSection, TypeSection};

    use super::*;

    #[test]
    fn everything_but_notes_stays() {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut bare = Module::new();
        bare.section(&types);
        let mut named = Module::new();
        named.section(&types).section(&CustomSection {
            name: "name".into(),
            data: (&b"secret paths"[..]).into(),
        });
        assert_eq!(strip(&named.finish()).unwrap(), bare.finish());
        assert!(strip(b"text").is_err());
    }
}
