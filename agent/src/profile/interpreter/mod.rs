//! Frames of interpreted code: the kernel brings addresses of code objects, their names are read from the process.
//!
//! Objects come and go, so they are read as samples arrive. An interpreter is a file here, behind [`Interpreter`].

mod cpython;
mod lines;
mod mix;
mod reading;
mod v8;

use std::{
    collections::HashMap,
    fmt::Debug,
    fs,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Result;
use foldhash::fast::RandomState;
use honeyguide_common::interpreter::{CODE, UNIT_SHIFT};

pub(super) use mix::{mix, script};
pub(super) use reading::Reading;

use v8::Remembered;

use super::{
    model::{Frame, Interpreted, Mapping, Object, ObjectKind, Place},
    named::{FrameKind, Line, Location},
};
use crate::{
    discover::ProcRoot,
    load::{Interpreters, PythonFile, V8File, examine_frames, examine_v8},
};

/// Code objects that are remembered, of all processes.
const MAX_CODES: usize = 32_768;
/// An address may have become another object's; it is looked at again after so long.
const CHECK: Duration = Duration::from_secs(1);
/// Files of which it is remembered whether they hold an interpreter.
const MAX_FILES: usize = 4_096;
/// In the names of interpreters' libraries.
const ROOTS: [&str; 2] = ["python", "libnode"];

/// What interprets code in a process.
pub(super) trait Interpreter: Debug + Send + Sync {
    /// Tells the kernel how to find its frames in a process.
    ///
    /// # Errors
    /// Where the kernel's table is full.
    fn install(&self, pid: u32, table: &mut Interpreters) -> Result<()>;

    /// What is at an address; `None` where it does not read, or is no code.
    fn read(&self, memory: &Reading, code: u64) -> Option<Code>;

    /// What changes when another object comes to lie at an address.
    fn fingerprint(&self, memory: &Reading, code: u64) -> Option<[u64; 4]>;

    /// The line of an instruction; the first one where that has none.
    fn line(&self, code: &Code, unit: u16) -> u32;

    /// Where among a sample's native frames a word's is.
    fn place(&self, word: u64) -> Place;

    /// The functions that were compiled into another one at an address of its machine code, innermost first.
    fn inlined(&self, memory: &Reading, address: u64) -> Vec<u64> {
        let _ = (memory, address);
        Vec::new()
    }

    fn kind(&self) -> FrameKind;
}

/// A piece of interpreted code, most often a function.
#[derive(Debug)]
pub(super) struct Code {
    function: Arc<str>,
    file: Option<Arc<str>>,
    first_line: u32,
    lines: Vec<u8>,
    fingerprint: [u64; 4],
    /// The interpreter's own, and no frame: what runs it is shown, or nothing.
    is_glue: bool,
}

/// Which files are interpreters.
#[derive(Debug, Default)]
pub(super) struct Files {
    known: HashMap<u64, Option<Known>>,
    remembered: Arc<Mutex<Remembered>>,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    CPython(PythonFile),
    V8(V8File),
}

impl Files {
    /// The interpreter among a process's files; `directory` is its own of procfs.
    pub(super) fn find<'a>(
        &mut self,
        directory: &Path,
        mappings: impl Iterator<Item = &'a Arc<Mapping>>,
    ) -> Option<Arc<dyn Interpreter>> {
        let executable = fs::read_link(directory.join("exe")).ok()?;
        let may_be = |object: &Object| {
            let name = object.path.rsplit('/').next().unwrap_or_default();
            let is_named = ROOTS.iter().any(|root| name.contains(root));
            object.kind == ObjectKind::File && (is_named || Path::new(&*object.path) == executable)
        };
        for mapping in mappings.filter(|mapping| may_be(&mapping.object)) {
            if self.known.len() >= MAX_FILES {
                self.known.clear();
            }
            let found = *self.known.entry(mapping.object.id).or_insert_with(|| examine(&mapping.object));
            match found {
                Some(Known::CPython(file)) => {
                    return Some(Arc::new(cpython::CPython::new(file, mapping.bias)));
                }
                Some(Known::V8(file)) => {
                    return Some(Arc::new(v8::V8::new(file, Arc::clone(&self.remembered))));
                }
                None => {}
            }
        }
        None
    }
}

