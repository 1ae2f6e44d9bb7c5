//! CPython's code objects.

use anyhow::Result;
use honeyguide_common::interpreter::{ENTRY, Python, UNIT_UNKNOWN};

use super::{Code, FrameKind, Interpreter, Interpreters, Place, PythonFile, Reading, lines};

/// Bytes of a code object in which everything lies that is read of it.
const OBJECT: usize = 160;
/// `PyVarObject.ob_size`, `PyBytesObject.ob_sval`
const SIZE: usize = 16;
const BYTES: u64 = 32;
/// `PyASCIIObject.length`, and `state`: `interned:2, kind:3, compact:1, ascii:1`.
const LENGTH: usize = 16;
const STATE: usize = 32;
const COMPACT: u32 = 1 << 5;
const ASCII: u32 = 1 << 6;
/// The most characters of a name or a path, and bytes of a table of lines.
const MAX_TEXT: u64 = 4_096;
const MAX_LINES: u64 = 256 << 10;

/// An interpreter in a process.
#[derive(Debug)]
pub(super) struct CPython {
    file: PythonFile,
    /// What to add to the file's addresses.
    bias: u64,
}

impl CPython {
    pub(super) fn new(file: PythonFile, bias: u64) -> Self {
        Self { file, bias }
    }

    /// A string object's text.
    fn text(&self, memory: &Reading, object: u64) -> Option<String> {
        let head: [u8; 40] = memory.array(object)?;
        let length = u64_at(&head, LENGTH)?.min(MAX_TEXT) as usize;
        let state = u32_at(&head, STATE)?;
        if state & COMPACT == 0 {
            return None;
        }
        let layout = &self.file.code;
        let start = if state & ASCII != 0 { layout.ascii } else { layout.compact };
        let width = match state >> 2 & 7 {
            width @ (1 | 2 | 4) => width as usize,
            _ => return None,
        };
        let bytes = memory.bytes(object.wrapping_add(u64::from(start)), length * width)?;
        let characters = bytes.chunks_exact(width).map(|bytes| {
            let mut whole = [0; 4];
            whole[..width].copy_from_slice(bytes);
            char::from_u32(u32::from_le_bytes(whole)).unwrap_or(char::REPLACEMENT_CHARACTER)
        });
        Some(characters.collect())
    }

    fn fields(&self, memory: &Reading, code: u64) -> Option<[u64; 4]> {
        let object: [u8; OBJECT] = memory.array(code)?;
        let layout = &self.file.code;
        if u64_at(&object, 8)? != self.file.python.code_type.wrapping_add(self.bias) {
            return None;
        }
        let word = |offset: u32| u64_at(&object, offset as usize);
        let first_line = u32_at(&object, layout.first_line as usize)?;
        Some([word(layout.file)?, word(layout.name)?, word(layout.lines)?, u64::from(first_line)])
    }
}

impl Interpreter for CPython {
    fn install(&self, pid: u32, table: &mut Interpreters) -> Result<()> {
        let python = &self.file.python;
        let (key, code_type) = (python.key.wrapping_add(self.bias), python.code_type.wrapping_add(self.bias));
        table.insert_python(pid, &Python { key, code_type, ..*python })
    }

    fn read(&self, memory: &Reading, code: u64) -> Option<Code> {
        let fingerprint = self.fields(memory, code)?;
        let [file, name, table, first_line] = fingerprint;
        let size: [u8; 8] = memory.array(table.wrapping_add(SIZE as u64))?;
        let size = u64::from_le_bytes(size).min(MAX_LINES) as usize;
        Some(Code {
            // `_Py_InitCleanup` (Python/specialize.c, 3.12 and later) has one string for its name and its file.
            is_glue: file == name,
            function: self.text(memory, name)?.into(),
            file: Some(self.text(memory, file)?.into()),
            first_line: first_line as u32,
            lines: memory.bytes(table.wrapping_add(BYTES), size)?,
            fingerprint,
        })
    }

    fn fingerprint(&self, memory: &Reading, code: u64) -> Option<[u64; 4]> {
        self.fields(memory, code)
    }

    fn line(&self, code: &Code, unit: u16) -> u32 {
        if u64::from(unit) == UNIT_UNKNOWN {
            return code.first_line;
        }
        match lines::line(self.file.version, &code.lines, code.first_line, unit) {
            // What begins and ends a function may have none.
            0 => code.first_line,
            line => line,
        }
    }

    fn place(&self, word: u64) -> Place {
        if word & ENTRY != 0 { Place::Last } else { Place::Within }
    }

    fn kind(&self) -> FrameKind {
        FrameKind::CPython
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
