//! CPython: where a thread's current context is, and where contexts are copied.
//!
//! Offsets differ from version to version and from build to build, so they are read from the interpreter's own code:
//! two small exported functions use them. The kernel programs check what they find by its type.

use honeyguide_common::identity::{PYTHON, Runtime};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::{Found, Probe};
use crate::load::uprobe::{Function, Image, Symbol, returns, tails};

/// Of a function without a length of its own.
const NAMELESS: u64 = 512;
/// `struct pthread`: offset of `specific_1stblock` (glibc 2.17 to 2.41, x86_64).
pub(super) const FIRST_BLOCK: u32 = 0x310;
/// Where in a `PyThreadState` the context may be.
const CONTEXT: std::ops::Range<u64> = 0x40..0x400;

/// `PyThreadState *PyGILState_GetThisThreadState(void)` reads the key of each thread's state,
/// `PyObject *PyContext_CopyCurrent(void)` the state's context.
pub(super) fn examine(image: &Image) -> Option<Found> {
    let names = ["_PyRuntime", "PyContext_Type", "PyGILState_GetThisThreadState", "PyContext_CopyCurrent"];
    let [Some(runtime), Some(of_contexts), Some(state), Some(copy)] = image.symbols(&names)[..] else {
        return None;
    };
    let key = thread_key(image, state, runtime)?;
    let copy = image.code(copy.address, copy.size)?;
    let first = context_offset(image, &copy)?;
    let runtime = Runtime {
        kind: u32::from(PYTHON),
        first,
        second: FIRST_BLOCK,
        third: 0,
        start: key,
        end: of_contexts.address,
    };
    Some(Found {
        runtime,
        moves: image.moves,
        first: image.first_address()?,
        probes: copies(image, &copy),
        language: "Python",
    })
}

/// The address of the key under which a thread has its `PyThreadState`, from `PyGILState_GetThisThreadState`.
pub(super) fn thread_key(image: &Image, function: Symbol, runtime: Symbol) -> Option<u64> {
    key(&image.code(function.address, function.size)?, runtime.address, runtime.size, image.moves)
}

/// The address of `autoTSSkey` in `_PyRuntime`: what is handed to `PyThread_tss_get`, or where the key is read from
/// for `pthread_getspecific`. In a program that does not move it is a number in the instruction; in one that `moves` such a
/// number is something else.
fn key(function: &Function, runtime: u64, size: u64, moves: bool) -> Option<u64> {
    let inside = |address: u64| (runtime..runtime + size).contains(&address);
    // Registers that hold the address of `_PyRuntime`, as it was read from the table of global offsets.
    let mut bases = Vec::new();
    for instruction in decode(function) {
        if instruction.op_count() < 2 {
            continue;
        }
        if !moves
            && instruction.mnemonic() == Mnemonic::Mov
            && instruction.op1_kind() == OpKind::Immediate32
            && inside(u64::from(instruction.immediate32()))
        {
            return Some(u64::from(instruction.immediate32()));
        }
        if instruction.op1_kind() != OpKind::Memory {
            continue;
        }
        let to = instruction.op0_register();
        let address = if instruction.is_ip_rel_memory_operand() {
            Some(instruction.ip_rel_memory_address())
        } else if bases.contains(&instruction.memory_base()) {
            Some(runtime.wrapping_add(instruction.memory_displacement64()))
        } else {
            None
        };
        let address = address.filter(|address| inside(*address));
        match (instruction.mnemonic(), address) {
            (Mnemonic::Lea, Some(address)) if address != runtime => return Some(address),
            (Mnemonic::Lea, Some(_)) => bases.push(to),
            (Mnemonic::Mov, Some(address)) if to == Register::EDI => return address.checked_sub(4),
            (Mnemonic::Mov, None) if instruction.is_ip_rel_memory_operand() && to.is_gpr64() => {
                bases.push(to);
            }
            _ => {}
        }
    }
    None
}

/// The offset of `context` in a `PyThreadState`: the first thing that is read of it, and found null or not.
fn context_offset(image: &Image, copy: &Function) -> Option<u32> {
    if let Some(offset) = tested_field(&decode(copy)) {
        return Some(offset);
    }
    let inner = decode(copy).into_iter().find(|i| i.flow_control() == FlowControl::Call)?;
    let function = image.code(inner.near_branch_target(), NAMELESS)?;
    tested_field(&decode(&function))
}

