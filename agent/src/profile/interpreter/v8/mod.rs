//! V8's functions: what a `SharedFunctionInfo` says of the code that a frame of JavaScript runs.
//!
//! The garbage collector may move or free any of it while it is read. So every object's type is looked at before what is
//! in it is believed, and nothing is read without a bound.

mod compiled;
mod sources;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use honeyguide_common::interpreter::{CODE, UNIT_SHIFT};

use super::{Code, FrameKind, Interpreter, Interpreters, Place, Reading, V8File};
use compiled::Compiled;
use sources::Sources;

/// The tag of a pointer to an object; the lowest bit of a small integer, which is in the upper half of its word, is 0.
const OBJECT: u64 = 1;
const SMALL_SHIFT: u32 = 32;
const WORD: u64 = 8;

/// Units of a name or path and of a source, and pieces that either is put together of.
const MAX_TEXT: usize = 1_024;
const MAX_SOURCE: usize = 4 << 20;
const MAX_PIECES: usize = 256;
/// Variables of a scope.
const MAX_LOCALS: u64 = 1 << 16;
/// A scope of so many variables has their names in a table (`kScopeInfoMaxInlinedLocalNamesSize`).
const LOCALS_IN_TABLE: u64 = 75;

/// In a scope's flags (V8, src/objects/scope-info.tq, the same in 10.2 to 13.6).
const HAS_CLASS_VARIABLE: u64 = 1 << 10;
const HAS_NAME: u64 = 3 << 12;
const HAS_INFERRED_NAME: u64 = 1 << 14;
/// Where the variables begin, in versions that have the function's place before them.
const AFTER_PLACE: u32 = 5;

/// The bit of a string's type which says that its bytes' address is not kept.
const UNCACHED: u32 = 1 << 4;

/// What a function without a name is called by V8's own profiler.
const NAMELESS: &str = "(anonymous)";

/// V8 in a process.
#[derive(Debug)]
pub(super) struct V8 {
    file: V8File,
    remembered: Arc<Mutex<Remembered>>,
}

/// What is remembered of all processes: their memory changes often, and is then looked at anew.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    sources: Sources,
    compiled: Compiled,
}

/// What a scope says of its function.
#[derive(Debug, Default)]
struct Scope {
    name: String,
    /// In the source.
    start: Option<u32>,
}

impl V8 {
    pub(super) fn new(file: V8File, remembered: Arc<Mutex<Remembered>>) -> Self {
        Self { file, remembered }
    }

    /// A thread that panicked has left whole values behind: each is replaced at once.
    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name, or the scope, and the script of a `SharedFunctionInfo`; `None` where there is none.
    fn function(&self, memory: &Reading, object: u64) -> Option<[u64; 2]> {
        let layout = &self.file.layout;
        if self.type_of(memory, object | OBJECT)? != layout.function_type {
            return None;
        }
        let word = |offset| self.field(memory, object | OBJECT, offset);
        Some([word(layout.function_name)?, word(layout.function_script)?])
    }

    fn scope(&self, memory: &Reading, object: u64) -> Option<Scope> {
        let layout = &self.file.layout;
        let word = |index: u64| self.field(memory, object, u32::try_from((index + 1) * WORD).ok()?);
        let flags = word(0)?;
        // A number of 32 bits in later versions, a small integer in earlier ones.
        let flags = if flags as u32 == 0 { flags >> SMALL_SHIFT } else { flags };
        let locals = small(word(u64::from(layout.locals))?).map(u64::from).filter(|n| *n < MAX_LOCALS)?;
        let names = if locals < LOCALS_IN_TABLE { locals } else { 1 };
        let mut at = u64::from(layout.first_variable) + names + locals;
        at += u64::from(flags & HAS_CLASS_VARIABLE != 0);
        let mut name = None;
        if flags & HAS_NAME != 0 {
            name = Some(word(at)?);
            at += 2;
        }
        let mut inferred = None;
        if flags & HAS_INFERRED_NAME != 0 {
            inferred = Some(word(at)?);
            at += 1;
        }
        if layout.first_variable >= AFTER_PLACE {
            at = u64::from(layout.first_variable) - 2;
        }
        let (start, end) = (word(at).and_then(small), word(at + 1).and_then(small));
        let text = |object: Option<u64>| {
            object.and_then(|object| self.text(memory, object)).filter(|text| !text.is_empty())
        };
        Some(Scope {
            name: text(name).or_else(|| text(inferred)).unwrap_or_default(),
            start: start.filter(|start| end.is_some_and(|end| *start <= end)),
        })
    }

    /// The path of a script, and the line of a position in it (0 where it cannot be told).
    fn script(&self, memory: &Reading, script: u64, start: Option<u32>) -> Option<(String, u32)> {
        let layout = &self.file.layout;
        if self.type_of(memory, script)? != layout.script_type {
            return None;
        }
        let path = self.text(memory, self.field(memory, script, layout.script_name)?).unwrap_or_default();
        let path = presentable(path);
        let source = self.field(memory, script, layout.script_source)?;
        let line = start.and_then(|start| {
            let read = || self.units(memory, source, MAX_SOURCE);
            self.remembered().sources.line((memory.pid(), script, source), start, read)
        });
        Some((path, line.unwrap_or(0)))
    }

    fn text(&self, memory: &Reading, string: u64) -> Option<String> {
        Some(String::from_utf16_lossy(&self.units(memory, string, MAX_TEXT)?))
    }

