//! The bodies of the agent's fuzz targets run over their seeds: the recordings and captures at hand. With
//! `HONEYGUIDE_SEEDS` the seeds are written to a directory for each target there.
#![allow(clippy::unwrap_used)] // Helpers of tests fail as tests do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use honeyguide::{
    fuzz::TARGETS,
    recording::{Frame, Reader},
};

/// The name of a target and what it begins with.
type Seeds = (&'static str, fn() -> Vec<Vec<u8>>);

const SEEDS: &[Seeds] = &[("decode", records), ("pcap", captures), ("recording", recordings)];

#[test]
fn every_target_runs_over_its_seeds() {
    let directory = std::env::var_os("HONEYGUIDE_SEEDS").map(PathBuf::from);
    assert_eq!(TARGETS.len(), SEEDS.len());
    for ((name, body), (seeded, seeds)) in TARGETS.iter().zip(SEEDS) {
        assert_eq!(name, seeded);
        let seeds = seeds();
        assert!(!seeds.is_empty(), "{name}");
        for (number, seed) in seeds.iter().enumerate() {
            body(seed);
            if let Some(directory) = &directory {
                fs::create_dir_all(directory.join(name)).unwrap();
                fs::write(directory.join(name).join(number.to_string()), seed).unwrap();
            }
        }
    }
}

/// The records of each recording, a few at a time, each behind its length.
fn records() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for recording in recordings() {
        let mut reader = Reader::new(&recording[..]).unwrap();
        let mut records = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            if let Frame::Record(bytes) = frame {
                let length = u16::try_from(bytes.len()).unwrap();
                records.push([&length.to_be_bytes()[..], bytes].concat());
            }
        }
        seeds.extend(records.chunks(12).map(<[_]>::concat));
    }
    seeds
}

fn captures() -> Vec<Vec<u8>> {
    files("pcap").into_iter().chain(files("pcapng")).collect()
}

fn recordings() -> Vec<Vec<u8>> {
    files("hgr")
}

fn files(extension: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}
