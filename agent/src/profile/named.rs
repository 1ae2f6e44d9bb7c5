//! A profile with its names: what the flamegraph, pprof and OTLP are made of.

use std::sync::Arc;

pub use super::model::Measure;
use crate::{
    attribute::Attributes,
    resource::Resource,
    span::{SpanId, TraceId},
};

/// The samples of one process over one stretch of time.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Random; names the profile wherever it is stored.
    pub id: [u8; 16],
    pub resource: Arc<Resource>,
    pub measure: Measure,
    /// Nanoseconds since the Unix epoch.
    pub start: u64,
    /// Nanoseconds.
    pub duration: u64,
    /// Between two samples, in nanoseconds; 0 where nothing is sampled.
    pub period: u64,
    pub samples: Vec<Sample>,
}

/// Equal stacks of one thread for one request, added up.
#[derive(Clone, Debug)]
pub struct Sample {
    pub stack: Stack,
    /// In the order of time. Never empty.
    pub points: Vec<Point>,
    pub thread: u32,
    pub thread_name: Arc<str>,
    /// The span that the thread was working for, where that is certain.
    pub link: Option<(TraceId, SpanId)>,
    /// `http.route` and the like: what remains when the trace was not sampled.
    pub attributes: Attributes,
}

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Nanoseconds since the Unix epoch, within the profile's time.
    pub time: u64,
    /// Nanoseconds, by the profile's [`Measure`].
    pub value: u64,
}

/// Where a thread was, the innermost location first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stack {
    pub locations: Arc<[Arc<Location>]>,
    /// It reaches the thread's first function.
    pub complete: bool,
}

/// A place in code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    pub kind: FrameKind,
    /// The file it lies in; none for the kernel, and for code that lies in no file.
    pub mapping: Option<Arc<Mapping>>,
    /// In the file's own address space; of an interpreter's frame 0.
    pub address: u64,
    /// The function, and before it those that were inlined there, innermost first. Never empty.
    pub lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// Demangled; `file+0xoffset` where there is no name.
    pub function: Arc<str>,
    /// As the linker knows it, where that differs.
    pub system_name: Option<Arc<str>>,
    pub file: Option<Arc<str>>,
    /// 0 where it is not known.
    pub line: u32,
}

/// Executable memory of a file. Addresses are the file's own, so that every process has the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// The path as the process sees it, or `[vdso]`.
    pub path: Arc<str>,
    pub build_id: BuildId,
    pub start: u64,
    pub end: u64,
    /// Of `start`, in the file.
    pub offset: u64,
}

/// What names a file's contents, in lower-case hexadecimal (`process.executable.build_id.*`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BuildId {
    /// The `NT_GNU_BUILD_ID` note.
    Gnu(Arc<str>),
    /// A hash of the file's beginning, end and length, where there is no note.
    Htl(Arc<str>),
}

/// What runs a frame: `profile.frame.type` of the semantic conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameKind {
    Kernel,
    Native,
    Go,
    Rust,
    CPython,
    V8,
    Jvm,
    Ruby,
    Php,
    DotNet,
    /// Machine code that was made at run time, of no known language.
    Jit,
}

impl FrameKind {
    /// The attribute's value. Code made at run time has none of its own there: it is native.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Native | Self::Jit => "native",
            Self::Go => "go",
            Self::Rust => "rust",
            Self::CPython => "cpython",
            Self::V8 => "v8js",
            Self::Jvm => "jvm",
            Self::Ruby => "ruby",
            Self::Php => "php",
            Self::DotNet => "dotnet",
        }
    }
}

impl Sample {
    /// The sum of its points.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.points.iter().fold(0, |sum, point| sum.saturating_add(point.value))
    }
}

impl BuildId {
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Gnu(id) | Self::Htl(id) => id,
        }
    }
}

impl Stack {
    /// The functions from the outermost to the innermost, inlined ones where they belong.
    pub fn functions(&self) -> impl Iterator<Item = (&str, FrameKind, bool)> {
        self.locations.iter().rev().flat_map(|location| {
            let last = location.lines.len().saturating_sub(1);
            let lines = location.lines.iter().enumerate().rev();
            lines.map(move |(index, line)| (&*line.function, location.kind, index < last))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A native location of functions named in `text`, innermost first, separated by ` < `.
    pub(crate) fn location(text: &str, kind: FrameKind) -> Arc<Location> {
        let line =
            |function: &str| Line { function: function.into(), system_name: None, file: None, line: 0 };
        let lines = text.split(" < ").map(line).collect();
        Arc::new(Location { kind, mapping: None, address: 0, lines })
    }

    /// A complete stack, outermost first, separated by `;`.
    pub(crate) fn stack(text: &str) -> Stack {
        let locations: Vec<_> = text.split(';').rev().map(|part| location(part, FrameKind::Native)).collect();
        Stack { locations: locations.into(), complete: true }
    }

    #[test]
    fn functions_are_read_from_the_outside_with_inlined_ones_in_place() {
        let stack = stack("main;inner < outer;leaf");
        let functions: Vec<_> = stack.functions().map(|(name, _, inlined)| (name, inlined)).collect();
        assert_eq!(functions, [("main", false), ("outer", false), ("inner", true), ("leaf", false)]);
    }
}
