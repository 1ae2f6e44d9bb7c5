//! honeyguide's kernel programs. `probes` holds the attach points; each is a thin shell round a `try_` function.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod blocked;
mod call;
mod emit;
mod error;
mod frames;
mod go;
mod grpc;
mod identity;
mod maps;
mod memory;
mod offsets;
mod operation;
mod probes;
mod propagate;
mod repeat;
mod rustls;
mod select;
mod settings;
mod socket;
mod switches;
mod times;
mod tls;
mod tokio;
mod unwind;
mod wakes;

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects a program that can reach this.
    loop {}
}

/// Helpers such as `bpf_get_current_task_btf` need a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual BSD/GPL\0";
