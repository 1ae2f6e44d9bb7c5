//! The tables of the files that are in use, within a budget of memory.

use std::{collections::HashMap, os::fd::AsRawFd as _, path::PathBuf, sync::Arc};

use super::{
    Language, Name, Named, debug_file, dwarf::Dwarf, elf, image::Image, minidebug, pclntab::PcLnTab,
    split::Parts, symbols::Symbols,
};

/// Files that are remembered as having no names weigh this much.
const EMPTY: usize = 256;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes that the tables may take. What was not used longest goes first.
    pub budget: usize,
    /// Inlined functions and source lines, from DWARF.
    pub inlines: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tables that were read.
    pub loaded: u64,
    /// Tables that were let go for others.
    pub evicted: u64,
    /// Addresses that no table knows.
    pub unnamed: u64,
}

/// A file whose code is to be named.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// Equal for equal content: the build id, or whatever else names it.
    pub key: u64,
    /// As its process sees it.
    pub path: &'a str,
    pub image: &'a Image,
    /// What its process has for `/`, where that is known.
    pub root: Option<PathBuf>,
}

/// Names of addresses, by file.
#[derive(Debug)]
pub struct Names {
    settings: Settings,
    files: HashMap<u64, File>,
    weight: usize,
    clock: u64,
    dwarf: Dwarf,
    pub counters: Counters,
}

#[derive(Debug)]
struct File {
    tables: Tables,
    weight: usize,
    used: u64,
}

/// Where a file's names are.
#[derive(Debug, Default)]
struct Tables {
    /// The best first.
    symbols: Vec<Symbols>,
    /// Go's own: the section's address is not needed, its text's start is.
    go: Option<Arc<[u8]>>,
    text_start: u64,
    /// Where debug information may be read from, where it is not in the file itself.
    debug_file: Option<PathBuf>,
    /// Nothing but what others may call has a symbol.
    is_stripped: bool,
    /// Of a stripped file, read when something has no name.
    parts: Option<Parts>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { budget: 64 << 20, inlines: false }
    }
}

impl Names {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            files: HashMap::new(),
            weight: 0,
            clock: 0,
            dwarf: Dwarf::default(),
            counters: Counters::default(),
        }
    }

    /// What `address`, in the file's own terms, is called. Never empty: what nobody knows is `file+0xoffset`.
    pub fn find(&mut self, object: &Object<'_>, address: u64) -> Named {
        self.clock += 1;
        if !self.files.contains_key(&object.key) {
            self.load(object);
        }
        let found = self.files.get_mut(&object.key).and_then(|file| {
            file.used = self.clock;
            let inlined = if self.settings.inlines {
                file.tables.debug_path(object.image).and_then(|path| self.dwarf.find(&path, address))
            } else {
                None
            };
            let before = file.tables.parts_weight();
            let found = inlined.or_else(|| file.tables.find(object.image, address));
            let grown = file.tables.parts_weight() - before;
            self.weight += grown;
            file.weight += grown;
            found
        });
        self.make_room(object.key, 0);
        found.unwrap_or_else(|| {
            self.counters.unnamed += 1;
            unnamed(object.path, address)
        })
    }

    /// Bytes that the tables take.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    fn load(&mut self, object: &Object<'_>) {
        let tables = Tables::read(object);
        let weight = EMPTY + tables.weight();
        self.make_room(object.key, weight);
        self.counters.loaded += 1;
        self.weight += weight;
        self.files.insert(object.key, File { tables, weight, used: self.clock });
    }

    /// Lets go of what was not used longest, but for the file `in_use`, until there is room for so much `more`.
    fn make_room(&mut self, in_use: u64, more: usize) {
        while self.weight + more > self.settings.budget {
            let others = self.files.iter().filter(|(key, _)| **key != in_use);
            let Some(oldest) = others.min_by_key(|(_, file)| file.used).map(|(key, _)| *key) else { return };
            if let Some(file) = self.files.remove(&oldest) {
                self.weight -= file.weight;
                self.counters.evicted += 1;
            }
        }
    }
}

impl Tables {
    fn read(object: &Object<'_>) -> Self {
        let Some(found) = elf::read(object.image) else { return Self::default() };
        let mut tables = Self::default();
        if let Some(bytes) = found.pclntab {
            tables.text_start = found.text_start;
            tables.go = Some(Arc::from(bytes))
                .filter(|bytes: &Arc<[u8]>| PcLnTab::parse(bytes, tables.text_start).is_some());
        }
        let is_file = matches!(object.image, Image::File(_));
        if found.full.is_none() && is_file {
            let separate = debug_file::find(
                object.root.as_deref(),
                object.path.as_ref(),
                found.build_id.as_deref(),
                found.debug_link.as_ref(),
            );
            if let Some((path, image)) = separate {
                tables.debug_file = Some(path);
                tables.symbols.extend(elf::read(&image).and_then(|found| found.full));
            }
        }
        tables.symbols.extend(found.full);
        if let Some(bytes) = found.minidebug.as_deref().and_then(minidebug::decompress) {
            tables.symbols.extend(elf::read(&Image::Bytes(bytes.into())).and_then(|found| found.full));
        }
        tables.is_stripped = tables.symbols.is_empty() && found.dynamic.is_some();
        tables.symbols.extend(found.dynamic);
        tables
    }

