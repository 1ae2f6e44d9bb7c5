//! What the agent tells each probe of a TLS function in its cookie (`bpf_get_attach_cookie`, Linux 5.15).

/// Functions of C libraries: what runs on a thread.
pub const CALL_READ: u64 = 1;
pub const CALL_WRITE: u64 = 2;
/// What was moved is where the fourth argument points.
pub const CALL_READ_EX: u64 = 3;
pub const CALL_WRITE_EX: u64 = 4;
/// Of a file: there is no buffer.
pub const CALL_SENDFILE: u64 = 5;
/// Of rustls.
pub const CALL_RUSTLS: u64 = 6;

/// Functions of Go's `crypto/tls`: what a goroutine runs.
pub const GO_READ: u64 = 1;
pub const GO_WRITE: u64 = 2;
pub const GO_HANDSHAKE: u64 = 3;

/// Where a call of a Go function ends: its results and arguments, as seen from the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoExit {
    /// `GO_READ` or `GO_WRITE`.
    pub call: u64,
    /// The probe is at the beginning of a function that was deferred, not at the return itself.
    pub deferred: bool,
    /// The arguments are kept where the caller has left room for them.
    pub keeps_arguments: bool,
    /// From the function's stack pointer to its return address.
    pub size: u16,
    /// From the function's stack pointer to its first result.
    pub result: u16,
}

impl GoExit {
    #[must_use]
    #[inline(always)]
    pub const fn cookie(self) -> u64 {
        self.size as u64
            | (self.result as u64) << 16
            | (self.deferred as u64) << 32
            | (self.keeps_arguments as u64) << 33
            | self.call << 40
    }

    #[must_use]
    #[inline(always)]
    pub const fn told(cookie: u64) -> Self {
        Self {
            call: cookie >> 40,
            deferred: cookie & 1 << 32 != 0,
            keeps_arguments: cookie & 1 << 33 != 0,
            size: cookie as u16,
            result: (cookie >> 16) as u16,
        }
    }
}

const _: () = {
    let exit = GoExit { call: GO_WRITE, deferred: true, keeps_arguments: false, size: 0xc8, result: 0x30 };
    let told = GoExit::told(exit.cookie());
    assert!(told.call == GO_WRITE && told.deferred && !told.keeps_arguments);
    assert!(told.size == 0xc8 && told.result == 0x30);
};
