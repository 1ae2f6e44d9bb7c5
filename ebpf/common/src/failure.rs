//! What can go wrong in the kernel, each with a counter of its own (a per-CPU array indexed by this).

/// One cause of a lost or incomplete record. Recordings hold the counters in this order: new ones come last.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The ring had no room for a data record: the flow sees a gap.
    RingFullData = 0,
    /// The ring had no room for a connection's description: tried again at its next operation.
    RingFullConnection = 1,
    /// The ring had no room for a state change of a connection.
    RingFullState = 2,
    /// The ring had no room for a process event: discovery falls back on its periodic scan.
    RingFullProcess = 3,
    /// User memory could not be read where it should have been (not resident, unmapped by now).
    UserFault = 4,
    /// No socket storage could be allocated: the operation was not recorded.
    NoStorage = 5,
    /// Bytes moved by sendfile or splice: counted, never seen.
    FileBytes = 6,
    /// An io_uring operation: bytes counted, never seen.
    Uring = 7,
    /// A 32-bit task's operation: bytes counted, never seen.
    Compat32 = 8,
    /// A system call this program does not know carried socket data.
    UnknownCall = 9,
    /// An operation of more vectors than are read: the rest is a gap.
    VectorTail = 10,
    /// A forked child could not be selected: the table of selected processes is full.
    SelectionFull = 11,
    /// The ring had no room for a thread's times: the span goes without them.
    RingFullTimes = 12,
    /// The ring had no room for a stack sample.
    RingFullSample = 13,
    /// The ring had no room for a task's beginning: calls by it and its kin stay without a parent.
    RingFullTask = 14,
    /// The ring had no room for the opening of a connection: its first call is seen as anybody's.
    RingFullOpen = 15,
    /// An HTTP/2 operation of more frames than are read, or in which they were not found: the rest is a gap.
    FramesCut = 16,
    /// A thread that blocks found no room in the table of those: its time off the CPU is not told.
    BlockedFull = 17,
    /// A thread went on without a word of the scheduler's, and nothing says when: what it had waited for is not told.
    WaitUnended = 18,
    /// The ring had no room for a wake-up: what the thread does next is nobody's in particular.
    RingFullWake = 19,
}

impl Failure {
    pub const ALL: [Self; 20] = [
        Self::RingFullData,
        Self::RingFullConnection,
        Self::RingFullState,
        Self::RingFullProcess,
        Self::UserFault,
        Self::NoStorage,
        Self::FileBytes,
        Self::Uring,
        Self::Compat32,
        Self::UnknownCall,
        Self::VectorTail,
        Self::SelectionFull,
        Self::RingFullTimes,
        Self::RingFullSample,
        Self::RingFullTask,
        Self::RingFullOpen,
        Self::FramesCut,
        Self::BlockedFull,
        Self::WaitUnended,
        Self::RingFullWake,
    ];

    /// The counter's name in the agent's own metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFullData => "ring_full_data",
            Self::RingFullConnection => "ring_full_connection",
            Self::RingFullState => "ring_full_state",
            Self::RingFullProcess => "ring_full_process",
            Self::UserFault => "user_fault",
            Self::NoStorage => "no_storage",
            Self::FileBytes => "file_bytes",
            Self::Uring => "io_uring",
            Self::Compat32 => "compat32",
            Self::UnknownCall => "unknown_call",
            Self::VectorTail => "vector_tail",
            Self::SelectionFull => "selection_full",
            Self::RingFullTimes => "ring_full_times",
            Self::RingFullSample => "ring_full_sample",
            Self::RingFullTask => "ring_full_task",
            Self::RingFullOpen => "ring_full_open",
            Self::FramesCut => "frames_cut",
            Self::BlockedFull => "blocked_full",
            Self::WaitUnended => "wait_unended",
            Self::RingFullWake => "ring_full_wake",
        }
    }

    /// Whether a record was lost (rather than made without its bytes).
    #[must_use]
    pub const fn loses_a_record(self) -> bool {
        match self {
            Self::RingFullData
            | Self::RingFullConnection
            | Self::RingFullState
            | Self::RingFullProcess
            | Self::RingFullTimes
            | Self::RingFullSample
            | Self::RingFullTask
            | Self::RingFullOpen
            | Self::BlockedFull
            | Self::WaitUnended
            | Self::RingFullWake
            | Self::NoStorage => true,
            Self::UserFault
            | Self::FileBytes
            | Self::Uring
            | Self::Compat32
            | Self::UnknownCall
            | Self::VectorTail
            | Self::SelectionFull
            | Self::FramesCut => false,
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Failure::ALL.len() {
        assert!(Failure::ALL[i] as usize == i);
        i += 1;
    }
};
