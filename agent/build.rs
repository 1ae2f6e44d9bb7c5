//! Finds the kernel programs' object, so that the binary carries it, and the revision it is built from.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    println!("cargo:rerun-if-env-changed=HONEYGUIDE_BPF_OBJECT");
    let given = env::var_os("HONEYGUIDE_BPF_OBJECT").map(PathBuf::from);
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let object = given.unwrap_or_else(|| default_object(&manifest));
    println!("cargo:rerun-if-changed={}", object.display());
    // A machine that cannot build BPF embeds nothing, and the agent says so when it is asked to capture.
    let bytes = fs::read(&object).unwrap_or_default();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("honeyguide.bpf.o");
    if fs::read(&out).ok().as_deref() != Some(&bytes)
        && let Err(error) = fs::write(&out, bytes)
    {
        println!("cargo::error=cannot write {}: {error}", out.display());
    }
    println!("cargo:rustc-env=HONEYGUIDE_BPF={}", out.display());
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match revision(&manifest.join("..")) {
        Some(revision) => println!("cargo:rustc-env=HONEYGUIDE_VERSION={version} ({revision})"),
        None => println!("cargo:rustc-env=HONEYGUIDE_VERSION={version}"),
    }
}

/// Where `cargo xtask build-ebpf` puts the object. A watched file that does not exist would rebuild every time, and one that
/// is not watched never: until there are programs, it is empty.
fn default_object(manifest: &Path) -> PathBuf {
    let object = manifest.join("../target/bpf/honeyguide.bpf.o");
    if !object.exists() {
        // Where nothing can be written beside the source, it is built every time.
        let _ = create_empty(&object, manifest);
    }
    object
}

/// As old as the source, since cargo takes what is younger than this run for a change.
fn create_empty(object: &Path, manifest: &Path) -> io::Result<()> {
    fs::create_dir_all(object.parent().unwrap_or(manifest))?;
    let written = fs::metadata(manifest.join("build.rs"))?.modified()?;
    fs::File::create_new(object)?.set_modified(written)
}

/// The commit that is checked out at `root`. Absent without git, and in a copy of the source that only lies inside
/// another repository. Only what moves with HEAD is watched: a second build has nothing to do.
fn revision(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(root).ok()? {
        return None;
    }
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for file in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--path-format=absolute", "--git-path", file])?;
        // A watched file that does not exist would rebuild every time.
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}
