//! Reading kernel structures by the offsets that the agent set.

use aya_ebpf::{Global, helpers::bpf_probe_read_kernel};

/// Reads a field of the structure at `base`; `None` where the address does not read.
#[inline(always)]
pub fn field<T: Copy>(base: *const u8, offset: &Global<u32>) -> Option<T> {
    // SAFETY: bpf_probe_read_kernel checks the address; a wrong one is an error, not a fault.
    unsafe { bpf_probe_read_kernel(base.wrapping_add(offset.load() as usize).cast::<T>()) }.ok()
}

/// Loads a pointer field through a pointer the verifier knows the type of, so that the result is typed too.
///
/// # Safety
/// `base` must come from the program's context or a helper, and `offset` must be a pointer field's.
#[inline(always)]
pub unsafe fn typed_pointer(base: *const u8, offset: &Global<u32>) -> *const u8 {
    // SAFETY: the verifier proves the access against BTF when the program is loaded.
    unsafe { *base.add(offset.load() as usize).cast::<*const u8>() }
}

/// Loads a word through a pointer the verifier knows the type of: one instruction where [`field`] is a call.
///
/// # Safety
/// As for [`typed_pointer`]; `offset` must be a 32-bit field's.
#[inline(always)]
pub unsafe fn typed_word(base: *const u8, offset: &Global<u32>) -> u32 {
    // SAFETY: the verifier proves the access against BTF when the program is loaded.
    unsafe { *base.add(offset.load() as usize).cast::<u32>() }
}

/// A typed pointer's address as a number: the verifier allows no arithmetic on the pointer itself.
#[inline(always)]
pub fn address(pointer: *const u8) -> u64 {
    // SAFETY: reads this program's own stack.
    unsafe { bpf_probe_read_kernel((&raw const pointer).cast::<u64>()) }.unwrap_or(0)
}

/// `number % N` for a power of two, as one instruction that the compiler cannot reason away: the verifier
/// needs to see it.
#[inline(always)]
pub fn below<const N: usize>(number: u32) -> u32 {
    let mut number = u64::from(number);
    // SAFETY: an AND of a register with a constant.
    unsafe { core::arch::asm!("{0} &= {1}", inout(reg) number, const N - 1, options(pure, nomem, nostack)) };
    number as u32
}
