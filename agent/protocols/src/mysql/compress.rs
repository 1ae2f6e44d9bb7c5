//! The compressed protocol: packets are a stream inside of packets of its own.
//!
//! Each of those is a length of three bytes, a sequence number, the length of its content once inflated (0
//! where it is not compressed), and the content: a zlib stream (RFC 1950) or a Zstandard frame (RFC 8878) by
//! itself. So one that begins under our eyes is read, whatever came before it.

use flate2::{Decompress, FlushDecompress, Status};
use zstd::{
    stream::raw::{Decoder, InBuffer, Operation, OutBuffer},
    zstd_safe::DParameter,
};

use super::{frame::u24_le, parser::Input};
use crate::exchange::Party;

const HEADER: usize = 7;
/// What is inflated at once.
const PIECE: usize = 4096;
/// Zstandard's window, as a power of two, is no larger: half a MiB.
const WINDOW_LOG: u32 = 19;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Takes one direction's packets out.
#[derive(Debug)]
pub(super) struct Unpacker {
    place: Place,
    header: [u8; HEADER],
    held: usize,
    piece: Vec<u8>,
    /// The offset that what is handed out begins at: that of the packet it came in, and as many bytes more, but
    /// none beyond that packet's end.
    start: u64,
    end: u64,
    handed: u64,
    /// The packet began a socket operation.
    starts: bool,
}

#[derive(Debug)]
enum Place {
    Boundary,
    /// What is not compressed.
    Plain {
        left: u32,
    },
    /// `left` bytes, of which `due` are to come.
    Packed {
        left: u32,
        due: u64,
        inflated: u64,
        work: Work,
    },
    Lost,
}

