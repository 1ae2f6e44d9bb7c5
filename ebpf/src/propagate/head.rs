//! The head of an HTTP/1 message, line by line: whether it is a request's, where it ends, and the few fields that matter.
//!
//! Where the scan stands lies in a map: values read back from there are unknown to the verifier, so every round looks the
//! same to it.

use aya_ebpf::{
    cty::c_void,
    helpers::generated::{bpf_loop, bpf_probe_read_kernel, bpf_probe_read_user},
};

use honeyguide_common::propagation::VALUE;

/// `Scan::found`: it begins as a request does.
pub const REQUEST: u32 = 1;
/// The empty line was found.
pub const ENDED: u32 = 1 << 1;
/// There is a field whose name begins with `traceparent`.
pub const TRACEPARENT: u32 = 1 << 2;
/// There are several of those.
pub const SEVERAL: u32 = 1 << 3;
/// Where the message ends is not told by one Content-Length, or it goes on in another protocol.
pub const UNCLEAR: u32 = 1 << 4;

/// `Scan::lead`: there is one.
pub const LEAD: u32 = 1 << 8;

/// More than any head of 64 KiB takes: a step passes eight bytes, or a line's end.
const STEPS: u32 = 1 << 16;
/// The start of a line that is looked at.
const START: usize = 24;
/// The longest length of a body that is followed, in digits; and blanks before it.
const DIGITS: u32 = 9;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Scan {
    address: u64,
    end: u32,
    at: u32,
    /// 1: it lies in the user's memory.
    user: u32,
    lines: u32,
    pub found: u32,
    /// The head's length with the empty line, and the length of that.
    pub head: u32,
    pub ending: u32,
    /// Where the value of `traceparent` begins, and that of `Content-Length`; 0 where there is none.
    pub value: u32,
    length: u32,
    /// The body's length.
    pub body: u32,
    pub digits: u32,
    /// A byte that goes before the first, with [`LEAD`]; else 0.
    pub lead: u32,
}

/// Looks at `end` bytes from `address`.
#[inline(never)]
pub fn scan(scan: *mut Scan, address: u64, end: u32, user: u32) -> u32 {
    if scan.is_null() {
        return 0;
    }
    // SAFETY: a map value.
    unsafe {
        (*scan).address = address;
        (*scan).end = end;
        (*scan).at = 0;
        (*scan).user = user;
        (*scan).lines = 0;
        (*scan).found = 0;
        (*scan).value = 0;
        (*scan).length = 0;
        (*scan).body = 0;
        (*scan).digits = 0;
        let mut start = [0_u64; 1];
        if end < 16 || read(scan, 0, &mut start) < 8 {
            return 0;
        }
        let lead = (*scan).lead;
        let start = if lead == 0 { start[0] } else { start[0] << 8 | u64::from(lead as u8) };
        if !is_method(start) {
            return 0;
        }
        let mut state = scan;
        let callback = step as extern "C" fn(u64, *mut *mut Scan) -> u64;
        bpf_loop(STEPS, callback as *mut c_void, (&raw mut state).cast(), 0);
    }
    0
}

/// Reads the length of the body; false where it is not a plain number.
///
/// # Safety
/// `scan` must be valid.
#[inline(always)]
pub unsafe fn body(scan: *mut Scan) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if (*scan).length == 0 {
            return true;
        }
        (*scan).at = (*scan).length;
        let mut state = scan;
        let callback = digit as extern "C" fn(u64, *mut *mut Scan) -> u64;
        bpf_loop(DIGITS + 4, callback as *mut c_void, (&raw mut state).cast(), 0);
        (*scan).digits > 0 && (*scan).found & UNCLEAR == 0
    }
}

/// One digit, or blank, or the end; a line that has not ended by then is too long to be one.
extern "C" fn digit(index: u64, state: *mut *mut Scan) -> u64 {
    // SAFETY: as handed over by `body`; a map value.
    unsafe {
        let scan = *state;
        let mut byte = [0_u64; 1];
        if read(scan, (*scan).at, &mut byte) == 0 || index > u64::from(DIGITS) + 2 {
            (*scan).found |= UNCLEAR;
            return 1;
        }
        (*scan).at += 1;
        let byte = byte[0] as u8;
        if byte >= b'0' && byte <= b'9' {
            (*scan).body = (*scan).body.wrapping_mul(10).wrapping_add(u32::from(byte - b'0'));
            (*scan).digits += 1;
            if (*scan).digits > DIGITS {
                (*scan).found |= UNCLEAR;
                return 1;
            }
            return 0;
        }
        if byte == b'\r' || byte == b'\n' {
            return 1;
        }
        if byte != b' ' || (*scan).digits > 0 {
            (*scan).found |= UNCLEAR;
            return 1;
        }
    }
    0
}

/// Copies the value of `traceparent`, behind a blank; false where it is not all there, or more follows it.
///
/// # Safety
/// `scan` must be valid, and `to` have room for the value.
#[inline(always)]
pub unsafe fn copy(scan: *mut Scan, to: *mut u8) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let mut blank = [0_u64; 1];
        read(scan, (*scan).value, &mut blank);
        let at = (*scan).value + u32::from(blank[0] as u8 == b' ');
        let end = at + VALUE as u32;
        let mut after = [0_u64; 1];
        if read(scan, end, &mut after) == 0 || !matches!(after[0] as u8, b'\r' | b'\n') {
            return false;
        }
        let from = ((*scan).address + u64::from(at)) as *const c_void;
        bpf_probe_read_user(to.cast(), VALUE as u32, from) == 0
    }
}