    /// The first `most` units of a string. A longer source has none: its lines would be wrong.
    fn units(&self, memory: &Reading, string: u64, most: usize) -> Option<Vec<u16>> {
        let layout = &self.file.layout;
        let mut units = Vec::new();
        // Strings, with how many of their units to pass over and to take.
        let mut pieces = vec![(string, 0_usize, most)];
        for _ in 0..MAX_PIECES {
            let Some((string, skip, take)) = pieces.pop() else { return Some(units) };
            let kind = self.type_of(memory, string).filter(|kind| *kind < layout.first_no_string)?;
            let length: [u8; 4] = memory.array(at(string, layout.string_length))?;
            let length = u32::from_le_bytes(length) as usize;
            if most == MAX_SOURCE && length > most {
                return None;
            }
            let take = length.saturating_sub(skip).min(take).min(most - units.len());
            if take == 0 {
                continue;
            }
            let is_narrow = kind & layout.encoding == layout.is_one_byte;
            let field = |offset| self.field(memory, string, offset);
            let representation = kind & layout.representation;
            if representation == layout.is_thin {
                pieces.push((field(layout.actual)?, skip, take));
            } else if representation == layout.is_sliced {
                let offset = small(field(layout.offset)?)? as usize;
                pieces.push((field(layout.parent)?, offset.checked_add(skip)?, take));
            } else if representation == layout.is_cons {
                let first = field(layout.first)?;
                let first_length: [u8; 4] = memory.array(at(first, layout.string_length))?;
                let first_length = u32::from_le_bytes(first_length) as usize;
                let in_first = first_length.saturating_sub(skip).min(take);
                pieces.push((field(layout.second)?, skip.saturating_sub(first_length), take - in_first));
                pieces.push((first, skip, in_first));
            } else {
                let (start, width) = match representation {
                    found if found == layout.is_sequential && is_narrow => (at(string, layout.one_byte), 1),
                    found if found == layout.is_sequential => (at(string, layout.two_byte), 2),
                    found if found == layout.is_external && kind & UNCACHED == 0 => {
                        (field(layout.resource + WORD as u32)?, if is_narrow { 1 } else { 2 })
                    }
                    _ => return None,
                };
                let start = start.wrapping_add((skip * width) as u64);
                let bytes = memory.bytes(start, take * width)?;
                match width {
                    1 => units.extend(bytes.into_iter().map(u16::from)),
                    _ => {
                        units
                            .extend(bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])));
                    }
                }
            }
        }
        None
    }

    /// The number of an object's type; `None` where it is none, or does not read.
    fn type_of(&self, memory: &Reading, object: u64) -> Option<u32> {
        let map = self.field(memory, object, self.file.layout.map)?;
        if object & OBJECT == 0 || map & OBJECT == 0 {
            return None;
        }
        let kind: [u8; 2] = memory.array(at(map, self.file.layout.instance_type))?;
        Some(u32::from(u16::from_le_bytes(kind)))
    }

    fn field(&self, memory: &Reading, object: u64, offset: u32) -> Option<u64> {
        memory.array(at(object, offset)).map(u64::from_le_bytes)
    }
}

impl Interpreter for V8 {
    fn install(&self, pid: u32, table: &mut Interpreters) -> Result<()> {
        table.insert_v8(pid, &self.file.v8)
    }

    fn read(&self, memory: &Reading, code: u64) -> Option<Code> {
        let [named, script] = self.function(memory, code)?;
        let layout = &self.file.layout;
        let scope = match self.type_of(memory, named) {
            Some(kind) if kind == layout.scope_type => self.scope(memory, named)?,
            Some(kind) if kind < layout.first_no_string => {
                Scope { name: self.text(memory, named)?, start: None }
            }
            _ => Scope::default(),
        };
        let (file, line) = match self.script(memory, script, scope.start) {
            Some((file, line)) => (Some(file.into()), line),
            None => (None, 0),
        };
        Some(Code {
            // A builtin that has no name for scripts has one as a symbol.
            is_glue: file.is_none() && scope.name.is_empty(),
            function: if scope.name.is_empty() { NAMELESS.into() } else { scope.name.into() },
            file,
            first_line: line,
            lines: Vec::new(),
            fingerprint: [named, script, 0, 0],
        })
    }

    fn fingerprint(&self, memory: &Reading, code: u64) -> Option<[u64; 4]> {
        let [named, script] = self.function(memory, code)?;
        Some([named, script, 0, 0])
    }

    fn line(&self, code: &Code, _unit: u16) -> u32 {
        code.first_line
    }

    fn place(&self, word: u64) -> Place {
        Place::Of((word >> UNIT_SHIFT) as u16)
    }

    fn inlined(&self, memory: &Reading, address: u64) -> Vec<u64> {
        let Some(layout) = &self.file.code else { return Vec::new() };
        self.remembered().compiled.inlined(self, layout, memory, address).unwrap_or_default()
    }

    fn kind(&self) -> FrameKind {
        FrameKind::V8
    }
}

/// Where in an object an offset is.
fn at(object: u64, offset: u32) -> u64 {
    (object & CODE).wrapping_add(u64::from(offset))
}

fn small(word: u64) -> Option<u32> {
    (word as u32 == 0).then_some((word >> SMALL_SHIFT) as u32)
}

/// A module may be its own name (`data:`), and an address may hold what is nobody's business: who asks, and for what.
fn presentable(path: String) -> String {
    if path.starts_with("data:") {
        return "data:".to_owned();
    }
    let Some((scheme, rest)) = path.split_once("://").filter(|(scheme, _)| *scheme != "file") else {
        return path;
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, file) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    [scheme, "://", host, file].concat()
}