/// What comes out, in order.
#[derive(Debug)]
pub(super) enum Unpacked<'a> {
    More,
    Bytes(&'a [u8]),
    /// As many bytes were not seen, or could not be inflated.
    Gap(u64),
    /// Where packets begin is not known any more.
    Lost,
    /// What should be a packet is none.
    Invalid,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Unpacker {
    /// At the beginning of a packet, or anywhere.
    pub(super) fn new(boundary: bool) -> Self {
        Self {
            place: if boundary { Place::Boundary } else { Place::Lost },
            header: [0; HEADER],
            held: 0,
            piece: Vec::new(),
            start: 0,
            end: 0,
            handed: 0,
            starts: false,
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.place, Place::Lost)
    }

    pub(super) fn buffered(&self) -> usize {
        let running = matches!(self.place, Place::Packed { work: Work::Running(_), .. });
        self.piece.capacity() + if running { Inflater::SIZE } else { 0 }
    }

    /// Where the bytes that were handed out last stand, and whether they begin an operation.
    pub(super) fn position(&self, length: u64) -> (u64, bool) {
        let before = self.handed - length;
        ((self.start + before).min(self.end.saturating_sub(1)), self.starts && before == 0)
    }

    /// Reads on. At most `limit` bytes of one packet are inflated.
    pub(super) fn step<'a, 'b: 'a>(
        &'a mut self,
        party: Party,
        input: &mut Input<'b>,
        limit: u64,
    ) -> Unpacked<'a> {
        loop {
            match &mut self.place {
                Place::Lost => {
                    input.offset = input.offset.saturating_add(std::mem::take(&mut input.gap));
                    if !(input.starts && could_be(party, input.bytes)) {
                        input.bytes = &[];
                        return Unpacked::More;
                    }
                    self.place = Place::Boundary;
                    self.held = 0;
                }
                Place::Boundary => {
                    if input.gap > 0 {
                        self.place = Place::Lost;
                        return Unpacked::Lost;
                    }
                    if self.held == 0 {
                        (self.start, self.handed, self.starts) = (input.offset, 0, input.starts);
                    }
                    let taken = (HEADER - self.held).min(input.bytes.len());
                    self.header[self.held..self.held + taken].copy_from_slice(&input.bytes[..taken]);
                    self.held += taken;
                    advance(input, taken);
                    if self.held < HEADER {
                        return Unpacked::More;
                    }
                    self.held = 0;
                    let [a, b, c, _sequence, d, e, f] = self.header;
                    let (left, due) = (u24_le([a, b, c]), u64::from(u24_le([d, e, f])));
                    self.end = self.start + (HEADER as u64) + u64::from(left);
                    self.place = match (left, due) {
                        (0, _) => {
                            self.place = Place::Lost;
                            return Unpacked::Invalid;
                        }
                        (1.., 0) => Place::Plain { left },
                        (1.., 1..) => Place::Packed { left, due, inflated: 0, work: Work::Fresh },
                    };
                }
                Place::Plain { left } => {
                    let whole = u64::from(*left);
                    let unseen = input.gap.min(whole);
                    let taken = if unseen > 0 { 0 } else { (*left as usize).min(input.bytes.len()) };
                    // Both are at most `left`.
                    *left -= unseen as u32 + taken as u32;
                    if *left == 0 {
                        self.place = Place::Boundary;
                    }
                    self.handed += unseen + taken as u64;
                    if unseen > 0 {
                        input.gap -= unseen;
                        input.offset = input.offset.saturating_add(unseen);
                        return Unpacked::Gap(unseen);
                    }
                    let bytes = &input.bytes[..taken];
                    advance(input, taken);
                    return if taken > 0 { Unpacked::Bytes(bytes) } else { Unpacked::More };
                }
                Place::Packed { .. } => match self.inflate(input, limit) {
                    Inflated::Piece => return Unpacked::Bytes(&self.piece),
                    Inflated::More if input.bytes.is_empty() && input.gap == 0 => return Unpacked::More,
                    Inflated::More => {}
                    Inflated::Rest(0) => self.place = Place::Boundary,
                    Inflated::Rest(rest) => {
                        self.place = Place::Boundary;
                        self.handed += rest;
                        return Unpacked::Gap(rest);
                    }
                },
            }
        }
    }

    fn inflate(&mut self, input: &mut Input<'_>, limit: u64) -> Inflated {
        let Place::Packed { left, due, inflated, work } = &mut self.place else { return Inflated::More };
        let unseen = input.gap.min(u64::from(*left));
        if unseen > 0 {
            // What follows cannot be inflated without it.
            *work = Work::Stopped;
            input.gap -= unseen;
            input.offset = input.offset.saturating_add(unseen);
            *left -= unseen as u32;
        }
        let present = if input.gap > 0 { 0 } else { (*left as usize).min(input.bytes.len()) };
        let bytes = &input.bytes[..present];
        if let (Work::Fresh, Some(&first)) = (&*work, bytes.first()) {
            *work = Inflater::new(first).map_or(Work::Stopped, Work::Running);
        }
        if let Work::Running(inflater) = work {
            let room = usize::try_from((*due).min(PIECE as u64)).unwrap_or(PIECE);
            self.piece.resize(room, 0);
            let (read, written) = inflater.read(bytes, &mut self.piece).unwrap_or((0, 0));
            advance(input, read);
            *left -= read as u32;
            *due -= written as u64;
            *inflated += written as u64;
            let stuck = read == 0 && written == 0 && present > 0;
            if stuck || *due == 0 || *inflated >= limit {
                // Broken, or enough: the rest is as long as the header says.
                *work = Work::Stopped;
            }
            if written > 0 {
                self.piece.truncate(written);
                self.handed += written as u64;
                return Inflated::Piece;
            }
        }
        if let Work::Stopped = work {
            let passed = (*left as usize).min(input.bytes.len());
            let passed = if input.gap > 0 { 0 } else { passed };
            advance(input, passed);
            *left -= passed as u32;
        }
        if *left == 0 { Inflated::Rest(*due) } else { Inflated::More }
    }
}

#[derive(Debug)]
enum Inflated {
    /// In `piece`.
    Piece,
    /// The packet is over, and so much of it was not inflated.
    Rest(u64),
    More,
}

#[derive(Debug)]
enum Work {
    Fresh,
    Running(Inflater),
    /// What is left is only counted.
    Stopped,
}