/// Passes eight bytes, or goes to the line that begins within them.
extern "C" fn step(_index: u64, state: *mut *mut Scan) -> u64 {
    // SAFETY: as handed over by `scan`; a map value.
    unsafe {
        let scan = *state;
        let at = (*scan).at;
        let mut word = [0_u64; 1];
        let got = read(scan, at, &mut word);
        if got == 0 {
            return 1;
        }
        let ends = newlines(word[0]);
        if ends == 0 {
            (*scan).at = at + got;
            return 0;
        }
        let line = at + first(ends) + 1;
        (*scan).at = line;
        if (*scan).lines == 0 {
            if !is_request_line(scan, line) {
                return 1;
            }
            (*scan).found |= REQUEST;
        }
        (*scan).lines += 1;
        let mut start = [0_u64; START / 8];
        let got = read(scan, line, &mut start);
        let ending = if got >= 1 && start[0] as u8 == b'\n' {
            1
        } else if got >= 2 && start[0] as u16 == u16::from_le_bytes(*b"\r\n") {
            2
        } else {
            0
        };
        if ending != 0 {
            (*scan).found |= ENDED;
            (*scan).ending = ending;
            (*scan).head = line + ending;
            return 1;
        }
        field(scan, line, start);
    }
    0
}

/// A field that matters begins at `line`.
///
/// # Safety
/// `scan` must be valid.
#[inline(always)]
unsafe fn field(scan: *mut Scan, line: u32, start: [u64; START / 8]) {
    let [first, second, third] = start.map(|word| word | LOWER);
    // SAFETY: the caller's promise.
    unsafe {
        if first == word(b"tracepar") && second & 0xff_ffff == word(b"ent\0\0\0\0\0") {
            let again = (*scan).found & TRACEPARENT != 0 || (second >> 24) as u8 != b':';
            (*scan).found |= if again { TRACEPARENT | SEVERAL } else { TRACEPARENT };
            (*scan).value = line + 12;
        } else if first == word(b"content-") && second & 0xff_ffff_ffff_ffff == word(b"length:\0") {
            if (*scan).length != 0 {
                (*scan).found |= UNCLEAR;
            }
            (*scan).length = line + 15;
        } else if (first == word(b"transfer")
            && second == word(b"-encodin")
            && third & 0xffff == word(b"g:\0\0\0\0\0\0"))
            || first == word(b"upgrade:")
        {
            (*scan).found |= UNCLEAR;
        }
    }
}

/// The line before `line` ends as a request's does (RFC 9112, 3).
///
/// # Safety
/// `scan` must be valid.
#[inline(always)]
unsafe fn is_request_line(scan: *mut Scan, line: u32) -> bool {
    if line < 16 {
        return false;
    }
    let mut end = [0_u64; 1];
    let mut last = [0_u64; 1];
    // SAFETY: the caller's promise.
    unsafe {
        // ` HTTP/1.` and `1\r\n`
        read(scan, line - 11, &mut end);
        read(scan, line - 3, &mut last);
    }
    end[0] == word(b" HTTP/1.")
        && last[0] as u32 >> 8 & 0xffff == 0x0a0d
        && matches!(last[0] as u8, b'0' | b'1')
}

/// Methods after which a connection goes on as before; CONNECT is none.
#[inline(always)]
fn is_method(start: u64) -> bool {
    start as u32 == word(b"GET \0\0\0\0") as u32
        || start as u32 == word(b"PUT \0\0\0\0") as u32
        || start & 0xff_ffff_ffff == word(b"POST \0\0\0")
        || start & 0xff_ffff_ffff == word(b"HEAD \0\0\0")
        || start & 0xffff_ffff_ffff == word(b"PATCH \0\0")
        || start & 0xff_ffff_ffff_ffff == word(b"DELETE \0")
        || start == word(b"OPTIONS ")
}

/// Reads up to `N` words from `at` on, no further than the end; how many bytes.
///
/// # Safety
/// `scan` must be valid.
#[inline(always)]
unsafe fn read<const N: usize>(scan: *mut Scan, at: u32, to: &mut [u64; N]) -> u32 {
    // SAFETY: the caller's promise; the helpers check the address.
    unsafe {
        let end = (*scan).end;
        if at >= end {
            return 0;
        }
        let mut length = end - at;
        if length > (N * 8) as u32 {
            length = (N * 8) as u32;
        }
        let from = ((*scan).address + u64::from(at)) as *const c_void;
        let to = to.as_mut_ptr().cast::<c_void>();
        let failed = if (*scan).user != 0 {
            bpf_probe_read_user(to, length, from)
        } else {
            bpf_probe_read_kernel(to, length, from)
        };
        if failed == 0 { length } else { 0 }
    }
}

/// The upper bit of each byte that is a newline.
#[inline(always)]
fn newlines(word: u64) -> u64 {
    let differs = word ^ (ONES * 0x0a);
    differs.wrapping_sub(ONES) & !differs & (ONES << 7)
}

/// The number of the first byte whose upper bit is set.
#[inline(always)]
fn first(bits: u64) -> u32 {
    let lowest = (bits & bits.wrapping_neg()) >> 7;
    (lowest.wrapping_mul(0x0001_0203_0405_0607) >> 56) as u32
}

const ONES: u64 = 0x0101_0101_0101_0101;
/// Makes letters small, and leaves `-` and `:` alone.
const LOWER: u64 = ONES * 0x20;

#[inline(always)]
const fn word(text: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*text)
}
