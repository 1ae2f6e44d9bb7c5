//! The files that processes map: each opened once, told apart by what they are and not by their names.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    sync::{Arc, Weak},
};

use honeyguide_symbolizer::unwind::{Elf, Segment};
use object::{ReadCache, ReadRef};

use super::{
    maps::Region,
    model::{BuildId, Object, ObjectKind},
};

/// More are opened than kept: the least recently opened ones go, and are opened anew when they are mapped again.
const MAX_OBJECTS: usize = 4_096;
/// The kernel's vDSO has two to four pages.
const MAX_VDSO: u64 = 64 << 10;

/// What makes a file the same one. Numbers of devices and inodes are used again, and times of writing can be set; the time
/// of the last change cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    device: u64,
    inode: u64,
    size: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Key {
    fn from(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            written: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// Files that are remembered when no process maps them any more, for the next one that does: compilers come and go.
const MAX_REMEMBERED: usize = 16_384;

/// Every object that some process maps.
#[derive(Debug, Default)]
pub(super) struct Objects {
    known: HashMap<Key, Weak<Placed>>,
    remembered: HashMap<Key, Remembered>,
    vdso: Option<Arc<Placed>>,
    anonymous: HashMap<String, Weak<Placed>>,
    next: u64,
}

/// What a file is known by, and what was read of it. A new number would mean new tables, and new names.
#[derive(Clone, Debug)]
struct Remembered {
    id: u64,
    examined: Examined,
}

/// Segments, build id, and whether Go made it; nothing of what is no ELF file.
#[derive(Clone, Debug, Default)]
struct Examined {
    segments: Arc<[Segment]>,
    build_id: Option<BuildId>,
    go: bool,
}

/// An object, and where its parts lie in memory.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) object: Arc<Object>,
    /// None where it is no ELF file.
    segments: Arc<[Segment]>,
    /// Written by Go's linker.
    pub(super) go: bool,
}

impl Placed {
    /// What to subtract from an address to have the file's own, for a region that begins at `start` with the file's
    /// `offset`.
    pub(super) fn bias(&self, start: u64, offset: u64) -> u64 {
        // Rounded down to pages as the loader does: the page at which one segment ends and the next begins is mapped
        // for both, so only those of code are asked.
        let page = |value: u64| value & !0xfff;
        let inside = self.segments.iter().filter(|segment| segment.executable).find(|segment| {
            offset >= page(segment.offset) && offset < segment.offset.saturating_add(segment.size)
        });
        let address = inside
            .map_or(offset, |segment| segment.address.wrapping_add(offset.wrapping_sub(segment.offset)));
        start.wrapping_sub(address)
    }

    pub(super) fn is_elf(&self) -> bool {
        !self.segments.is_empty()
    }
}

impl Objects {
    /// What a region of a process was mapped from. `directory`: `/proc/PID`.
    pub(super) fn of(&mut self, directory: &Path, region: &Region) -> Arc<Placed> {
        if region.path == "[vdso]" {
            return self.vdso();
        }
        if region.inode == 0 || !region.path.starts_with('/') {
            return self.nameless(&region.path);
        }
        match self.file(directory, region) {
            Ok(placed) => placed,
            // Gone by now, or not to be opened: its name is known at least.
            Err(_) => self.nameless(&region.path),
        }
    }

    fn file(&mut self, directory: &Path, region: &Region) -> io::Result<Arc<Placed>> {
        let link = directory.join(format!("map_files/{:x}-{:x}", region.start, region.end));
        let path = || directory.join("root").join(region.path.trim_start_matches('/'));
        // The link leads to the very file, also where it was deleted or another lies over it; it needs a privilege
        // (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE).
        let file = File::open(link).or_else(|_| File::open(path()))?;
        let key = Key::from(&file.metadata()?);
        if let Some(known) = self.known.get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let remembered = match self.remembered.get(&key) {
            Some(remembered) => remembered.clone(),
            None => self.remember(key, examine(&ReadCache::new(file.try_clone()?))),
        };
        let placed = placed(ObjectKind::File, &region.path, remembered, Some(file), None);
        if self.known.len() >= MAX_OBJECTS {
            self.known.retain(|_, known| known.strong_count() > 0);
        }
        self.known.insert(key, Arc::downgrade(&placed));
        Ok(placed)
    }

    /// The kernel maps the same image into every process: this one's own is read.
    fn vdso(&mut self) -> Arc<Placed> {
        if let Some(vdso) = &self.vdso {
            return Arc::clone(vdso);
        }
        let image = own_vdso().ok();
        let examined = image.as_deref().map(examine).unwrap_or_default();
        let image = image.map(Arc::from);
        let placed = placed(ObjectKind::Vdso, "[vdso]", self.numbered(examined), None, image);
        self.vdso = Some(Arc::clone(&placed));
        placed
    }

    fn nameless(&mut self, path: &str) -> Arc<Placed> {
        let path = if path.is_empty() { "[anon]" } else { path };
        if let Some(known) = self.anonymous.get(path).and_then(Weak::upgrade) {
            return known;
        }
        let placed = placed(ObjectKind::Anonymous, path, self.numbered(Examined::default()), None, None);
        if self.anonymous.len() >= MAX_OBJECTS {
            self.anonymous.retain(|_, known| known.strong_count() > 0);
        }
        self.anonymous.insert(path.to_owned(), Arc::downgrade(&placed));
        placed
    }

    fn remember(&mut self, key: Key, examined: Examined) -> Remembered {
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.clear();
        }
        let remembered = self.numbered(examined);
        self.remembered.insert(key, remembered.clone());
        remembered
    }

    fn numbered(&mut self, examined: Examined) -> Remembered {
        self.next += 1;
        Remembered { id: self.next, examined }
    }
}

