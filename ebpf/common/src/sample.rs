//! A stack sample on its way to the agent. Samples travel in a ring of their own.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::record::{COMM, Header};

/// `Header::kind` of the ring of samples.
pub const KIND_SAMPLE: u16 = 32;

/// `Header::flags`: time off the CPU, not on it.
pub const FLAG_OFF_CPU: u16 = 1;
/// The process was not known: frame pointers were followed, and the agent should look at it.
pub const FLAG_UNKNOWN_PROCESS: u16 = 1 << 1;

/// The most frames of a stack: the kernel's own limit (`sysctl_perf_event_max_stack`) and ours.
pub const MAX_KERNEL_FRAMES: usize = 127;
pub const MAX_USER_FRAMES: usize = 128;
/// Room for both and an interpreter's frames; a power of two, which a mask can bound.
pub const MAX_FRAMES: usize = 2_048;

/// In a user frame's word: the address is that of an instruction, not of the one after a call. User addresses leave
/// the upper bits free (at most 57 bits, Documentation/arch/x86/x86_64/mm.rst).
pub const FRAME_EXACT: u64 = 1 << 63;

/// One sample; the words of `kernel_frames` return addresses and of `user_frames` user frames follow, innermost first,
/// and then those of an interpreter's frames ([`crate::interpreter`]), as many as `Header::captured` has left.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Sample {
    pub header: Header,
    pub pid: u32,
    pub tid: u32,
    pub cpu: u32,
    /// One of [`Outcome`].
    pub outcome: u16,
    pub kernel_frames: u8,
    pub user_frames: u8,
    /// Nanoseconds that were blocked; 0 where the agent's sampling period counts.
    pub weight: u64,
    /// As `Data::context`.
    pub context: u64,
    /// Changes when the process becomes another program or maps other code.
    pub space: u64,
    /// As `Data::identity`.
    pub identity: u64,
    pub comm: [u8; COMM],
}

/// A thread that blocks, or has: what becomes of it when it goes on. Such a stack is shorter than others, because
/// there is one for each thread.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
pub struct Blocked {
    /// When it left its CPU; 0: it is not blocked.
    pub since: u64,
    /// When it was woken; 0: it has not been.
    pub woken: u64,
    pub sample: Sample,
    pub words: [u64; Self::ROOM],
}

impl Blocked {
    /// A power of two, which a mask can bound.
    pub const ROOM: usize = 256;
    /// The user's and an interpreter's frames.
    pub const MAX_FRAMES: usize = Self::ROOM - 1;
}

/// The most threads that are kept at once.
pub const MAX_BLOCKED: u32 = 8_192;

/// How far the walk over the user's stack came, and why it ended.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It reached the thread's first function.
    Complete = 0,
    /// A thread of the kernel's: there is no user stack.
    NoUser = 1,
    /// More frames than are taken.
    TooDeep = 2,
    /// The process was not known yet: by frame pointers as far as they went.
    UnknownProcess = 3,
    /// An address in no known executable memory.
    NoMapping = 4,
    /// Code without unwind information, whose frame pointers lead nowhere.
    NoTable = 5,
    /// An address that its file's unwind information leaves out.
    NoRow = 6,
    /// A rule that is not followed.
    Unsupported = 7,
    /// The stack's memory could not be read.
    Fault = 8,
    /// The next frame would not be above the last one.
    NoProgress = 9,
    /// A 32-bit program.
    Compat32 = 10,
    /// The unwinder did not run (a program is missing, or the kernel's limit of tail calls).
    NoUnwinder = 11,
    /// A table was being replaced.
    Inconsistent = 12,
}

impl Outcome {
    pub const ALL: [Self; 13] = [
        Self::Complete,
        Self::NoUser,
        Self::TooDeep,
        Self::UnknownProcess,
        Self::NoMapping,
        Self::NoTable,
        Self::NoRow,
        Self::Unsupported,
        Self::Fault,
        Self::NoProgress,
        Self::Compat32,
        Self::NoUnwinder,
        Self::Inconsistent,
    ];

    /// `None` where the number is no outcome.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// In words, for summaries and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::NoUser => "no_user_stack",
            Self::TooDeep => "too_deep",
            Self::UnknownProcess => "unknown_process",
            Self::NoMapping => "no_mapping",
            Self::NoTable => "no_table",
            Self::NoRow => "no_row",
            Self::Unsupported => "unsupported_rule",
            Self::Fault => "stack_fault",
            Self::NoProgress => "no_progress",
            Self::Compat32 => "compat32",
            Self::NoUnwinder => "no_unwinder",
            Self::Inconsistent => "inconsistent",
        }
    }

    /// Nothing of the stack is missing.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        matches!(self, Self::Complete | Self::NoUser)
    }
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Sample>() == 80 && align_of::<Sample>() == 8);
    assert!(offset_of!(Sample, weight) == 32 && offset_of!(Sample, comm) == 64);
    assert!(MAX_KERNEL_FRAMES + MAX_USER_FRAMES + crate::interpreter::MAX_INTERPRETED <= MAX_FRAMES);
    assert!(MAX_FRAMES.is_power_of_two());
    assert!(Blocked::ROOM.is_power_of_two());
    // Of a longer stack it is an interpreter's outermost frames that are left out.
    assert!(MAX_USER_FRAMES <= Blocked::MAX_FRAMES);
    assert!((MAX_KERNEL_FRAMES + 1).is_power_of_two() && MAX_KERNEL_FRAMES + Blocked::ROOM <= MAX_FRAMES);
    assert!(offset_of!(Blocked, words) == offset_of!(Blocked, sample) + size_of::<Sample>());
    let mut i = 0;
    while i < Outcome::ALL.len() {
        assert!(Outcome::ALL[i] as usize == i);
        i += 1;
    }
};
