//! HTTP/2 with as many streams in a single write as it is told, each frame and each payload a vector of its own.

use std::{
    io::{IoSlice, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use anyhow::{Result, bail, ensure};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Longer than a frame's start that is captured, so that the next header is found by the length alone.
const BODY: [u8; 5000] = [b'b'; 5000];

/// Answers every request with 200 and 5000 bytes, all that have come so far in one write.
pub(crate) fn serve(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> Result<()> {
    let mut frames = Frames::default();
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    ensure!(preface == PREFACE, "no preface");
    stream.write_all(SETTINGS)?;
    loop {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for (kind, stream) in frames.read(&mut stream)? {
            if kind == 1 {
                // `:status: 200` is the static table's.
                parts.push(header(1, 1, 0x4, stream));
                parts.push(vec![0x88]);
                parts.push(header(BODY.len(), 0, 0x1, stream));
                parts.push(BODY.to_vec());
            }
        }
        write_all(&mut stream, &parts)?;
    }
}

/// Asks for `/0` to `/COUNT-1` in one write, and reads the answers.
pub(crate) fn get(address: &str, count: u32) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&[PREFACE, SETTINGS].concat())?;
    let mut parts = Vec::new();
    for number in 0..count {
        let path = format!("/{number}");
        // GET, http, and the path as a literal that is not indexed (RFC 7541, appendix A).
        let block = [&[0x82, 0x86, 0x04, u8::try_from(path.len())?], path.as_bytes()].concat();
        parts.push(header(block.len(), 1, 0x5, 2 * number + 1));
        parts.push(block);
    }
    write_all(&mut stream, &parts)?;
    let (mut frames, mut answered) = (Frames::default(), 0);
    while answered < count {
        answered += u32::try_from(frames.read(&mut stream)?.iter().filter(|(kind, _)| *kind == 0).count())?;
    }
    Ok(())
}

fn header(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat()
}

/// As many vectors in each call as the kernel takes.
fn write_all(stream: &mut TcpStream, parts: &[Vec<u8>]) -> Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let written = stream.write_vectored(rest)?;
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    /// Kind and stream of the frames that were whole after one more read.
    fn read(&mut self, from: &mut TcpStream) -> Result<Vec<(u8, u32)>> {
        let mut buffer = vec![0; 1 << 20];
        let read = from.read(&mut buffer)?;
        if read == 0 {
            bail!("the other side has gone");
        }
        self.0.extend_from_slice(&buffer[..read]);
        let mut frames = Vec::new();
        while let Some(&[a, b, c, kind, _, s, t, u, v]) = self.0.first_chunk() {
            let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
            if self.0.len() < end {
                break;
            }
            frames.push((kind, u32::from_be_bytes([s, t, u, v])));
            self.0.drain(..end);
        }
        Ok(frames)
    }
}
