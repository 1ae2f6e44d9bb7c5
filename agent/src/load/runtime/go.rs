//! Go: where a goroutine's id is, and whose request a connection of `net/http` carries.
//!
//! `goid` and `parentGoid` are fields of `runtime.g`, whose address is in r14 wherever Go's own code runs (Go 1.17).

use honeyguide_common::identity::{GOROUTINE, Runtime};
use iced_x86::Register;

use super::{Found, Probe};
use crate::load::uprobe::{Image, entry};

/// Of the version's text this much is read.
const MAX_VERSION: u64 = 64;

/// Offsets, by minor version of Go 1, as the compiler's own debug information has them: `goid` and `parentGoid`
/// (1.21) in `runtime.g`.
const OFFSETS: [(std::ops::RangeInclusive<u32>, u32, u32); 5] =
    [(17..=20, 152, 0), (21..=22, 152, 272), (23..=24, 160, 280), (25..=25, 152, 272), (26..=27, 152, 280)];
/// `conn` in `net/http.persistConn`: the same since 1.17.
const CONNECTION: u32 = 80;

/// Functions that the goroutine runs which asks for a request; another one writes it. Where one has its receiver, its first
/// argument if that is needed, and the goroutine.
const ASKED_BY: [(&str, &str, &[Register]); 3] = [
    ("net/http.(*persistConn).roundTrip", ROUND_TRIP, &[Register::RAX, Register::R14]),
    // Up to grpc-go 1.68, and since.
    ("google.golang.org/grpc/internal/transport.(*http2Client).Write", GRPC_WRITE, &ARGUMENTS),
    ("google.golang.org/grpc/internal/transport.(*http2Client).write", GRPC_WRITE, &ARGUMENTS),
];
const ARGUMENTS: [Register; 3] = [Register::RAX, Register::RBX, Register::R14];
const ROUND_TRIP: &str = "go_round_trip";
const GRPC_WRITE: &str = "go_grpc_write";

pub(super) fn examine(image: &Image) -> Option<Found> {
    let (goid, parent) = offsets(version(image)?)?;
    let (text, _) = image.section(".text")?;
    let functions = image.go_functions(&ASKED_BY.map(|(name, ..)| name)).unwrap_or_default();
    let probes: Vec<Probe> = functions
        .into_iter()
        .zip(ASKED_BY)
        .filter_map(|(function, (_, program, arguments))| {
            let function = function?;
            let site = entry(&function.code, function.address, arguments)?;
            Some(Probe { program, file_offset: function.file_offset + site.offset })
        })
        .collect();
    let asks = probes.iter().any(|probe| probe.program == ROUND_TRIP);
    let runtime = Runtime {
        kind: u32::from(GOROUTINE),
        first: goid,
        second: parent,
        third: if asks { CONNECTION } else { 0 },
        start: text.address,
        end: text.address + text.size,
    };
    Some(Found { runtime, moves: image.moves, first: image.first_address()?, probes, language: "Go" })
}

fn offsets(minor: u32) -> Option<(u32, u32)> {
    OFFSETS.iter().find(|(versions, ..)| versions.contains(&minor)).map(|(_, goid, parent)| (*goid, *parent))
}

/// The minor version of Go 1 that built the file. Since 1.18 `.go.buildinfo` holds it as it is: a magic of 14 bytes,
/// the size of a pointer, flags of which 2 says so, and at 32 its length and text (`debug/buildinfo`).
fn version(image: &Image) -> Option<u32> {
    let (section, offset) = image.section(".go.buildinfo")?;
    let header = image.read(offset, section.size.min(33 + MAX_VERSION))?;
    if !header.starts_with(b"\xff Go buildinf:") || header.get(15)? & 2 == 0 {
        return None;
    }
    let length = usize::from(*header.get(32)?);
    minor(std::str::from_utf8(header.get(33..33 + length)?).ok()?)
}

/// `go1.24.3`, `go1.25rc1 X:…`, `devel go1.26-…`
fn minor(version: &str) -> Option<u32> {
    let rest = &version[version.find("go1.")? + 4..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_those_that_are_not_known_have_no_offsets() {
        assert_eq!(minor("go1.24.3"), Some(24));
        assert_eq!(minor("go1.25rc1 X:nocoverageredesign"), Some(25));
        assert_eq!(minor("devel go1.26-abcdef"), Some(26));
        assert_eq!(minor("go2"), None);
        assert_eq!(minor("go1."), None);
        assert_eq!(offsets(20), Some((152, 0)));
        assert_eq!(offsets(24), Some((160, 280)));
        assert_eq!(offsets(25), Some((152, 272)));
        assert_eq!(offsets(27), Some((152, 280)));
        assert_eq!(offsets(99), None);
        assert_eq!(offsets(16), None);
    }

    #[test]
    fn what_is_not_built_by_go_is_not_go() {
        assert_eq!(examine(&Image::open(&std::env::current_exe().unwrap()).unwrap()), None);
    }
}
