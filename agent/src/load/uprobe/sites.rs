//! Which instructions of a function probes are put on.
//!
//! The kernel emulates a few instructions (arch/x86/kernel/uprobes.c: `push`, jumps, calls, `nop`) and single-steps
//! all others, which costs about twenty times as much. So the entry is not the first instruction but the first
//! emulated one that every call passes before an argument register changes; and the exit not the `ret` but an
//! emulated instruction in front of it that every path to the `ret` passes with the result in place, such as the
//! stack protector's jump.

use std::{collections::HashSet, fmt};

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

/// Of a function of unknown length.
const MAX_INSTRUCTIONS: usize = 4_096;

/// How the kernel gets past a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) enum Class {
    Emulated,
    Stepped,
}

/// Where a probe sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) struct Site {
    /// From the function's first byte.
    pub(in crate::load) offset: u64,
    pub(in crate::load) class: Class,
}

/// The site at which every call of the function is seen once, with its arguments in `registers`.
pub(in crate::load) fn entry(code: &[u8], address: u64, registers: &[Register]) -> Option<Site> {
    // A loop back to here would be taken for another call.
    first(&Listing::new(code, address), registers, |_| false)
}

/// The same where it does no harm that a call is seen more than once: in a loop as well, which leaves the registers
/// alone. What tries until it succeeds (a compare and exchange) rarely goes around twice.
pub(in crate::load) fn passage(code: &[u8], address: u64, registers: &[Register]) -> Option<Site> {
    let listing = Listing::new(code, address);
    first(&listing, registers, |at| listing.loop_from(at).iter().all(|i| leaves_alone(i, registers)))
}

/// `enters`: whether the search may go on behind an address that is jumped to.
fn first(listing: &Listing, registers: &[Register], enters: impl Fn(u64) -> bool) -> Option<Site> {
    let address = listing.instructions.first()?.ip();
    let plain = Site { offset: 0, class: class(listing.instructions.first()?) };
    for instruction in &listing.instructions {
        let at = instruction.ip();
        if at != address && listing.is_target(at) && !enters(at) {
            break;
        }
        if class(instruction) == Class::Emulated {
            return Some(Site { offset: at - address, class: Class::Emulated });
        }
        if instruction.flow_control() != FlowControl::Next || !leaves_alone(instruction, registers) {
            break;
        }
    }
    Some(plain)
}

/// Whether an instruction changes none of the registers; a call may change any.
fn leaves_alone(instruction: &Instruction, registers: &[Register]) -> bool {
    let calls = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
    !calls && !registers.iter().any(|register| writes(instruction, *register))
}

/// The sites at which every return of the function is seen once, with its result in rax; empty where it returns by
/// a jump to another function alone.
pub(in crate::load) fn exits(code: &[u8], address: u64) -> Vec<Site> {
    let listing = Listing::new(code, address);
    let instructions = &listing.instructions;
    let mut sites = Vec::new();
    for (index, instruction) in instructions.iter().enumerate() {
        if instruction.mnemonic() != Mnemonic::Ret {
            continue;
        }
        let mut site = Site { offset: instruction.ip() - address, class: Class::Stepped };
        let mut later = instruction;
        for before in instructions[..index].iter().rev() {
            // Whoever jumps in behind it does not pass it.
            if listing.is_target(later.ip()) || writes(before, Register::RAX) {
                break;
            }
            let guard =
                before.flow_control() == FlowControl::ConditionalBranch && listing.never_returns(before);
            if guard || (before.flow_control() == FlowControl::Next && class(before) == Class::Emulated) {
                site = Site { offset: before.ip() - address, class: Class::Emulated };
                break;
            }
            if before.flow_control() != FlowControl::Next {
                break;
            }
            later = before;
        }
        sites.push(site);
    }
    sites
}

