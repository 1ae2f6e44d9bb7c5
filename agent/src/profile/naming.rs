//! From addresses to names: raw stacks become named ones. Not where samples are taken in, since files are read here.

use std::{collections::HashMap, io, sync::Arc};

use foldhash::fast::RandomState;
use honeyguide_symbolizer::names::{self, Image, KernelNames, Language, Name, Names};
use sha2::{Digest as _, Sha256};

use super::{
    interpreter::{mix, script},
    jit::JitMaps,
    model::{self, Frame, Interpreted, ObjectKind, Place},
    named::{BuildId, FrameKind, Line, Location, Mapping, Stack},
};
use crate::discover::ProcRoot;

/// Locations that are remembered. Each is a line or two; a busy host's stacks have some ten thousand.
const MAX_LOCATIONS: usize = 100_000;
const MAX_MAPPINGS: usize = 16_384;

/// Names stacks, and remembers what it named.
#[derive(Debug)]
pub struct Naming {
    proc: ProcRoot,
    names: Names,
    kernel: KernelNames,
    jit: JitMaps,
    inlines: bool,
    /// By object and address in its own terms; by 0 and address of the kernel.
    locations: HashMap<(u64, u64), Arc<Location>, RandomState>,
    /// By object and start in its own terms.
    mappings: HashMap<(u64, u64), Option<Arc<Mapping>>, RandomState>,
    images: HashMap<u64, Image, RandomState>,
}

/// What is known of a stack, innermost first each.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    pub kernel: &'a [u64],
    pub user: &'a [Frame],
    pub complete: bool,
    pub interpreted: &'a [Interpreted],
    pub interpreted_complete: bool,
}

impl Naming {
    #[must_use]
    pub fn new(proc: ProcRoot, settings: names::Settings) -> Self {
        Self {
            inlines: settings.inlines,
            names: Names::new(settings),
            kernel: KernelNames::default(),
            jit: JitMaps::new(proc.clone()),
            locations: HashMap::default(),
            mappings: HashMap::default(),
            images: HashMap::default(),
            proc,
        }
    }

    #[must_use]
    pub fn counters(&self) -> names::Counters {
        self.names.counters
    }

    /// The stack of a sample of process `pid`, the kernel's part on the inside.
    pub fn stack(&mut self, pid: u32, frames: &Frames<'_>) -> Stack {
        let Frames { kernel, user, interpreted, complete, .. } = *frames;
        if self.locations.len() >= MAX_LOCATIONS {
            self.locations.clear();
        }
        let mut locations = Vec::with_capacity(kernel.len() + user.len());
        locations.extend(kernel.iter().map(|&address| self.kernel_location(address)));
        for (index, frame) in user.iter().enumerate() {
            let native = self.location(pid, frame);
            let functions = interpreted
                .iter()
                .filter(|frame| frame.place == Place::Of(index as u16))
                .filter_map(|frame| frame.location.clone());
            let mut functions: Vec<_> = functions.collect();
            // What was compiled into the function that ran is told by its nearest position, as V8's own profiler does not.
            if index == 0 && !self.inlines {
                functions.drain(..functions.len().saturating_sub(1));
            }
            script(native, functions, index == 0, &mut locations);
        }
        // A process has one interpreter: all frames have their places, or none has.
        if !matches!(interpreted.first(), Some(Interpreted { place: Place::Of(_), .. })) {
            locations = mix(locations, interpreted, complete && frames.interpreted_complete);
        }
        Stack { locations: locations.into(), complete }
    }

    fn kernel_location(&mut self, address: u64) -> Arc<Location> {
        let key = (0, address);
        if let Some(known) = self.locations.get(&key) {
            return Arc::clone(known);
        }
        let function =
            self.kernel.find(address).map_or_else(|| format!("kernel+{address:#x}"), str::to_owned);
        let location = Arc::new(Location {
            kind: FrameKind::Kernel,
            mapping: None,
            address,
            lines: vec![plain(function.into())],
        });
        self.locations.insert(key, Arc::clone(&location));
        location
    }

    fn location(&mut self, pid: u32, frame: &Frame) -> Arc<Location> {
        let (Some(mapping), Some(address)) = (&frame.mapping, frame.file_address()) else {
            return self.jit_location(pid, frame);
        };
        if mapping.object.kind == ObjectKind::Anonymous {
            return self.jit_location(pid, frame);
        }
        let key = (mapping.object.id, address);
        if let Some(known) = self.locations.get(&key) {
            return Arc::clone(known);
        }
        let location = Arc::new(self.name(pid, mapping, address));
        self.locations.insert(key, Arc::clone(&location));
        location
    }

    fn name(&mut self, pid: u32, mapping: &model::Mapping, address: u64) -> Location {
        let object = &mapping.object;
        let mapping = self.mapping(mapping);
        let Some(image) = self.image(object) else {
            let file = object.path.rsplit('/').next().unwrap_or("unknown");
            let line = plain(format!("{file}+{address:#x}").into());
            return Location { kind: FrameKind::Native, mapping, address, lines: vec![line] };
        };
        let root = self.proc.path().join(pid.to_string()).join("root");
        let object = names::Object { key: object.id, path: &object.path, image: &image, root: Some(root) };
        let named = self.names.find(&object, address);
        let kind = match named.language {
            Language::Native => FrameKind::Native,
            Language::Rust => FrameKind::Rust,
            Language::Go => FrameKind::Go,
        };
        Location { kind, mapping, address, lines: named.names.into_iter().map(line).collect() }
    }

