//! The dynamic linker: it calls an empty function for debuggers whenever it has loaded or unloaded libraries.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::uprobe, programs::ProbeContext};
use honeyguide_common::{
    Failure,
    record::{COMM, KIND_LOADED, Process},
};

use crate::{emit, select};

/// match-proto: `void _dl_debug_state(void)`: glibc, and musl under the same name
#[uprobe]
pub fn libraries_loaded(_ctx: ProbeContext) -> u32 {
    if select::caller().is_some() {
        let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
        let record = Process { header: emit::header(KIND_LOADED, 0), pid, argument: 0, comm: [0; COMM] };
        // Rare, and what was loaded may be used at once.
        emit::urgent(&record, Failure::RingFullProcess);
    }
    0
}
