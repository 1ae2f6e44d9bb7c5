//! Functions by the symbol tables of their files.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use object::{
    LittleEndian, ReadCache,
    elf::{FileHeader64, SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, STT_GNU_IFUNC},
    read::elf::{FileHeader as _, Sym as _},
};

use super::model::{Frame, Object};

/// Symbols of one file.
const MAX_SYMBOLS: usize = 4 << 20;

/// The names of what was seen so far.
#[derive(Debug, Default)]
pub struct Names {
    /// By [`Object::id`].
    objects: HashMap<u64, Rc<Symbols>>,
    kernel: Option<Rc<Symbols>>,
}

#[derive(Debug, Default)]
struct Symbols(Vec<(u64, u64, Box<str>)>);

impl Names {
    /// The function of a frame, or `file+0xoffset`.
    pub fn of(&mut self, frame: &Frame) -> String {
        let (Some(mapping), Some(address)) = (&frame.mapping, frame.file_address()) else {
            return format!("{:#x}", frame.address);
        };
        let object = &mapping.object;
        let symbols = Rc::clone(
            self.objects.entry(object.id).or_insert_with(|| Rc::new(of_object(object).unwrap_or_default())),
        );
        symbols.find(address).map_or_else(
            || {
                let file = object.path.rsplit('/').next().unwrap_or_default();
                format!("{file}+{:#x}", frame.file_offset().unwrap_or_default())
            },
            str::to_owned,
        )
    }

    /// The same of the kernel.
    pub fn of_kernel(&mut self, address: u64) -> String {
        let symbols = Rc::clone(self.kernel.get_or_insert_with(|| Rc::new(of_kernel())));
        symbols.find(address).map_or_else(|| format!("{address:#x}"), |name| format!("{name}_[k]"))
    }
}

impl Symbols {
    fn find(&self, address: u64) -> Option<&str> {
        let index = self.0.partition_point(|symbol| symbol.0 <= address).checked_sub(1)?;
        let (start, size, name) = self.0.get(index)?;
        (*size == 0 || address < start + size).then_some(name)
    }
}

fn of_object(object: &Arc<Object>) -> Option<Symbols> {
    let cache = ReadCache::new(object.open().ok()?);
    let header = FileHeader64::<LittleEndian>::parse(&cache).ok()?;
    let sections = header.sections(LittleEndian, &cache).ok()?;
    let mut found = Vec::new();
    for kind in [SHT_SYMTAB, SHT_DYNSYM] {
        let Ok(table) = sections.symbols(LittleEndian, &cache, kind) else { continue };
        for symbol in table.iter().take(MAX_SYMBOLS) {
            let kind = symbol.st_type();
            if (kind == STT_FUNC || kind == STT_GNU_IFUNC) && symbol.st_value(LittleEndian) != 0 {
                let name = symbol.name(LittleEndian, table.strings()).unwrap_or_default();
                let name = String::from_utf8_lossy(name).into_owned().into_boxed_str();
                found.push((symbol.st_value(LittleEndian), symbol.st_size(LittleEndian), name));
            }
        }
    }
    found.sort_unstable_by(|a, b| (a.0, b.1, &a.2).cmp(&(b.0, a.1, &b.2)));
    found.dedup_by_key(|symbol| symbol.0);
    Some(Symbols(found))
}

fn of_kernel() -> Symbols {
    let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let mut found: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let is_code = matches!(words.next()?, "t" | "T" | "w" | "W");
            Some((address, 0, words.next()?.into())).filter(|_| is_code && address != 0)
        })
        .collect();
    found.sort_unstable();
    Symbols(found)
}
