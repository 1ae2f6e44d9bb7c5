//! CPython: where a thread's frames are, and what a code object says of itself.
//!
//! Up to 3.12 the structures are those of the version's headers; from 3.13 on the interpreter carries their offsets
//! (`_Py_DebugOffsets`, at the beginning of `_PyRuntime`).

use std::path::Path;

use honeyguide_common::interpreter::{
    DIRECT, ENTRY_EVERY, ENTRY_FLAG, ENTRY_OWNER, INSTRUCTION_ADDRESS, INSTRUCTION_BYTES, INSTRUCTION_UNITS,
    Python,
};

use super::python::{FIRST_BLOCK, thread_key};
use crate::load::uprobe::Image;

/// An interpreter's file, at the addresses that are written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonFile {
    pub python: Python,
    /// Major and minor, a byte each: 0x030b.
    pub version: u16,
    pub code: CodeLayout,
}

/// Offsets in a `PyCodeObject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeLayout {
    pub file: u32,
    /// `co_qualname`, or `co_name` where there is none.
    pub name: u32,
    pub first_line: u32,
    /// `co_lnotab`, `co_linetable`
    pub lines: u32,
    /// Sizes of a `PyASCIIObject`, and of a `PyCompactUnicodeObject`.
    pub ascii: u32,
    pub compact: u32,
}

/// How to find the frames of an interpreter, if this is one that is known.
#[must_use]
pub fn examine_frames(path: &Path) -> Option<PythonFile> {
    let image = Image::open(path).ok()?;
    let names = [
        "_PyRuntime",
        "PyCode_Type",
        "PyGILState_GetThisThreadState",
        "Py_Version",
        "PyIter_Send",
        "PyObject_CallNoArgs",
    ];
    let [Some(runtime), Some(code_type), Some(state), version, since_3_10, since_3_9] =
        image.symbols(&names)[..]
    else {
        return None;
    };
    let version = match version {
        Some(symbol) => (u32_at(&bytes(&image, ".rodata", symbol.address, 4)?, 0)? >> 16) as u16,
        None if since_3_10.is_some() => 0x030a,
        None => since_3_9.map(|_| 0x0309)?,
    };
    let (python, code) = match version {
        0x0309..=0x030c => fixed(version)?,
        _ => told(&bytes(&image, ".PyRuntime", runtime.address, OFFSETS)?, version)?,
    };
    let key = thread_key(&image, state, runtime)?;
    let python = Python { key, code_type: code_type.address, block: FIRST_BLOCK, ..python };
    Some(PythonFile { python, version, code })
}

/// `PyThreadState.frame` and `PyFrameObject` (3.9, 3.10), `PyThreadState.cframe`, `_PyCFrame.current_frame` and
/// `_PyInterpreterFrame` (3.11, 3.12), of Include/cpython and Include/internal on x86_64.
fn fixed(version: u16) -> Option<(Python, CodeLayout)> {
    let code = CodeLayout { file: 104, name: 112, first_line: 40, lines: 120, ascii: 48, compact: 72 };
    let before = Python {
        state: 24,
        through: DIRECT,
        code: 32,
        previous: 24,
        instruction: 104,
        instructions: INSTRUCTION_BYTES,
        entry: ENTRY_EVERY,
        ..Python::default()
    };
    let since = Python {
        state: 56,
        through: 8,
        code: 32,
        previous: 48,
        instruction: 56,
        owner: 68,
        instructions: INSTRUCTION_ADDRESS,
        entry: ENTRY_FLAG,
        first: 184,
        ..Python::default()
    };
    let code_since = CodeLayout { file: 112, name: 128, first_line: 72, lines: 136, ascii: 48, compact: 72 };
    match version {
        0x0309 => Some((before, code)),
        0x030a => Some((Python { instruction: 96, instructions: INSTRUCTION_UNITS, ..before }, code)),
        0x030b => Some((since, code_since)),
        0x030c => {
            let python = Python {
                through: 0,
                code: 0,
                previous: 8,
                owner: 70,
                entry: ENTRY_OWNER,
                first: 192,
                ..since
            };
            Some((python, CodeLayout { first_line: 68, ascii: 40, compact: 56, ..code_since }))
        }
        _ => None,
    }
}

/// Bytes of `_Py_DebugOffsets` that are looked at.
const OFFSETS: u64 = 1_024;