enum Inflater {
    Zlib(Decompress),
    Zstd(Decoder<'static>),
}

impl Inflater {
    /// About as much as one holds.
    const SIZE: usize = 1 << WINDOW_LOG;

    /// By the first byte of what is compressed.
    fn new(first: u8) -> Option<Self> {
        if first == ZSTD_MAGIC[0] {
            let mut decoder = Decoder::new().ok()?;
            decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).ok()?;
            return Some(Self::Zstd(decoder));
        }
        (first & 0x0f == 8).then(|| Self::Zlib(Decompress::new(true)))
    }

    /// Bytes that were read, and written to `out`. `None` where the content makes no sense.
    fn read(&mut self, bytes: &[u8], out: &mut [u8]) -> Option<(usize, usize)> {
        match self {
            Self::Zlib(inflater) => {
                let before = (inflater.total_in(), inflater.total_out());
                let status = inflater.decompress(bytes, out, FlushDecompress::None).ok()?;
                let read = usize::try_from(inflater.total_in() - before.0).ok()?;
                let written = usize::try_from(inflater.total_out() - before.1).ok()?;
                match status {
                    Status::Ok | Status::BufError | Status::StreamEnd => Some((read, written)),
                }
            }
            Self::Zstd(decoder) => {
                let (mut from, mut to) = (InBuffer::around(bytes), OutBuffer::around(out));
                decoder.run(&mut from, &mut to).ok()?;
                Some((from.pos(), to.pos()))
            }
        }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Zlib(_) => "Zlib",
            Self::Zstd(_) => "Zstd",
        })
    }
}

/// Whether bytes at the start of an operation can be a compressed packet: weaker than what tells the protocol.
pub(super) fn could_be(party: Party, bytes: &[u8]) -> bool {
    let Some((&[a, b, c, sequence, d, e, f], content)) = bytes.split_first_chunk::<HEADER>() else {
        return false;
    };
    let (length, inflated) = (u24_le([a, b, c]), u24_le([d, e, f]));
    if length == 0 || party == Party::Client && sequence != 0 {
        return false;
    }
    if inflated == 0 {
        // The packet inside of it is about as long.
        let inner = content.first_chunk::<4>().map(|&[a, b, c, _]| u24_le([a, b, c]));
        return inner.is_some_and(|inner| inner < length);
    }
    is_compressed(content)
}

/// The beginning of what a client's compressed packet holds, at most `PEEK` bytes.
pub(super) fn peek(bytes: &[u8]) -> Option<Vec<u8>> {
    let (&[a, b, c, sequence, d, e, f], content) = bytes.split_first_chunk::<HEADER>()?;
    let (length, inflated) = (u24_le([a, b, c]) as usize, u24_le([d, e, f]) as usize);
    if sequence != 0 || length == 0 {
        return None;
    }
    let content = &content[..content.len().min(length)];
    if inflated == 0 {
        return Some(content[..content.len().min(PEEK)].to_vec());
    }
    if !is_compressed(content) {
        return None;
    }
    let mut out = vec![0; PEEK.min(inflated)];
    let mut written = 0;
    let mut read = 0;
    let mut inflater = Inflater::new(content[0])?;
    while written < out.len() {
        let (taken, more) = inflater.read(&content[read..], &mut out[written..])?;
        if taken == 0 && more == 0 {
            break;
        }
        read += taken;
        written += more;
    }
    out.truncate(written);
    Some(out)
}

const PEEK: usize = 128;

/// The header of a zlib stream, or the mark of a Zstandard frame.
fn is_compressed(content: &[u8]) -> bool {
    match *content {
        [0x78, second, ..] => (0x7800 | u16::from(second)) % 31 == 0 && second & 0x20 == 0,
        _ => content.starts_with(&ZSTD_MAGIC),
    }
}

fn advance(input: &mut Input<'_>, length: usize) {
    if length > 0 {
        input.bytes = &input.bytes[length..];
        input.offset = input.offset.saturating_add(length as u64);
        input.starts = false;
    }
}
