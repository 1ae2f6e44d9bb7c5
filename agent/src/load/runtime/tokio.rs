//! tokio: where the running task's id is, and which functions make and wake tasks. Programs that show their symbols.
//!
//! tokio keeps the id in a thread-local structure (`tokio::runtime::context::CONTEXT`), whose layout is the compiler's
//! choice. The function that sets it says where: it stores its argument there.

use std::collections::HashMap;

use honeyguide_common::identity::{Runtime, TOKIO};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::{Found, Probe};
use crate::load::uprobe::{Image, passage};

/// Parts of mangled names, the same in both ways of mangling: each part of a path is behind its length.
const PARTS: [&str; 4] = [
    "5tokio7runtime7context19set_current_task_id",
    "5tokio7runtime4task5waker11wake_by_val",
    "5tokio7runtime4task5waker11wake_by_ref",
    "34schedule_option_task_without_yield",
];
/// What follows the first: a program, and the argument that is the task's header.
const PROBES: [(&str, Register); 3] =
    [("tokio_wake", Register::RDI), ("tokio_wake", Register::RDI), ("tokio_spawn", Register::RSI)];

pub(super) fn examine(image: &Image) -> Option<Found> {
    let functions = image.functions_with(&PARTS);
    let set = functions.iter().find(|(part, _)| *part == 0)?;
    let place = place_of_argument(&set.1.code, set.1.address)?;
    let mut probes = Vec::new();
    for (part, function) in functions.iter().filter(|(part, _)| *part > 0) {
        let (program, argument) = PROBES[part - 1];
        // To wake a task twice is to wake it.
        let site = passage(&function.code, function.address, &[argument])?;
        probes.push(Probe { program, file_offset: function.file_offset + site.offset });
    }
    // A connection's task that is not seen to be woken would be nobody's.
    if probes.is_empty() {
        return None;
    }
    let runtime =
        Runtime { kind: u32::from(TOKIO), start: place.cast_unsigned(), end: 0, ..Runtime::default() };
    // The place is the same wherever the program is loaded: it counts from the thread pointer.
    Some(Found { runtime, moves: false, first: image.first_address()?, probes, language: "tokio" })
}

/// Where a function stores its first argument, from the thread pointer on: `mov rbx, rdi; mov rax, fs:[0];
/// lea rax, [rax-0x148]; …; mov [rax+0x30], rbx`.
fn place_of_argument(code: &[u8], address: u64) -> Option<i64> {
    let mut arguments = vec![Register::RDI];
    let mut bases = HashMap::<Register, i64>::new();
    for instruction in Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
        if instruction.is_invalid() || instruction.op_count() != 2 {
            continue;
        }
        let (to, from) = (instruction.op0_register(), instruction.op1_register());
        match (instruction.mnemonic(), instruction.op0_kind(), instruction.op1_kind()) {
            (Mnemonic::Mov | Mnemonic::Xchg, OpKind::Memory, OpKind::Register)
                if arguments.contains(&from) =>
            {
                if let Some(place) = place(&instruction, &bases) {
                    return Some(place);
                }
            }
            (Mnemonic::Mov, OpKind::Register, OpKind::Register) => {
                let (base, is_argument) = (bases.get(&from).copied(), arguments.contains(&from));
                forget(to, &mut arguments, &mut bases);
                bases.extend(base.map(|base| (to, base)));
                arguments.extend(is_argument.then_some(to));
            }
            (Mnemonic::Mov, OpKind::Register, OpKind::Memory) => {
                // `fs:[0]` holds the thread pointer itself (System V ABI, x86-64, thread-local storage).
                let base = is_thread_pointer(&instruction).then_some(0);
                forget(to, &mut arguments, &mut bases);
                bases.extend(base.map(|base| (to, base)));
            }
            (Mnemonic::Lea, OpKind::Register, OpKind::Memory) => {
                let base = place(&instruction, &bases);
                forget(to, &mut arguments, &mut bases);
                bases.extend(base.map(|base| (to, base)));
            }
            (Mnemonic::Add, OpKind::Register, OpKind::Immediate32to64 | OpKind::Immediate8to64) => {
                if let Some(base) = bases.get_mut(&to) {
                    *base = base.wrapping_add(instruction.immediate(1).cast_signed());
                }
            }
            _ => {}
        }
    }
    None
}

/// An operand's place from the thread pointer on, where that is known.
fn place(instruction: &Instruction, bases: &HashMap<Register, i64>) -> Option<i64> {
    if instruction.memory_index() != Register::None {
        return None;
    }
    let displacement = instruction.memory_displacement64().cast_signed();
    if instruction.memory_segment() == Register::FS {
        return (instruction.memory_base() == Register::None).then_some(displacement);
    }
    Some(bases.get(&instruction.memory_base())?.wrapping_add(displacement))
}

fn is_thread_pointer(instruction: &Instruction) -> bool {
    instruction.memory_segment() == Register::FS
        && instruction.memory_base() == Register::None
        && instruction.memory_index() == Register::None
        && instruction.memory_displacement64() == 0
}

fn forget(register: Register, arguments: &mut Vec<Register>, bases: &mut HashMap<Register, i64>) {
    arguments.retain(|argument| *argument != register);
    bases.remove(&register);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_where_the_argument_is_stored() {
        // As rustc 1.95 compiles `set_current_task_id`, shortened: push rbx; mov rbx,rdi; mov rax,fs:0;
        // lea rax,[rax-0x148]; movzx ecx,byte [rax+0x48]; mov rdi,rax; mov r14,rax; mov rax,r14;
        // mov rcx,[rax+0x30]; mov [rax+0x30],rbx; ret
        let code = [
            0x53, 0x48, 0x89, 0xfb, 0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x8d, 0x80, 0xb8, 0xfe,
            0xff, 0xff, 0x0f, 0xb6, 0x48, 0x48, 0x48, 0x89, 0xc7, 0x49, 0x89, 0xc6, 0x4c, 0x89, 0xf0, 0x48,
            0x8b, 0x48, 0x30, 0x48, 0x89, 0x58, 0x30, 0xc3,
        ];
        assert_eq!(place_of_argument(&code, 0x1000), Some(-0x118));
        // mov fs:[-0x118], rdi
        let direct = [0x64, 0x48, 0x89, 0x3c, 0x25, 0xe8, 0xfe, 0xff, 0xff];
        assert_eq!(place_of_argument(&direct, 0x1000), Some(-0x118));
    }

    #[test]
    fn another_value_in_another_place_says_nothing() {
        // mov rax,fs:0; mov [rax+8],rcx; mov [rbx+8],rdi
        let code = [0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x89, 0x48, 8, 0x48, 0x89, 0x7b, 8];
        assert_eq!(place_of_argument(&code, 0x1000), None);
        assert_eq!(place_of_argument(&[], 0), None);
    }

    #[test]
    fn a_program_without_tokio_has_none() {
        assert_eq!(examine(&Image::open(std::path::Path::new("/bin/ls")).unwrap()), None);
    }

    #[test]
    fn garbage_has_a_place_or_none_but_never_panics() {
        for seed in 0..2_000_u64 {
            let code: Vec<u8> =
                (0..64).map(|at| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 57)) as u8).collect();
            let _ = place_of_argument(&code, 0x1000);
        }
    }
}