/// `mov rax, [rbx+0xe0]; test rax, rax`, before anything was called whose result is tested.
fn tested_field(code: &[Instruction]) -> Option<u32> {
    for pair in code.windows(2) {
        let (load, test) = (&pair[0], &pair[1]);
        if test.mnemonic() != Mnemonic::Test || test.op0_register() != test.op1_register() {
            continue;
        }
        if load.flow_control() == FlowControl::Call {
            return None;
        }
        let is_field = load.mnemonic() == Mnemonic::Mov
            && load.op1_kind() == OpKind::Memory
            && load.op0_register() == test.op0_register()
            && load.op0_register().is_gpr64()
            && load.memory_index() == Register::None
            && !load.is_ip_rel_memory_operand()
            && CONTEXT.contains(&load.memory_displacement64());
        if is_field {
            return u32::try_from(load.memory_displacement64()).ok();
        }
    }
    None
}

/// Where the new context is in a register, at instructions that the kernel emulates: as the result of its
/// allocation is tested, and where one that was used before is made new. Each copy passes one of them.
fn copies(image: &Image, copy: &Function) -> Vec<Probe> {
    let tail = tails(&copy.code, copy.address).first().and_then(|to| image.code(*to, NAMELESS));
    let function = tail.as_ref().unwrap_or(copy);
    let code = decode(function);
    // Of a function of unknown length the rest may be another's.
    let end = if tail.is_some() { code.iter().position(|i| i.mnemonic() == Mnemonic::Ret) } else { None };
    let code = &code[..end.map_or(code.len(), |end| end + 1)];
    let mut probes = Vec::new();
    let mut add = |program, instruction: &Instruction| {
        let file_offset = function.file_offset + (instruction.ip() - function.address);
        probes.push(Probe { program, file_offset });
    };
    for (at, instruction) in code.iter().enumerate() {
        if is_result_tested(&code[..=at]) {
            add("python_copy_rax", instruction);
        } else if is_used_again(&code[..=at]) {
            add("python_copy_rdi", instruction);
        }
    }
    if probes.is_empty() {
        for site in returns(&function.code, function.address) {
            probes
                .push(Probe { program: "python_copy_rax", file_offset: function.file_offset + site.offset });
        }
    }
    probes
}

/// `call …; [mov rbx, rax;] test rax, rax; je …`
fn is_result_tested(code: &[Instruction]) -> bool {
    let [.., before, test, jump] = code else { return false };
    let tested = jump.flow_control() == FlowControl::ConditionalBranch
        && test.mnemonic() == Mnemonic::Test
        && test.op0_register() == Register::RAX
        && test.op1_register() == Register::RAX;
    let is_call = |i: &Instruction| i.flow_control() == FlowControl::Call;
    let kept = before.mnemonic() == Mnemonic::Mov && before.op1_register() == Register::RAX;
    tested && (is_call(before) || (kept && code.len() > 3 && is_call(&code[code.len() - 4])))
}

/// `mov rbx, [free list]; …; mov rdi, rbx; …; call …`
fn is_used_again(code: &[Instruction]) -> bool {
    let Some((call, before)) = code.split_last() else { return false };
    // The kernel does not emulate a call with a prefix.
    if call.flow_control() != FlowControl::Call || call.len() != 5 {
        return false;
    }
    let written = |register: Register, code: &[Instruction]| {
        code.iter().rposition(|i| {
            i.op_count() > 0
                && i.op0_kind() == OpKind::Register
                && i.op0_register() == register
                && i.mnemonic() != Mnemonic::Test
                && i.mnemonic() != Mnemonic::Cmp
                && i.mnemonic() != Mnemonic::Push
        })
    };
    let since = before.iter().rposition(|i| i.flow_control() != FlowControl::Next).map_or(0, |at| at + 1);
    let block = &before[since..];
    let Some(argument) = written(Register::RDI, block) else { return false };
    if block[argument].mnemonic() != Mnemonic::Mov || block[argument].op1_kind() != OpKind::Register {
        return false;
    }
    let Some(source) = written(block[argument].op1_register(), &block[..argument]) else { return false };
    block[source].mnemonic() == Mnemonic::Mov && block[source].op1_kind() == OpKind::Memory
}