/// The addresses outside of the function that it ends by jumping to.
pub(in crate::load) fn tails(code: &[u8], address: u64) -> Vec<u64> {
    let inside = address..address + code.len() as u64;
    let listing = Listing::new(code, address);
    let jumps = listing.instructions.iter().filter(|i| i.flow_control() == FlowControl::UnconditionalBranch);
    let mut found: Vec<u64> = jumps.filter_map(target).filter(|to| !inside.contains(to)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The returns of a function of unknown length that begins with `code`: those that its jumps lead to.
pub(in crate::load) fn returns(code: &[u8], address: u64) -> Vec<Site> {
    let mut seen = HashSet::new();
    let mut paths = vec![address];
    let mut sites = Vec::new();
    while let Some(mut at) = paths.pop() {
        while seen.len() < MAX_INSTRUCTIONS && seen.insert(at) {
            let rest = at.checked_sub(address).and_then(|offset| code.get(usize::try_from(offset).ok()?..));
            let Some(instruction) = rest.and_then(|rest| {
                let mut decoder = Decoder::with_ip(64, rest, at, DecoderOptions::NONE);
                Some(decoder.decode()).filter(|instruction| !instruction.is_invalid())
            }) else {
                break;
            };
            if instruction.mnemonic() == Mnemonic::Ret {
                sites.push(Site { offset: at - address, class: Class::Stepped });
            }
            paths.extend(target(&instruction));
            match instruction.flow_control() {
                FlowControl::Next
                | FlowControl::Call
                | FlowControl::IndirectCall
                | FlowControl::ConditionalBranch => {}
                _ => break,
            }
            at = instruction.next_ip();
        }
    }
    sites.sort_unstable_by_key(|site| site.offset);
    sites
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            Class::Emulated => "emulated",
            Class::Stepped => "single-stepped",
        };
        write!(f, "+{:#x} {class}", self.offset)
    }
}

/// A function's instructions, and the addresses within it that it jumps to.
struct Listing {
    instructions: Vec<Instruction>,
    targets: Vec<u64>,
}

impl Listing {
    fn new(code: &[u8], address: u64) -> Self {
        let mut instructions = Vec::new();
        for instruction in Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
            if instruction.is_invalid() {
                break;
            }
            instructions.push(instruction);
        }
        let mut targets: Vec<u64> = instructions.iter().filter_map(target).collect();
        targets.sort_unstable();
        Self { instructions, targets }
    }

    fn is_target(&self, address: u64) -> bool {
        self.targets.binary_search(&address).is_ok()
    }

    /// The instructions from `address` to the last one that jumps back to it.
    fn loop_from(&self, address: u64) -> &[Instruction] {
        let from = self.instructions.partition_point(|i| i.ip() < address);
        let back = self.instructions.iter().rposition(|i| target(i) == Some(address));
        &self.instructions[from..back.map_or(from, |back| (back + 1).max(from))]
    }

    /// The stack protector's way out: where the jump leads there is a call, and nothing that it comes back to.
    fn never_returns(&self, jump: &Instruction) -> bool {
        let Some(to) = target(jump) else { return false };
        let Ok(at) = self.instructions.binary_search_by_key(&to, Instruction::ip) else { return false };
        let called = self.instructions[at].flow_control() == FlowControl::Call;
        let behind = self.instructions.get(at + 1);
        called
            && behind
                .is_none_or(|next| matches!(next.mnemonic(), Mnemonic::Nop | Mnemonic::Ud2 | Mnemonic::Int3))
    }
}

fn target(instruction: &Instruction) -> Option<u64> {
    let jumps = matches!(
        instruction.flow_control(),
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
    );
    let near = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64;
    (jumps && near).then(|| instruction.near_branch_target())
}

pub(super) fn class(instruction: &Instruction) -> Class {
    let near = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64;
    let emulated = match instruction.mnemonic() {
        Mnemonic::Push => matches!(instruction.code(), Code::Push_r64),
        // Without operands: the longer ones are emulated by newer kernels only.
        Mnemonic::Nop => instruction.len() == 1,
        Mnemonic::Call | Mnemonic::Jmp => near,
        Mnemonic::Jrcxz | Mnemonic::Jecxz | Mnemonic::Loop | Mnemonic::Loope | Mnemonic::Loopne => false,
        _ => near && instruction.flow_control() == FlowControl::ConditionalBranch,
    };
    if emulated { Class::Emulated } else { Class::Stepped }
}