/// `_Py_DebugOffsets`: groups of words, each beginning with its structure's size (Include/internal/pycore_runtime.h).
/// Versions add words to groups, so that a group is known by what does not change: a `PyThreadState` begins with
/// `prev`, `next` and `interp`, an object's type is its second word.
fn told(bytes: &[u8], version: u16) -> Option<(Python, CodeLayout)> {
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect();
    let is_free_threaded = *words.get(2)? != 0;
    if !bytes.starts_with(b"xdebugpy") || (words[1] >> 16) as u16 != version || is_free_threaded {
        return None;
    }
    // Of `_PyInterpreterFrame` and `PyCodeObject`.
    let (frame_words, code_words) = match version {
        0x030d => (6, 10),
        0x030e => (8, 11),
        _ => return None,
    };
    let threads = words.windows(4).position(|group| group[1..] == [0, 8, 16])?;
    let frame = words.get(threads + THREAD_WORDS..)?;
    let code = frame.get(frame_words..)?;
    let object = code.get(code_words..)?;
    if object.get(..2)? != [16, 8] {
        return None;
    }
    let offset = |word: u64| u32::try_from(word).ok().filter(|offset| *offset < 4_096);
    let python = Python {
        state: offset(words[threads + 4])?,
        through: DIRECT,
        previous: offset(frame[1])?,
        code: offset(frame[2])?,
        instruction: offset(frame[3])?,
        owner: offset(frame[5])?,
        instructions: INSTRUCTION_ADDRESS,
        entry: ENTRY_OWNER,
        first: offset(code[9])?,
        ..Python::default()
    };
    let code = CodeLayout {
        file: offset(code[1])?,
        name: offset(code[3])?,
        lines: offset(code[4])?,
        first_line: offset(code[5])?,
        ascii: 40,
        compact: 56,
    };
    Some((python, code))
}

const THREAD_WORDS: usize = 9;

/// What a section holds at an address.
fn bytes(image: &Image, section: &str, address: u64, length: u64) -> Option<Vec<u8>> {
    let (place, offset) = image.section(section)?;
    let inside = address.checked_sub(place.address).filter(|inside| *inside < place.size)?;
    image.read(offset + inside, length.min(place.size - inside))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3.13's own, as far as they are read; `frame` and `code` words are appended for later versions.
    fn offsets(version: u16, more_of_frame: &[u64], more_of_code: &[u64]) -> Vec<u8> {
        let mut words = vec![u64::from_le_bytes(*b"xdebugpy"), u64::from(version) << 16, 0, 100, 1, 2];
        words.extend([5_000, 7, 9, 13, 0, 8, 20, 30, 40, 50, 60, 70, 80]);
        words.extend([312, 0, 8, 16, 72, 152, 160, 240, 24]);
        words.extend([88, 8, 0, 56, 72, 70]);
        words.extend(more_of_frame);
        words.extend([208, 112, 120, 128, 136, 68, 52, 96, 104, 200]);
        words.extend(more_of_code);
        words.extend([16, 8, 416, 24]);
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn the_interpreter_tells_its_offsets() {
        for (version, frame, code) in [(0x030d, &[][..], &[][..]), (0x030e, &[64, 68][..], &[160][..])] {
            let (python, code) = told(&offsets(version, frame, code), version).unwrap();
            assert_eq!((python.state, python.through, python.code, python.previous), (72, DIRECT, 0, 8));
            assert_eq!((python.instruction, python.owner, python.first), (56, 70, 200));
            assert_eq!((code.file, code.name, code.lines, code.first_line), (112, 128, 136, 68));
        }
        // Free-threaded, of another version, and with groups that are not where they should be.
        let mut free = offsets(0x030d, &[], &[]);
        free[16] = 1;
        assert_eq!(told(&free, 0x030d), None);
        assert_eq!(told(&offsets(0x030d, &[], &[]), 0x030e), None);
        assert_eq!(told(&offsets(0x030e, &[], &[]), 0x030e), None);
    }

    #[test]
    fn every_prefix_of_the_offsets_is_read() {
        let whole = offsets(0x030d, &[], &[]);
        for end in 0..whole.len() - 16 {
            assert_eq!(told(&whole[..end], 0x030d), None, "{end}");
        }
    }

    #[test]
    fn every_interpreter_at_hand_is_known() {
        for path in super::super::python::tests::interpreters() {
            let version = (9..=14).find(|minor| path.to_string_lossy().contains(&format!("python3.{minor}")));
            let found = examine_frames(&path).map(|found| {
                let Python { first, state, .. } = found.python;
                (u32::from(found.version & 0xff), first, state)
            });
            let expected = version.map(|minor| match minor {
                9 | 10 => (minor, 0, 24),
                11 => (minor, 184, 56),
                12 => (minor, 192, 56),
                14 => (minor, 208, 72),
                _ => (minor, 200, 72),
            });
            assert_eq!(found, expected, "{}", path.display());
        }
        assert_eq!(examine_frames(&std::env::current_exe().unwrap()), None);
    }
}
