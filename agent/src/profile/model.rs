//! A sample as it comes from the kernel, with its addresses put into the files they belong to. Names come later.

use std::{fs::File, io, ops::RangeInclusive, sync::Arc};

use honeyguide_common::{interpreter::Walked, sample::Outcome};

use super::named::Location;
use crate::decode::Comm;

/// What takes samples, on the thread that drains them: it should be quick.
pub trait Consumer {
    fn sample(&mut self, sample: Sample);

    /// The process has ended or become another program: its addresses mean nothing any more.
    fn forget(&mut self, pid: u32) {
        let _ = pid;
    }
}

/// Where one thread was at one moment, or while it was blocked. Stacks are innermost first.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Nanoseconds of CLOCK_MONOTONIC; of time off the CPU its end.
    pub time: u64,
    pub measure: Measure,
    /// What the sample stands for, in nanoseconds: the sampling period, or the time that was blocked.
    pub weight: u64,
    pub pid: u32,
    pub tid: u32,
    pub cpu: u32,
    /// The thread's own name.
    pub comm: Comm,
    /// The runtime's own name for what ran, as in `Actor::context`; 0 where there is none.
    pub context: u64,
    /// Tasks of this process go from thread to thread.
    pub moves: bool,
    /// Return addresses in the kernel; empty where it ran in user mode.
    pub kernel: Vec<u64>,
    pub user: Vec<Frame>,
    pub outcome: Outcome,
    /// Frames of interpreted code, which some of the user frames run.
    pub interpreted: Vec<Interpreted>,
    pub walked: Walked,
}

impl Sample {
    /// From when to when it was as it is told.
    #[must_use]
    pub fn times(&self) -> RangeInclusive<u64> {
        match self.measure {
            Measure::Cpu => self.time..=self.time,
            Measure::OffCpu => self.time.saturating_sub(self.weight)..=self.time,
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Time on a CPU, sampled.
    Cpu,
    /// Time off the CPU, blocked.
    OffCpu,
}

/// One frame of user code.
#[derive(Clone, Debug)]
pub struct Frame {
    /// In the process's memory.
    pub address: u64,
    /// `None` where no executable memory of the process is known there.
    pub mapping: Option<Arc<Mapping>>,
    /// True of the instruction that ran (the innermost frame, and one that a signal interrupted); else `address` is
    /// where a call returns to, and the call is before it.
    pub exact: bool,
}

/// One frame of interpreted code.
#[derive(Clone, Debug)]
pub struct Interpreted {
    /// `None`: nothing but the place.
    pub location: Option<Arc<Location>>,
    pub place: Place,
}

/// Where among the native frames one of interpreted code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The next one that the same native frame runs.
    Within,
    /// The last one that it runs.
    Last,
    /// It is this one of the user frames.
    Of(u16),
}

/// Executable memory of a process.
#[derive(Debug)]
pub struct Mapping {
    pub start: u64,
    pub end: u64,
    /// Of `start`, in the file.
    pub offset: u64,
    /// What to subtract from an address to have it as the file's own headers and symbols do.
    pub bias: u64,
    pub object: Arc<Object>,
}

/// What memory was mapped from, shared by the processes that map it.
#[derive(Debug)]
pub struct Object {
    /// Names it for as long as the agent runs.
    pub id: u64,
    pub kind: ObjectKind,
    /// As the process sees it, without ` (deleted)`; `[vdso]`, `[anon]`.
    pub path: Arc<str>,
    /// The `NT_GNU_BUILD_ID` note.
    pub build_id: Option<BuildId>,
    /// Open since it was first seen, so that it can be read when it was deleted or the process has gone.
    pub file: Option<File>,
    /// What is in no file: the vDSO's ELF image.
    pub image: Option<Arc<[u8]>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    File,
    /// The kernel's own page of code; the same in every 64-bit process.
    Vdso,
    /// Executable memory of no file: code that was made at run time.
    Anonymous,
}

/// 20 bytes as a rule; the linker allows others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuildId(pub Box<[u8]>);

impl Measure {
    /// OTLP's type and unit of a value.
    #[must_use]
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Cpu => ("cpu", "nanoseconds"),
            Self::OffCpu => ("off_cpu", "nanoseconds"),
        }
    }
}

impl Frame {
    /// The address to look up, in the file's own terms: of the call where it is a return address.
    #[must_use]
    pub fn file_address(&self) -> Option<u64> {
        let mapping = self.mapping.as_ref()?;
        Some(self.lookup_address().wrapping_sub(mapping.bias))
    }

    /// The same in the process's memory: for code that lies in no file.
    #[must_use]
    pub fn lookup_address(&self) -> u64 {
        self.address.wrapping_sub(u64::from(!self.exact))
    }

    /// It is of code that lies in no file, as far as is known.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.mapping.as_ref().is_none_or(|mapping| mapping.object.kind == ObjectKind::Anonymous)
    }

    /// The address as a position in the file.
    #[must_use]
    pub fn file_offset(&self) -> Option<u64> {
        let mapping = self.mapping.as_ref()?;
        Some(self.lookup_address().wrapping_sub(mapping.start).wrapping_add(mapping.offset))
    }
}

impl Object {
    /// The file once more, at its beginning.
    ///
    /// # Errors
    /// Where there is none, or no more descriptors are to be had.
    pub fn open(&self) -> io::Result<File> {
        match &self.file {
            // The copy shares its position with the original: read at positions.
            Some(file) => file.try_clone(),
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is no file", self.path))),
        }
    }
}

impl std::fmt::Display for BuildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Arc<Object> {
        let kind = ObjectKind::File;
        Arc::new(Object { id: 1, kind, path: "/bin/x".into(), build_id: None, file: None, image: None })
    }

    #[test]
    fn a_return_address_is_looked_up_at_its_call() {
        let mapping = Mapping {
            start: 0x5000_1000,
            end: 0x5000_2000,
            offset: 0x1000,
            bias: 0x4fff_f000,
            object: object(),
        };
        let mut frame = Frame { address: 0x5000_1234, mapping: Some(Arc::new(mapping)), exact: true };
        assert_eq!((frame.file_address(), frame.file_offset()), (Some(0x2234), Some(0x1234)));
        frame.exact = false;
        assert_eq!((frame.file_address(), frame.file_offset()), (Some(0x2233), Some(0x1233)));
        frame.mapping = None;
        assert_eq!((frame.file_address(), frame.lookup_address()), (None, 0x5000_1233));
        assert!(object().open().is_err());
    }

    #[test]
    fn build_ids_are_hexadecimal() {
        assert_eq!(BuildId([0x0a, 0xff].into()).to_string(), "0aff");
    }
}
