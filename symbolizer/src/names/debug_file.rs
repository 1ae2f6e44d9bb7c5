//! Separate debug files: by build id, then by the name that the stripped file gives (GDB's "Separate Debug Files").

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::image::Image;

/// A debug file that is larger is not read through for its checksum.
const MAX_CHECKED: u64 = 1 << 30;

/// Finds the debug file of a file whose path is `path` as its process sees it. `root` is what that process has for `/`;
/// the host's own directories are searched, too.
pub(super) fn find(
    root: Option<&Path>,
    path: &Path,
    build_id: Option<&[u8]>,
    link: Option<&(String, u32)>,
) -> Option<(PathBuf, Image)> {
    let roots = root.into_iter().chain([Path::new("/")]);
    if let Some(name) = build_id.and_then(by_build_id) {
        for root in roots.clone() {
            let path = root.join("usr/lib/debug/.build-id").join(&name);
            if let Ok(file) = File::open(&path) {
                return Some((path, Image::File(Arc::new(file))));
            }
        }
    }
    let (name, crc) = link?;
    let directory = path.parent()?.strip_prefix("/").ok()?;
    for root in roots {
        let near = root.join(directory);
        for path in [
            near.join(name),
            near.join(".debug").join(name),
            root.join("usr/lib/debug").join(directory).join(name),
        ] {
            if let Ok(mut file) = File::open(&path)
                && checksum(&mut file) == Some(*crc)
            {
                return Some((path, Image::File(Arc::new(file))));
            }
        }
    }
    None
}

/// `ab/cdef….debug`.
fn by_build_id(id: &[u8]) -> Option<String> {
    let (first, rest) = id.split_first()?;
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    (!rest.is_empty()).then(|| format!("{first:02x}/{rest}.debug"))
}

fn checksum(file: &mut File) -> Option<u32> {
    if file.metadata().ok()?.len() > MAX_CHECKED {
        return None;
    }
    let mut crc = flate2::Crc::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => break,
            read => crc.update(&buffer[..read]),
        }
    }
    file.rewind().ok()?;
    Some(crc.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_file_is_where_its_id_or_its_link_says() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("usr/lib/debug/.build-id/ab/cdef.debug", "by id");
        put("opt/x/.debug/x.debug", "by link");
        let text = |found: Option<(PathBuf, Image)>| {
            found.map(|(_, image)| {
                String::from_utf8(image.slice(0, image.len().unwrap(), 99).unwrap()).unwrap()
            })
        };
        let path = Path::new("/opt/x/x");
        let link = |crc| Some(("x.debug".to_owned(), crc));
        let mut crc = flate2::Crc::new();
        crc.update(b"by link");
        let found = |id: Option<&[u8]>, link: Option<(String, u32)>| {
            text(find(Some(root.path()), path, id, link.as_ref()))
        };
        assert_eq!(found(Some(&[0xab, 0xcd, 0xef]), None).as_deref(), Some("by id"));
        assert_eq!(found(Some(&[0xab, 0xcd, 0xee]), link(crc.sum())).as_deref(), Some("by link"));
        assert_eq!(found(None, link(1)), None, "another build's");
        assert_eq!(found(Some(&[]), None), None);
    }
}
