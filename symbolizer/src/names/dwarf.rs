//! Inlined functions and source lines, from DWARF. Only on request: reading it costs time and memory by the gigabyte.

use std::path::Path;

use blazesym::symbolize::{
    CodeInfo, Input, Symbolized, Symbolizer,
    source::{Elf, Source},
};

use super::{Name, Named};

/// Files whose debug information is held at once; then all is let go, since there is no telling how large each is.
const MAX_FILES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Dwarf {
    symbolizer: Option<Symbolizer>,
    files: Vec<std::path::PathBuf>,
}

impl Dwarf {
    /// What `address` of the file at `path` is called; `None` where there is no debug information for it.
    pub(super) fn find(&mut self, path: &Path, address: u64) -> Option<Named> {
        if !self.files.iter().any(|file| file == path) {
            if self.files.len() >= MAX_FILES {
                *self = Self::default();
            }
            self.files.push(path.to_owned());
        }
        let symbolizer = self.symbolizer.get_or_insert_with(|| {
            Symbolizer::builder().enable_demangling(false).enable_auto_reload(false).build()
        });
        let source = Source::Elf(Elf::new(path));
        let found = symbolizer.symbolize_single(&source, Input::VirtOffset(address)).ok()?;
        let Symbolized::Sym(symbol) = found else { return None };
        let (mut outer, language) = Name::of_symbol(&symbol.name);
        let mut names = Vec::with_capacity(1 + symbol.inlined.len());
        // A call's place is told by the one that was called.
        let mut place = symbol.code_info.as_deref();
        place_in(&mut outer, place);
        names.push(outer);
        for inlined in &symbol.inlined {
            let (mut name, _) = Name::of_symbol(&inlined.name);
            place = inlined.code_info.as_ref();
            place_in(&mut name, place);
            names.push(name);
        }
        names.reverse();
        Some(Named { names, language }).filter(|named| named.names.len() > 1 || named.names[0].line > 0)
    }
}

fn place_in(name: &mut Name, place: Option<&CodeInfo<'_>>) {
    if let Some(place) = place {
        name.file = Some(place.to_path().to_string_lossy().into());
        name.line = place.line.unwrap_or(0);
    }
}
