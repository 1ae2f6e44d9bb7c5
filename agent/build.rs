//! Finds the kernel programs' object, so that the binary carries it.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=HONEYGUIDE_BPF_OBJECT");
    let given = env::var_os("HONEYGUIDE_BPF_OBJECT").map(PathBuf::from);
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let object = given.unwrap_or_else(|| manifest.join("../target/bpf/honeyguide.bpf.o"));
    println!("cargo:rerun-if-changed={}", object.display());
    // A machine that cannot build BPF embeds nothing, and the agent says so when it is asked to capture.
    let bytes = fs::read(&object).unwrap_or_default();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("honeyguide.bpf.o");
    if fs::read(&out).ok().as_deref() != Some(&bytes) {
        fs::write(&out, bytes).expect("OUT_DIR is writable");
    }
    println!("cargo:rustc-env=HONEYGUIDE_BPF={}", out.display());
}
