//! One program for all fuzz targets; `HONEYGUIDE_FUZZ` names the one to run.
#![no_main]

use std::{env, process::abort, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

static BODY: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = env::var("HONEYGUIDE_FUZZ").unwrap_or_default();
    let mut targets = honeyguide_protocols::fuzz::TARGETS.iter().chain(honeyguide::fuzz::TARGETS);
    match targets.find(|(name, _)| *name == wanted) {
        Some((_, body)) => *body,
        None => {
            eprintln!("HONEYGUIDE_FUZZ names no target: `{wanted}`");
            abort();
        }
    }
});

fuzz_target!(|data: &[u8]| BODY(data));
