//! A file's bytes, read where they are needed, or an image that is in memory already.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

/// What is read: a file that the caller holds open, or bytes (the vDSO, what was decompressed).
#[derive(Clone, Debug)]
pub enum Image {
    /// Read at positions, so that its own position does not matter.
    File(Arc<File>),
    Bytes(Arc<[u8]>),
}

/// An image as something that is read from one end to the other, for readers that know nothing of positions.
#[derive(Debug)]
pub struct Bytes {
    image: Image,
    at: u64,
}

impl Image {
    /// # Errors
    /// Where the file cannot be read.
    pub fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// # Errors
    /// Where the file cannot be read.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills as much of `buffer` as there is from `offset` on, and says how much that was.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while !buffer.is_empty() {
            let read = match self {
                Self::File(file) => file.read_at(buffer, offset)?,
                Self::Bytes(bytes) => {
                    let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                    Cursor::new(&bytes[from..]).read(buffer)?
                }
            };
            if read == 0 {
                break;
            }
            done += read;
            offset += read as u64;
            buffer = &mut buffer[read..];
        }
        Ok(done)
    }

    /// `length` bytes at `offset`; `None` where there are not as many or more than `most`.
    #[must_use]
    pub fn slice(&self, offset: u64, length: u64, most: u64) -> Option<Vec<u8>> {
        // What is not there is not allocated for.
        if length > most || offset.checked_add(length)? > self.len().ok()? {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        (self.read_at(&mut bytes, offset).ok()? == bytes.len()).then_some(bytes)
    }

    #[must_use]
    pub fn bytes(&self) -> Bytes {
        Bytes { image: self.clone(), at: 0 }
    }
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.image.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Bytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.image.len()?.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_read_alike() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"0123456789").unwrap();
        for image in [Image::File(Arc::new(file)), Image::Bytes(b"0123456789".as_slice().into())] {
            assert_eq!(image.slice(3, 4, 100).unwrap(), b"3456");
            assert_eq!(image.slice(8, 3, 100), None);
            assert_eq!(image.slice(u64::MAX, 3, 100), None);
            assert_eq!(image.slice(0, 10, 9), None);
            let mut reader = image.bytes();
            reader.seek(SeekFrom::End(-2)).unwrap();
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, "89");
        }
    }
}
