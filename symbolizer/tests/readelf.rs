//! The tables of real files are what binutils reads out of them, at every address where something changes.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::print_stdout)] // Helpers of tests fail as tests do.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use honeyguide_common::unwind::{
    CFA_DEREF, CFA_END, CFA_PLT, CFA_REGISTER, CFA_SIGNAL, FP_AT_CFA, FP_SAME, Rule,
};
use honeyguide_symbolizer::unwind::{Elf, compile};
use object::ReadCache;

/// Files of the Debian packages that the tests need, and what else may be there.
const FILES: &[&str] = &[
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libm.so.6",
    "/lib/x86_64-linux-gnu/libz.so.1",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/lib/x86_64-linux-gnu/libgcc_s.so.1",
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    "/usr/lib/x86_64-linux-gnu/libssl.so.3",
    "/usr/lib/x86_64-linux-gnu/libgnutls.so.30",
    "/usr/lib/x86_64-linux-gnu/libpq.so.5",
    "/usr/lib/x86_64-linux-gnu/libcurl.so.4",
    "/usr/lib/x86_64-linux-gnu/libuv.so.1",
    "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0",
    "/lib/x86_64-linux-gnu/libpcre2-8.so.0",
    "/lib/x86_64-linux-gnu/libsystemd.so.0",
    "/usr/bin/bash",
    "/usr/bin/git",
    "/usr/bin/python3",
    "/usr/bin/node",
    "/usr/bin/perl",
    "/usr/bin/curl",
    "/usr/bin/ld",
    "/usr/bin/gcc",
    "/usr/sbin/nginx",
    "/usr/sbin/mariadbd",
    "/usr/lib/postgresql/15/bin/postgres",
    "/usr/lib/x86_64-linux-musl/libc.so",
    "/usr/bin/busybox",
    "/usr/bin/qemu-system-x86_64",
];
/// The smallest that may not be missing, on a machine that has what the tests need.
const LEAST: usize = 12;

#[test]
fn rows_are_what_readelf_shows() {
    let rust = std::env::current_exe().unwrap();
    let files = FILES.iter().map(PathBuf::from).chain([rust]).filter(|file| file.exists());
    let mut compared = 0;
    let mut total = 0;
    for file in files {
        let rows = compare(&file);
        println!("{}: {rows} rows", file.display());
        total += rows;
        compared += 1;
    }
    assert!(compared >= LEAST, "{compared} files alone were there");
    assert!(total > 100_000, "{total} rows");
}

/// The number of rows that were compared.
fn compare(path: &Path) -> usize {
    let cache = ReadCache::new(File::open(path).unwrap());
    let elf = Elf::parse(&cache).unwrap();
    let table = compile(&elf).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut child = Command::new("readelf")
        .args(["--wide", "--debug-dump=frames-interp"])
        .arg(path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("readelf: `apt-get install binutils` brings it");
    let mut columns: Vec<String> = Vec::new();
    let (mut count, mut wrong, mut section, mut in_function) = (0, 0, false, false);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("Contents of the ") {
            section = line.contains(".eh_frame");
            in_function = false;
        }
        if !section {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, _, _, "FDE", ..] => in_function = true,
            [_, _, _, "CIE", ..] => in_function = false,
            ["LOC", names @ ..] => columns = names.iter().map(|name| (*name).to_owned()).collect(),
            [address, values @ ..] if in_function && address.len() == 16 && values.len() == columns.len() => {
                let address = u64::from_str_radix(address, 16).unwrap();
                let value = |name: &str| {
                    columns.iter().position(|column| column == name).map_or("u", |index| values[index])
                };
                let ours = table.rule(address).map_or_else(|| ["none"; 3].map(str::to_owned), described);
                count += 1;
                if !agrees(&ours, value("CFA"), value("rbp"), value("ra")) {
                    wrong += 1;
                    if wrong < 10 {
                        println!("{}: {address:#x}: {ours:?} is {line}", path.display());
                    }
                }
            }
            _ => {}
        }
    }
    child.wait().unwrap();
    assert_eq!(wrong, 0, "{}: of {count} rows", path.display());
    count
}

/// As readelf writes CFA, rbp and the return address.
fn described(rule: &Rule) -> [String; 3] {
    const NAMES: [&str; 16] = [
        "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let cfa = match rule.cfa {
        CFA_REGISTER => format!("{}{:+}", NAMES[usize::from(rule.register)], rule.cfa_offset),
        CFA_DEREF | CFA_PLT | CFA_SIGNAL => "exp".to_owned(),
        CFA_END => "any".to_owned(),
        _ => "unsupported".to_owned(),
    };
    let fp = match rule.fp {
        FP_SAME => "u".to_owned(),
        FP_AT_CFA => format!("c{:+}", rule.fp_offset),
        _ => "other".to_owned(),
    };
    let ra = match rule.cfa {
        CFA_END => "u",
        CFA_SIGNAL => "exp",
        _ => "c-8",
    };
    [cfa, fp, ra.to_owned()]
}

fn agrees([cfa, fp, ra]: &[String; 3], their_cfa: &str, their_fp: &str, their_ra: &str) -> bool {
    // Nothing is asked of the rest where the walk ends.
    if cfa == "any" {
        return their_ra == "u";
    }
    if cfa == "unsupported" {
        return their_cfa == "exp" || their_ra != "c-8";
    }
    let same_fp = match fp.as_str() {
        "u" => their_fp == "u" || their_fp == "s" || ra == "exp",
        "other" => !their_fp.starts_with("c"),
        _ => their_fp == fp,
    };
    cfa == their_cfa && same_fp && ra == their_ra
}