fn placed(
    kind: ObjectKind,
    path: &str,
    Remembered { id, examined }: Remembered,
    file: Option<File>,
    image: Option<Arc<[u8]>>,
) -> Arc<Placed> {
    let Examined { segments, build_id, go } = examined;
    let object = Object { id, kind, path: path.into(), build_id, file, image };
    Arc::new(Placed { object: Arc::new(object), segments, go })
}

fn examine<'data, R: ReadRef<'data>>(data: R) -> Examined {
    let Ok(elf) = Elf::parse(data) else { return Examined::default() };
    let build_id = elf.build_id().map(|id| BuildId(id.into()));
    let go = elf.has_section(".gopclntab") || elf.has_section(".note.go.buildid");
    Examined { segments: elf.segments.into(), build_id, go }
}

fn own_vdso() -> io::Result<Vec<u8>> {
    let (regions, _) = super::maps::read(Path::new("/proc/self"), usize::MAX)?;
    let vdso = regions.iter().find(|region| region.path == "[vdso]").ok_or(io::ErrorKind::NotFound)?;
    let size = (vdso.end - vdso.start).min(MAX_VDSO);
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    File::open("/proc/self/mem")?.read_exact_at(&mut bytes, vdso.start)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::maps;

    #[test]
    fn this_process_is_made_of_known_files() {
        let directory = Path::new("/proc/self");
        let (regions, _) = maps::read(directory, 1_000).unwrap();
        let mut objects = Objects::default();
        let exe = std::fs::canonicalize("/proc/self/exe").unwrap();
        let own = regions.iter().find(|region| Path::new(&region.path) == exe).unwrap();
        let placed = objects.of(directory, own);
        assert!(placed.is_elf() && placed.object.file.is_some());
        assert!(Arc::ptr_eq(&placed, &objects.of(directory, own)));
        // When nobody maps it any more it is still the same one.
        let id = placed.object.id;
        drop(placed);
        let placed = objects.of(directory, own);
        assert_eq!(placed.object.id, id);
        // This very function, by its address in memory and in the file.
        let address = this_process_is_made_of_known_files as fn() as usize as u64;
        assert!(own.start <= address && address < own.end);
        let inside = address - placed.bias(own.start, own.offset);
        assert!(
            placed
                .segments
                .iter()
                .any(|s| s.executable && s.address <= inside && inside < s.address + s.size)
        );
    }

    #[test]
    fn a_page_of_two_segments_is_that_of_the_code() {
        let segment = |address, offset, size, executable| Segment { address, offset, size, executable };
        // As lld lays out a program.
        let segments = vec![
            segment(0, 0, 0x1_6730, false),
            segment(0x1_7730, 0x1_6730, 0x4_4ae0, true),
            segment(0x5_d210, 0x5_b210, 0x2ef0, false),
        ];
        let examined = Examined { segments: segments.into(), ..Examined::default() };
        let placed = placed(ObjectKind::File, "/x", Remembered { id: 1, examined }, None, None);
        assert_eq!(placed.bias(0x7000_0000, 0x1_6000), 0x7000_0000 - 0x1_7000);
        assert_eq!(placed.bias(0x7000_0000, 0x2_0000), 0x7000_0000 - 0x2_1000);
    }

    #[test]
    fn the_vdso_is_an_image_with_a_build_id() {
        let placed = Objects::default().vdso();
        assert!(placed.is_elf());
        assert!(placed.object.image.is_some() && placed.object.build_id.is_some());
    }
}
