//! The OTLP file exporter: `traces.jsonl`, `metrics.jsonl` and `profiles.jsonl` in a directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::lines::Sink;

/// A file that is appended to, one line at a time. Every line is one `write`, so that a kill loses
/// at most the line being written.
#[derive(Debug)]
pub(super) struct LineFile {
    file: File,
}

impl LineFile {
    /// Opens `name` in `directory`, which is created where missing.
    pub(super) fn open(directory: &Path, name: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create the output directory {}", directory.display()))?;
        let path = directory.join(name);
        Self::at(&path).with_context(|| format!("cannot write to {}", path.display()))
    }

    fn at(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        end_last_line(&mut file)?;
        Ok(Self { file })
    }
}

/// A file that is made with its first line: of a signal that may never come.
#[derive(Debug)]
pub(super) struct LazyFile {
    path: PathBuf,
    file: Option<LineFile>,
}

impl LazyFile {
    pub(super) fn new(directory: &Path, name: &str) -> Self {
        Self { path: directory.join(name), file: None }
    }
}

impl Sink for LazyFile {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(LineFile::at(&self.path)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_line(line))
    }
}

/// A run that was killed may have left half a line; the first new one must not join it.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(())
}

impl Sink for LineFile {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        let written = self.file.write_all(line);
        if written.is_err() {
            // A disk that is full took a part of it. Where even this fails there is nothing left to try.
            let _ = self.file.set_len(before);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_of_an_earlier_run_does_not_spoil_the_next() {
        let directory = std::env::temp_dir().join(format!("honeyguide-lines-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("traces.jsonl"), b"{}\n{\"resou").unwrap();
        LineFile::open(&directory, "traces.jsonl").unwrap().write_line(b"{\"a\":1}\n").unwrap();
        LineFile::open(&directory, "traces.jsonl").unwrap().write_line(b"{\"a\":2}\n").unwrap();
        let text = fs::read_to_string(directory.join("traces.jsonl")).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(text, "{}\n{\"resou\n{\"a\":1}\n{\"a\":2}\n");
    }

    #[test]
    fn a_file_of_a_signal_that_never_comes_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut lazy = LazyFile::new(directory.path(), "profiles.jsonl");
        assert!(!directory.path().join("profiles.jsonl").exists());
        lazy.write_line(b"{}\n").unwrap();
        lazy.write_line(b"{}\n").unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("profiles.jsonl")).unwrap(), "{}\n{}\n");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let error = LineFile::open(Path::new("/proc/self/none"), "traces.jsonl").unwrap_err();
        assert_eq!(error.to_string(), "cannot create the output directory /proc/self/none");
    }
}
