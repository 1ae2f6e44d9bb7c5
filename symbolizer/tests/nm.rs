//! Names against those that `nm` reads, of programs and libraries of the machine: every function of each table.

use std::{collections::HashMap, fs::File, path::Path, process::Command, sync::Arc};

use honeyguide_symbolizer::names::{Image, Names, Object, Settings, demangle};

/// Some with a symbol table, most with what the dynamic linker needs alone.
const FILES: [&str; 6] = [
    "/proc/self/exe",
    "/usr/bin/node",
    "/usr/bin/bash",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    "/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
];

/// Functions compared in a file; of a large one evenly spread.
const MOST: usize = 20_000;

#[test]
fn functions_have_the_names_that_nm_reads() {
    let mut compared = 0;
    for path in FILES.iter().filter(|path| Path::new(path).exists()) {
        let path = std::fs::canonicalize(path).unwrap();
        let Some(functions) = nm(&path) else { continue };
        let image = Image::File(Arc::new(File::open(&path).unwrap()));
        let mut names = Names::new(Settings::default());
        let text = path.to_str().unwrap();
        let step = functions.len().div_ceil(MOST).max(1);
        for (&address, candidates) in functions.iter().step_by(step) {
            let object = Object { key: 1, path: text, image: &image, root: None };
            let found = names.find(&object, address);
            let name = &found.names[0];
            let symbol = name.system_name.as_ref().unwrap_or(&name.function);
            assert!(
                candidates.iter().any(|candidate| **candidate == **symbol),
                "{text} {address:#x}: {symbol} is none of {candidates:?}"
            );
            assert_eq!(*name.function, demangle(symbol).0);
            compared += 1;
        }
        assert_eq!(names.counters.unnamed, 0, "{text}");
    }
    assert!(compared > 1_000, "nm is not here, or found next to nothing");
}

/// Addresses of sized functions with all their names; `None` where nm finds no symbols.
fn nm(path: &Path) -> Option<HashMap<u64, Vec<String>>> {
    let run = |flags: &[&str]| {
        let output = Command::new("nm").args(flags).arg(path).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let full = run(&["--format=sysv", "--defined-only"])?;
    let text =
        if full.contains("FUNC") { full } else { run(&["--format=sysv", "--defined-only", "--dynamic"])? };
    let mut functions: HashMap<u64, Vec<String>> = HashMap::new();
    for line in text.lines() {
        // name | value | class | type | size | line | section
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, address, _, "FUNC", size, ..] = columns[..] else { continue };
        let (Ok(address), Ok(size)) = (u64::from_str_radix(address, 16), u64::from_str_radix(size, 16))
        else {
            continue;
        };
        if size > 0 {
            // A symbol's version is not part of its name.
            let name = name.split('@').next().unwrap_or(name).to_owned();
            functions.entry(address).or_default().push(name);
        }
    }
    (!functions.is_empty()).then_some(functions)
}
