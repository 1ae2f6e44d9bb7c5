//! Compressed request bodies for OTLP/HTTP.

use std::io::Write as _;

use flate2::write::GzEncoder;

use crate::export::settings::Compression;

/// Fast rather than small: the agent shares the machine with what it watches.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// Both encoders write to memory, where nothing can fail; if one does, the error is the caller's.
pub(super) fn compress(message: Vec<u8>, compression: Compression) -> std::io::Result<Vec<u8>> {
    match compression {
        Compression::None => Ok(message),
        Compression::Gzip => gzip(&message),
        Compression::Zstd => zstd::bulk::compress(&message, ZSTD_LEVEL),
    }
}

fn gzip(message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder =
        GzEncoder::new(Vec::with_capacity(message.len() / 4), flate2::Compression::new(GZIP_LEVEL));
    encoder.write_all(message)?;
    encoder.finish()
}