fn decode(function: &Function) -> Vec<Instruction> {
    Decoder::with_ip(64, &function.code, function.address, DecoderOptions::NONE)
        .into_iter()
        .take_while(|instruction| !instruction.is_invalid())
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;

    use super::*;

    /// The interpreters of this machine, by version: (offset of the key in `_PyRuntime`, of the context).
    /// From the headers: `offsetof(_PyRuntimeState, gilstate.autoTSSkey)` (`autoTSSkey` since 3.12) and
    /// `offsetof(PyThreadState, context)`.
    const KNOWN: [(&str, u64, u32); 6] = [
        ("3.9", 584, 240),
        ("3.10", 584, 240),
        ("3.11", 592, 224),
        ("3.12", 1544, 208),
        ("3.13", 2160, 208),
        ("3.14", 2336, 208),
    ];

    pub(in crate::load::runtime) fn interpreters() -> Vec<PathBuf> {
        let mut found = Vec::new();
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debian"));
        for (version, ..) in KNOWN {
            // What the kernel tests have fetched.
            found.push(root.join(format!("testing-python{version}/root/usr/bin/python{version}")));
            found.push(PathBuf::from(format!("/usr/bin/python{version}")));
            found.push(PathBuf::from(format!("/usr/lib/x86_64-linux-gnu/libpython{version}.so.1.0")));
        }
        let own = || std::env::home_dir().unwrap_or_default().join(".pyenv");
        let home = std::env::var_os("PYENV_ROOT").map_or_else(own, PathBuf::from);
        for version in std::fs::read_dir(home.join("versions")).into_iter().flatten().flatten() {
            let name = version.file_name().into_string().unwrap_or_default();
            let minor = name.rsplit_once('.').map_or("", |(minor, _)| minor);
            found.push(version.path().join(format!("lib/libpython{minor}.so.1.0")));
        }
        found.retain(|path| path.exists());
        // Elsewhere than in CI there may be another one, or none.
        assert!(!found.is_empty() || std::env::var_os("CI").is_none(), "no CPython from 3.9 to 3.14 is here");
        found
    }

    #[test]
    fn every_interpreter_at_hand_says_where_its_contexts_are() {
        for path in interpreters() {
            let image = Image::open(&path).unwrap();
            let Some((_, key, context)) = KNOWN.iter().find(|(version, ..)| {
                path.to_string_lossy().contains(&format!("python{version}.so"))
                    || path.ends_with(format!("python{version}"))
            }) else {
                continue;
            };
            let found = examine(&image).unwrap_or_else(|| panic!("{}", path.display()));
            let runtime = image.symbols(&["_PyRuntime"])[0].unwrap().address;
            assert_eq!(
                (found.runtime.start - runtime, found.runtime.first),
                (*key, *context),
                "{}",
                path.display()
            );
            let programs: Vec<_> = found.probes.iter().map(|probe| probe.program).collect();
            assert!(programs.contains(&"python_copy_rax"), "{}: {programs:?}", path.display());
            assert!(programs.len() <= 3, "{}: {programs:?}", path.display());
        }
    }

    #[test]
    fn what_is_no_interpreter_has_none() {
        assert_eq!(examine(&Image::open(&std::env::current_exe().unwrap()).unwrap()), None);
    }

    fn function(code: &[u8]) -> Function {
        Function { address: 0x1000, file_offset: 0, code: code.to_vec() }
    }

    #[test]
    fn the_key_is_found_through_the_table_of_offsets_and_by_its_own_address() {
        // mov rax, [rip+0x100]; lea rdi, [rax+0x250]; jmp …
        let code = [0x48, 0x8b, 0x05, 0, 1, 0, 0, 0x48, 0x8d, 0xb8, 0x50, 2, 0, 0, 0xe9, 0, 0, 0, 0];
        assert_eq!(key(&function(&code), 0x9000, 0x1000, true), Some(0x9250));
        // mov edi, [rip+0x8254] (ends at 0x1006)
        let code = [0x8b, 0x3d, 0x4e, 0x82, 0, 0];
        assert_eq!(key(&function(&code), 0x9000, 0x1000, true), Some(0x9250));
        // The same, outside of the structure.
        assert_eq!(key(&function(&code), 0xa000, 0x1000, true), None);
        // cmp dword [rip+0x8250], 0; je …; mov edi, 0x9250; jmp …
        let code = [0x83, 0x3d, 0x49, 0x82, 0, 0, 0, 0x74, 10, 0xbf, 0x50, 0x92, 0, 0, 0xe9, 0, 0, 0, 0];
        assert_eq!(key(&function(&code), 0x9000, 0x1000, false), Some(0x9250));
        assert_eq!(key(&function(&code), 0xa000, 0x1000, false), None);
        assert_eq!(key(&function(&code), 0x9000, 0x1000, true), None, "it is loaded elsewhere");
        assert_eq!(key(&function(&[]), 0x9000, 0x1000, true), None);
    }

    #[test]
    fn garbage_has_sites_or_none_but_never_panics() {
        for seed in 0..2_000_u64 {
            let code: Vec<u8> =
                (0..64).map(|at| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 57)) as u8).collect();
            let function = function(&code);
            let decoded = decode(&function);
            let _ = (key(&function, 0x2000, 0x100, seed % 2 == 0), tested_field(&decoded));
            for at in 0..decoded.len() {
                let _ = (is_result_tested(&decoded[..at]), is_used_again(&decoded[..at]));
            }
        }
    }
}
