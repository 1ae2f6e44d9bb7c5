//! Every system call that moves bytes through a stream socket, by name.
#![allow(unsafe_code)] // The calls themselves are the subject, and std offers two of them.

use std::{
    fs::File,
    io::{self, Seek, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use libc::{c_void, iovec, mmsghdr, msghdr};

/// The ways to receive.
pub(crate) const RECEIVE: [&str; 8] =
    ["read", "recv", "recvfrom", "readv", "recvmsg", "recvmsg-iovecs", "recvmmsg", "peek"];

/// The ways to send.
pub(crate) const SEND: [&str; 8] =
    ["write", "send", "sendto", "writev", "sendmsg", "sendmmsg", "sendfile", "splice"];

const ROOM: usize = 16_384;

/// Appends what one call receives to `bytes` and returns its length.
pub(crate) fn receive(socket: RawFd, how: &str, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = vec![0_u8; ROOM];
    let base = buffer.as_mut_ptr().cast::<c_void>();
    // Uneven on purpose: a request line is cut inside its method and inside its path.
    let mut uneven = split(&mut buffer, &[2, 11]);
    let mut whole = iovec { iov_base: base, iov_len: ROOM };
    // SAFETY: every pointer is into `buffer`, `uneven` or `whole`, which outlive the calls, with their true lengths.
    let result = unsafe {
        match how {
            "read" => libc::read(socket, base, ROOM),
            "recv" => libc::recv(socket, base, ROOM, 0),
            "recvfrom" => libc::recvfrom(socket, base, ROOM, 0, ptr::null_mut(), ptr::null_mut()),
            "readv" => libc::readv(socket, uneven.as_ptr(), 3),
            "recvmsg" => libc::recvmsg(socket, &mut message(std::slice::from_mut(&mut whole)), 0),
            "recvmsg-iovecs" => libc::recvmsg(socket, &mut message(&mut uneven), 0),
            "recvmmsg" => {
                let mut one = mmsghdr { msg_hdr: message(&mut uneven), msg_len: 0 };
                match libc::recvmmsg(socket, &mut one, 1, libc::MSG_WAITFORONE, ptr::null_mut()) {
                    -1 => -1,
                    _ => isize::try_from(one.msg_len).unwrap_or(-1),
                }
            }
            "peek" => {
                libc::recv(socket, base, ROOM, libc::MSG_PEEK);
                libc::recv(socket, base, ROOM, 0)
            }
            other => return Err(io::Error::other(format!("no way to receive is called {other}"))),
        }
    };
    let length = checked(result)?;
    bytes.extend_from_slice(&buffer[..length]);
    Ok(length)
}

/// Sends `head` and `body` with as few calls as `how` allows.
pub(crate) fn send(socket: RawFd, how: &str, head: &[u8], body: &[u8]) -> io::Result<()> {
    let mut joined = [head, body].concat();
    let (base, total) = (joined.as_mut_ptr().cast::<c_void>(), joined.len());
    let mut pieces = split(&mut joined, &[7, head.len() - 7]);
    // SAFETY: every pointer is into `joined`, `pieces` or `pair`, which outlive the calls, with their true lengths.
    let sent = unsafe {
        match how {
            "write" => checked(libc::write(socket, base, total))?,
            "send" => checked(libc::send(socket, base, total, libc::MSG_NOSIGNAL))?,
            "sendto" => checked(libc::sendto(socket, base, total, libc::MSG_NOSIGNAL, ptr::null(), 0))?,
            "writev" => checked(libc::writev(socket, pieces.as_ptr(), 3))?,
            "sendmsg" => checked(libc::sendmsg(socket, &message(&mut pieces), libc::MSG_NOSIGNAL))?,
            "sendmmsg" => {
                let (first, second) = pieces.split_at_mut(2);
                let mut pair = [first, second].map(|part| mmsghdr { msg_hdr: message(part), msg_len: 0 });
                checked(libc::sendmmsg(socket, pair.as_mut_ptr(), 2, libc::MSG_NOSIGNAL) as isize)?;
                pair.iter().map(|message| message.msg_len as usize).sum()
            }
            "sendfile" | "splice" => {
                let head = checked(libc::write(socket, base, head.len()))?;
                head + if how == "sendfile" { send_file(socket, body)? } else { splice(socket, body)? }
            }
            other => return Err(io::Error::other(format!("no way to send is called {other}"))),
        }
    };
    // The buffers of these sockets are far larger than these answers.
    if sent == total { Ok(()) } else { Err(io::Error::other(format!("{how} sent {sent} of {total}"))) }
}

fn send_file(socket: RawFd, body: &[u8]) -> io::Result<usize> {
    // SAFETY: the name is a C string; a returned descriptor is owned by no one else.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"body".as_ptr(), 0);
        checked(fd as isize)?;
        File::from_raw_fd(fd)
    };
    file.write_all(body)?;
    file.rewind()?;
    // SAFETY: both descriptors are open; a null offset means the file's own.
    checked(unsafe { libc::sendfile(socket, file.as_raw_fd(), ptr::null_mut(), body.len()) })
}

fn splice(socket: RawFd, body: &[u8]) -> io::Result<usize> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors, which are owned by no one else.
    let (reader, writer) = unsafe {
        checked(libc::pipe(ends.as_mut_ptr()) as isize)?;
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    };
    File::from(writer).write_all(body)?;
    // SAFETY: both descriptors are open; null offsets are required for a pipe and a socket.
    checked(unsafe {
        libc::splice(reader.as_raw_fd(), ptr::null_mut(), socket, ptr::null_mut(), body.len(), 0)
    })
}

/// `buffer` as three pieces, the first two of the given lengths.
fn split(buffer: &mut [u8], lengths: &[usize; 2]) -> [iovec; 3] {
    let (first, rest) = buffer.split_at_mut(lengths[0]);
    let (second, third) = rest.split_at_mut(lengths[1]);
    [first, second, third].map(|part| iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() })
}

fn message(pieces: &mut [iovec]) -> msghdr {
    // SAFETY: an all-zero msghdr is one without name, control data and flags.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len() as _;
    message
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