    fn find(&mut self, image: &Image, address: u64) -> Option<Named> {
        if let Some(table) = self.go.as_deref().and_then(|bytes| PcLnTab::parse(bytes, self.text_start))
            && let Some(function) = table.find(address)
        {
            let (file, line) = table.line(&function, address).unzip();
            let name = Name {
                function: function.name.into(),
                system_name: None,
                file: file.map(Into::into),
                line: line.unwrap_or(0),
            };
            return Some(Named { names: vec![name], language: Language::Go });
        }
        let symbol = self.symbols.iter().find_map(|symbols| symbols.find(address));
        let symbol = symbol.or_else(|| {
            let parts = self.is_stripped.then(|| self.parts.get_or_insert_with(|| Parts::read(image)))?;
            parts.find(image, &self.symbols, address)
        })?;
        let (name, language) = Name::of_symbol(&symbol);
        Some(Named { names: vec![name], language })
    }

    fn weight(&self) -> usize {
        let symbols: usize = self.symbols.iter().map(Symbols::weight).sum();
        symbols + self.parts_weight() + self.go.as_ref().map_or(0, |bytes| bytes.len())
    }

    fn parts_weight(&self) -> usize {
        self.parts.as_ref().map_or(0, Parts::weight)
    }

    /// A path to the debug information: of an open file by its descriptor, which leads there from any mount namespace.
    fn debug_path(&self, image: &Image) -> Option<PathBuf> {
        match (&self.debug_file, image) {
            (Some(path), _) => Some(path.clone()),
            (None, Image::File(file)) => Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into()),
            (None, Image::Bytes(_)) => None,
        }
    }
}

/// What an address is called when nobody knows a name for it.
fn unnamed(path: &str, address: u64) -> Named {
    let file = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown");
    let function = format!("{file}+{address:#x}").into();
    let name = Name { function, system_name: None, file: None, line: 0 };
    Named { names: vec![name], language: Language::Native }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::split::tests::compiled;

    fn this_program() -> Image {
        Image::File(Arc::new(std::fs::File::open("/proc/self/exe").unwrap()))
    }

    fn object(key: u64, image: &Image) -> Object<'_> {
        Object { key, path: "/opt/program", image, root: None }
    }

    #[test]
    fn an_address_without_a_name_is_file_and_offset() {
        let mut names = Names::new(Settings::default());
        let image = Image::Bytes(b"no program".as_slice().into());
        let found = names.find(&object(1, &image), 0x1234);
        assert_eq!(&*found.names[0].function, "program+0x1234");
        assert_eq!(names.counters, Counters { loaded: 1, evicted: 0, unnamed: 1 });
    }

    #[test]
    fn a_file_is_read_once_and_the_longest_unused_goes_first() {
        let image = this_program();
        let weight = {
            let mut names = Names::new(Settings::default());
            names.find(&object(1, &image), 0);
            names.weight()
        };
        let mut names = Names::new(Settings { budget: weight * 2, inlines: false });
        for key in [1, 2, 1, 3, 1] {
            names.find(&object(key, &image), 0);
        }
        assert_eq!((names.counters.loaded, names.counters.evicted), (3, 1));
        assert!(names.weight() <= weight * 2);
    }

    /// They are read when something has no name, and each is named when it is asked for.
    #[test]
    fn parts_of_functions_are_within_the_budget() {
        let directory = tempfile::tempdir().unwrap();
        let [whole, stripped] = compiled(directory.path());
        let [whole, stripped] =
            [whole, stripped].map(|path| Image::File(Arc::new(std::fs::File::open(path).unwrap())));
        let mut names = Names::new(Settings::default());
        let mut function = |at| names.find(&object(1, &whole), at).names[0].function.clone();
        let part = (0..1_u64 << 20).find(|at| &*function(*at) == "work.cold").unwrap();
        let mut names = Names::new(Settings::default());
        names.find(&object(1, &stripped), 0);
        let unnamed = names.weight();
        assert_eq!(&*names.find(&object(1, &stripped), part).names[0].function, "work");
        let weight = names.weight();
        assert!(unnamed < weight);

        let mut names = Names::new(Settings { budget: 2 * weight - 1, inlines: false });
        for key in [1, 2] {
            names.find(&object(key, &stripped), part);
        }
        assert_eq!((names.counters.loaded, names.counters.evicted, names.weight()), (2, 1, weight));
    }
}