pub(super) fn writes(instruction: &Instruction, register: Register) -> bool {
    let mut factory = InstructionInfoFactory::new();
    factory.info(instruction).used_registers().iter().any(|used| {
        let changes = matches!(
            used.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        );
        changes && used.register().full_register() == register
    }) || (register == Register::RAX && instruction.flow_control() == FlowControl::Call)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{super::Elf, *};

    const C: [Register; 4] = [Register::RDI, Register::RSI, Register::RDX, Register::RCX];

    fn emulated(offset: u64) -> Site {
        Site { offset, class: Class::Emulated }
    }

    fn stepped(offset: u64) -> Site {
        Site { offset, class: Class::Stepped }
    }

    #[test]
    fn a_push_in_front_is_the_entry() {
        // endbr64; push %rbx; mov %rdi,%rbx
        let code = [0xf3, 0x0f, 0x1e, 0xfa, 0x53, 0x48, 0x89, 0xfb];
        assert_eq!(entry(&code, 0x1000, &C), Some(emulated(4)));
    }

    #[test]
    fn behind_a_changed_argument_is_too_late() {
        // sub $8,%rsp; xor %ecx,%ecx; push %rbx
        let code = [0x48, 0x83, 0xec, 0x08, 0x31, 0xc9, 0x53];
        assert_eq!(entry(&code, 0x1000, &C), Some(stepped(0)));
    }

    #[test]
    fn where_a_loop_comes_back_is_no_entry() {
        // sub $8,%rsp; push %rbx; jmp to the push
        let code = [0x48, 0x83, 0xec, 0x08, 0x53, 0xeb, 0xfd];
        assert_eq!(entry(&code, 0x1000, &C), Some(stepped(0)));
    }

    #[test]
    fn a_loop_that_leaves_the_arguments_alone_has_a_passage() {
        // sub $8,%rsp; test $2,%al; jne +0; jmp to the test
        let code = [0x48, 0x83, 0xec, 0x08, 0xa8, 0x02, 0x75, 0x00, 0xeb, 0xfa];
        assert_eq!(entry(&code, 0x1000, &C), Some(stepped(0)));
        assert_eq!(passage(&code, 0x1000, &C), Some(emulated(6)));
        // The same with xor %edi,%edi, or with a call, before it goes around.
        let code = [0x48, 0x83, 0xec, 0x08, 0xa8, 0x02, 0x75, 0x00, 0x31, 0xff, 0xeb, 0xf8];
        assert_eq!(passage(&code, 0x1000, &C), Some(stepped(0)));
        let code = [0x48, 0x83, 0xec, 0x08, 0xa8, 0x02, 0x75, 0x00, 0xff, 0xd0, 0xeb, 0xf8];
        assert_eq!(passage(&code, 0x1000, &C), Some(stepped(0)));
    }

    #[test]
    fn the_stack_protectors_jump_stands_for_the_return() {
        // jne +2; pop %rbx; ret; call away
        let code = [0x75, 0x02, 0x5b, 0xc3, 0xe8, 0, 0, 0, 0];
        assert_eq!(exits(&code, 0x1000), [emulated(0)]);
        // jne +2; pop %rax; ret; call away: the result comes behind it.
        let code = [0x75, 0x02, 0x58, 0xc3, 0xe8, 0, 0, 0, 0];
        assert_eq!(exits(&code, 0x1000), [stepped(3)]);
        // jne +2; pop %rbx; ret; pop %rbx; ret: the jump leads to another return.
        let code = [0x75, 0x02, 0x5b, 0xc3, 0x5b, 0xc3];
        assert_eq!(exits(&code, 0x1000), [stepped(3), stepped(5)]);
        // jmp to the ret; jne; pop %rbx; ret; call away: another path enters behind the jump.
        let code = [0xeb, 0x03, 0x75, 0x02, 0x5b, 0xc3, 0xe8, 0, 0, 0, 0];
        assert_eq!(exits(&code, 0x1000), [stepped(5)]);
    }

    #[test]
    fn a_function_that_ends_in_a_jump_has_no_exit() {
        assert_eq!(exits(&[0x31, 0xc9, 0xe9, 0, 1, 0, 0], 0x1000), []);
    }

    #[test]
    fn where_a_function_jumps_to_at_its_end_its_returns_are() {
        assert_eq!(tails(&[0x31, 0xc9, 0xe9, 0xf9, 0, 0, 0], 0x1000), [0x1100]);
        // je +1; ret; jmp -5: to the ret; and another's ret behind it.
        assert_eq!(returns(&[0x74, 0x01, 0xc3, 0xeb, 0xfd, 0xc3], 0x1000), [stepped(2)]);
        // An endless loop, and a jump away.
        assert_eq!(returns(&[0x74, 0xfe, 0xe9, 0, 1, 0, 0], 0x1000), []);
    }

    #[test]
    fn garbage_has_no_sites_or_some_but_never_panics() {
        for seed in 0..2_000_u64 {
            let code: Vec<u8> =
                (0..64).map(|at| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 57)) as u8).collect();
            let _ = (
                entry(&code, seed, &C),
                passage(&code, seed, &C),
                exits(&code, seed),
                returns(&code, seed),
                tails(&code, seed),
            );
        }
    }

    /// Debian 12's OpenSSL 3.0: every entry is emulated, and the reads and writes return by one guarded path.
    #[test]
    fn libssl() {
        let names = ["SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex", "SSL_do_handshake", "SSL_free"];
        let path = Path::new("/usr/lib/x86_64-linux-gnu/libssl.so.3");
        if !path.exists() {
            eprintln!("skipped: there is no {}", path.display());
            return;
        }
        let found = Elf::open(path).unwrap().functions(&names);
        for (name, function) in names.iter().zip(found) {
            let function = function.unwrap();
            let entry = entry(&function.code, function.address, &C).unwrap();
            let exits = exits(&function.code, function.address);
            assert_eq!(entry.class, Class::Emulated, "{name}");
            if matches!(*name, "SSL_read" | "SSL_write") {
                assert_eq!(exits.len(), 1, "{name}: {exits:?}");
                assert_eq!(exits[0].class, Class::Emulated, "{name}: {exits:?}");
            }
        }
    }

    /// node carries OpenSSL with its symbols; its reads and writes return at several places.
    #[test]
    fn node() {
        let path = Path::new("/usr/bin/node");
        let names = ["SSL_read", "SSL_write"];
        let Ok(found) = Elf::open(path).map(|elf| elf.functions(&names)) else {
            eprintln!("skipped: there is no {}", path.display());
            return;
        };
        for (name, function) in names.iter().zip(found) {
            let Some(function) = function else { continue };
            assert_eq!(entry(&function.code, function.address, &C), Some(emulated(0)), "{name}");
            assert!(!exits(&function.code, function.address).is_empty(), "{name}");
        }
    }

    /// gnutls_record_recv sets an argument of the next call first: there only the plain site is right.
    #[test]
    fn libgnutls() {
        let path = Path::new("/usr/lib/x86_64-linux-gnu/libgnutls.so.30");
        let names = ["gnutls_record_recv", "gnutls_record_send2"];
        let Ok(found) = Elf::open(path).map(|elf| elf.functions(&names)) else {
            eprintln!("skipped: there is no {}", path.display());
            return;
        };
        for (name, function) in names.iter().zip(found) {
            let function = function.unwrap();
            assert!(entry(&function.code, function.address, &C).is_some(), "{name}");
            assert!(!exits(&function.code, function.address).is_empty(), "{name}");
        }
    }
}
