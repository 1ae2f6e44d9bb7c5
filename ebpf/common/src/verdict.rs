//! What the agent has decided about a connection, and how a process is selected.

/// Not decided: the kernel asks again at the next operation.
pub const UNDECIDED: u8 = 0;
/// Keep recording; the kernel stops asking.
pub const KEEP: u8 = 1;
/// Nothing of interest: no more records.
pub const IGNORE: u8 = 2;
/// Keep recording, with a budget for each operation and not for each burst: messages of several exchanges follow
/// one another in both directions, and what stands between them has to be seen.
pub const WHOLE: u8 = 3;
/// Keep recording by the frame: this is HTTP/2.
pub const FRAMES: u8 = 4;

/// What stands for the inside of TLS on a socket, where the socket's own verdict is of the ciphertext.
#[must_use]
pub const fn plaintext(socket: u64) -> u64 {
    !socket
}

/// The value of a selected process in the `SELECTED` map.
pub const SELECTED: u8 = 1;

/// The most processes, processes of Go, ports and pending verdicts the kernel's tables hold.
pub const MAX_SELECTED: usize = 65_536;
pub const MAX_GO: usize = 8_192;
pub const MAX_PORTS: usize = 4_096;
pub const MAX_VERDICTS: usize = 16_384;