    /// Code of no file: a JIT compiler's, which may have written down what it is.
    fn jit_location(&mut self, pid: u32, frame: &Frame) -> Arc<Location> {
        let address = frame.lookup_address();
        let function = self.jit.find(pid, address);
        let kind = function.as_ref().map_or(FrameKind::Jit, |name| jit_kind(name));
        let line = plain(function.unwrap_or_else(|| format!("[anon]+{address:#x}").into()));
        Arc::new(Location { kind, mapping: None, address, lines: vec![line] })
    }

    fn image(&mut self, object: &model::Object) -> Option<Image> {
        if let Some(known) = self.images.get(&object.id) {
            return Some(known.clone());
        }
        let image = match &object.image {
            Some(bytes) => Image::Bytes(Arc::clone(bytes)),
            None => Image::File(Arc::new(object.open().ok()?)),
        };
        // Descriptors are few; what is in use is opened again.
        if self.images.len() >= 256 {
            self.images.clear();
        }
        self.images.insert(object.id, image.clone());
        Some(image)
    }

    fn mapping(&mut self, mapping: &model::Mapping) -> Option<Arc<Mapping>> {
        let start = mapping.start.wrapping_sub(mapping.bias);
        let key = (mapping.object.id, start);
        if let Some(known) = self.mappings.get(&key) {
            return known.clone();
        }
        let object = &mapping.object;
        let build_id = match &object.build_id {
            Some(id) => Some(BuildId::Gnu(id.to_string().into())),
            None => self.image(object).and_then(|image| htl_hash(&image).ok()).map(BuildId::Htl),
        };
        let made = build_id.map(|build_id| {
            Arc::new(Mapping {
                path: Arc::clone(&object.path),
                build_id,
                start,
                end: mapping.end.wrapping_sub(mapping.bias),
                offset: mapping.offset,
            })
        });
        if self.mappings.len() >= MAX_MAPPINGS {
            self.mappings.clear();
        }
        self.mappings.insert(key, made.clone());
        made
    }
}

fn line(name: Name) -> Line {
    let Name { function, system_name, file, line } = name;
    Line { function, system_name, file, line }
}

fn plain(function: Arc<str>) -> Line {
    Line { function, system_name: None, file: None, line: 0 }
}

/// V8 writes `LazyCompile:*name file:line:column`, `JS:~name …`, `Function:…`; its builtins are machine code of its own.
fn jit_kind(name: &str) -> FrameKind {
    let v8 = ["LazyCompile:", "Function:", "JS:", "Script:", "Eval:"];
    if v8.iter().any(|prefix| name.starts_with(prefix)) { FrameKind::V8 } else { FrameKind::Jit }
}

/// `process.executable.build_id.htlhash`: of the first and last 4,096 bytes and the length, the first half of a
/// SHA-256 (semantic conventions for profiles).
fn htl_hash(image: &Image) -> io::Result<Arc<str>> {
    const EDGE: u64 = 4_096;
    let length = image.len()?;
    let mut hash = Sha256::new();
    let mut edge = vec![0; 4_096];
    for offset in [0, length.saturating_sub(EDGE)] {
        let read = image.read_at(&mut edge, offset)?;
        hash.update(&edge[..read]);
    }
    hash.update(length.to_be_bytes());
    let hash = hash.finalize();
    Ok(hash[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::named::tests::location;

    #[test]
    fn a_file_without_a_build_id_is_named_by_its_edges() {
        let hash = |text: &[u8]| htl_hash(&Image::Bytes(text.into())).unwrap();
        // A file that is shorter than an edge is its own head and its own tail.
        assert_eq!(&*hash(b""), "af5570f5a1810b7af78caf4bc70a660f");
        assert_eq!(hash(&[7; 10_000]), hash(&[7; 10_000]));
        assert_ne!(hash(&[7; 10_000]), hash(&[7; 10_001]));
        assert_eq!(hash(b"abc").len(), 32);
    }

    #[test]
    fn what_was_compiled_into_the_innermost_function_is_shown_on_request() {
        let function = |name, index| {
            let mut location = (*location(name, FrameKind::V8)).clone();
            location.lines[0].file = Some("app.js".into());
            Interpreted { location: Some(Arc::new(location)), place: Place::Of(index) }
        };
        let frame = |address| Frame { address, mapping: None, exact: false };
        let frames = Frames {
            kernel: &[],
            user: &[frame(0x1000), frame(0x2000), frame(0x3000)],
            complete: true,
            interpreted: &[
                function("inner", 0),
                function("work", 0),
                function("called", 1),
                function("main", 1),
            ],
            interpreted_complete: true,
        };
        for (inlines, expect) in
            [(true, "inner work called main [anon]+0x2fff"), (false, "work called main [anon]+0x2fff")]
        {
            let root = tempfile::tempdir().unwrap();
            let settings = names::Settings { inlines, ..names::Settings::default() };
            let stack = Naming::new(ProcRoot::new(root.path()), settings).stack(7, &frames);
            let names: Vec<_> = stack.locations.iter().map(|location| &*location.lines[0].function).collect();
            assert_eq!(names.join(" "), expect);
        }
    }

    #[test]
    fn v8_says_what_is_javascript() {
        assert_eq!(jit_kind("LazyCompile:*work /app.js:3:5"), FrameKind::V8);
        assert_eq!(jit_kind("Builtin:InterpreterEntryTrampoline"), FrameKind::Jit);
    }
}
