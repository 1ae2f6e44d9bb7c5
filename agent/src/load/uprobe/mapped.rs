//! The files that a process has mapped, as paths that lead there from any mount namespace.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::discover::ProcRoot;

/// `/proc/PID/maps` of a large Java program is about 1 MiB.
const MAX_MAPS: u64 = 4 << 20;

/// The mapped files whose names `wanted` accepts, each once. Without the executable itself, which is
/// [`inside`]`(…, "exe")`'s sibling `/proc/PID/exe`.
///
/// # Errors
/// Where the maps cannot be read: mostly the process has gone.
pub(in crate::load) fn mapped<T>(
    proc: &ProcRoot,
    pid: u32,
    wanted: impl Fn(&str) -> Option<T>,
) -> io::Result<Vec<(PathBuf, T)>> {
    let mut text = Vec::new();
    let maps = proc.path().join(pid.to_string()).join("maps");
    File::open(maps)?.take(MAX_MAPS).read_to_end(&mut text)?;
    let mut found: Vec<(PathBuf, T)> = Vec::new();
    let mut last: &[u8] = &[];
    for line in text.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b'/') else { continue };
        let path = &line[at..];
        if path == last {
            continue;
        }
        last = path;
        let Ok(path) = std::str::from_utf8(path) else { continue };
        if let Some(value) = wanted(path) {
            let inside = inside(proc, pid, path);
            if !found.iter().any(|(known, _)| *known == inside) {
                found.push((inside, value));
            }
        }
    }
    Ok(found)
}

/// A path as the process sees it.
pub(in crate::load) fn inside(proc: &ProcRoot, pid: u32, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    proc.path().join(pid.to_string()).join("root").join(path.strip_prefix("/").unwrap_or(path))
}