fn examine(object: &Object) -> Option<Known> {
    let file = object.file.as_ref()?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    examine_frames(&path).map(Known::CPython).or_else(|| examine_v8(&path).map(Known::V8))
}

/// What frames' words are called, by process.
#[derive(Debug)]
pub(super) struct Frames {
    proc: ProcRoot,
    known: HashMap<(u32, u64), Named, RandomState>,
    /// Frames whose code could not be read: the process had gone, or the object had.
    pub(super) unread: u64,
}

#[derive(Debug)]
struct Named {
    code: Code,
    checked: Instant,
    locations: HashMap<u32, Arc<Location>, RandomState>,
}

impl Frames {
    pub(super) fn new(proc: ProcRoot) -> Self {
        Self { proc, known: HashMap::default(), unread: 0 }
    }

    /// The frames of a sample's words, innermost first; `user`: its native ones.
    pub(super) fn read(
        &mut self,
        pid: u32,
        interpreter: &dyn Interpreter,
        words: &[u64],
        user: &[Frame],
    ) -> Vec<Interpreted> {
        let memory = Reading::new(&self.proc, pid);
        let mut frames = Vec::with_capacity(words.len());
        for &word in words {
            let place = interpreter.place(word);
            // Code of a file has nothing compiled into it.
            let compiled = match place {
                Place::Of(index) => user.get(usize::from(index)).filter(|frame| frame.is_anonymous()),
                Place::Within | Place::Last => None,
            };
            let inlined = compiled
                .map(|frame| interpreter.inlined(&memory, frame.lookup_address()))
                .unwrap_or_default();
            for word in inlined.into_iter().map(|code| code | word & !CODE).chain([word]) {
                let code = (word & CODE != 0).then(|| self.location(pid, interpreter, &memory, word));
                frames.push(Interpreted { location: code.flatten(), place });
            }
        }
        frames
    }

    /// `None` for what nobody has written.
    fn location(
        &mut self,
        pid: u32,
        interpreter: &dyn Interpreter,
        memory: &Reading,
        word: u64,
    ) -> Option<Arc<Location>> {
        let (code, unit) = (word & CODE, (word >> UNIT_SHIFT) as u16);
        let key = (pid, code);
        if let Some(known) = self.known.get_mut(&key) {
            let is_fresh = known.checked.elapsed() < CHECK;
            // What is there no more was there a moment ago: a process that has gone has the names it had.
            if is_fresh
                || interpreter.fingerprint(memory, code).is_none_or(|now| now == known.code.fingerprint)
            {
                if !is_fresh {
                    known.checked = Instant::now();
                }
                return known.location(interpreter, unit);
            }
            self.known.remove(&key);
        }
        let Some(read) = interpreter.read(memory, code) else {
            self.unread += 1;
            // A native frame has a name of its own.
            if let Place::Of(_) = interpreter.place(word) {
                return None;
            }
            let function = format!("[{}]+{code:#x}", interpreter.kind().name()).into();
            let line = Line { function, system_name: None, file: None, line: 0 };
            return Some(location(interpreter.kind(), line));
        };
        if self.known.len() >= MAX_CODES {
            self.known.clear();
        }
        let known = Named { code: read, checked: Instant::now(), locations: HashMap::default() };
        self.known.entry(key).or_insert(known).location(interpreter, unit)
    }
}

impl Named {
    /// The same one for the same line: samples are told apart by it.
    fn location(&mut self, interpreter: &dyn Interpreter, unit: u16) -> Option<Arc<Location>> {
        if self.code.is_glue {
            return None;
        }
        let line = interpreter.line(&self.code, unit);
        let Code { function, file, .. } = &self.code;
        let made = self.locations.entry(line).or_insert_with(|| {
            let line = Line { function: Arc::clone(function), system_name: None, file: file.clone(), line };
            location(interpreter.kind(), line)
        });
        Some(Arc::clone(made))
    }
}

fn location(kind: FrameKind, line: Line) -> Arc<Location> {
    Arc::new(Location { kind, mapping: None, address: 0, lines: vec![line] })
}
