//! Functions of Go programs, and where their calls begin and end.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::{
    elf::{Elf, Function},
    gopclntab::{Pclntab, TEXT_START, locate},
    sites::{Class, Site, class},
};

/// The registers that carry the first arguments, the stack and g (Go's ABIInternal, since 1.17).
const ARGUMENTS: [Register; 6] =
    [Register::RAX, Register::RBX, Register::RCX, Register::RDI, Register::RSP, Register::R14];
/// What Go's linker calls the start of its code, in the description of a module (`runtime.moduledata.text`).
const MODULE_TEXT: u64 = 22 * 8;

/// The functions that have one of `names`, in their order: `None` for a file that is no Go program's.
pub(in crate::load) fn functions(elf: &Elf, names: &[&str]) -> Option<Vec<Option<Function>>> {
    let (address, content) = table(elf)?;
    let text = elf.pointer(address + TEXT_START).filter(|text| elf.is_code(*text)).or_else(|| {
        // Since 1.26 the header does not say it.
        let module = elf.section(".go.module").and_then(|(module, _)| elf.pointer(module + MODULE_TEXT));
        module.filter(|text| elf.is_code(*text)).or_else(|| Some(elf.section(".text")?.0))
    })?;
    let extents = Pclntab::read(&content, text)?.find(names);
    let code = |extent: super::gopclntab::Extent| elf.function(extent.address, extent.size);
    Some(extents.into_iter().map(|extent| code(extent?)).collect())
}

/// The table with its address. Position-independent programs linked by a C linker have it among other data.
fn table(elf: &Elf) -> Option<(u64, Vec<u8>)> {
    if let Some(table) = elf.section(".gopclntab").or_else(|| elf.section(".data.rel.ro.gopclntab")) {
        return Some(table);
    }
    elf.section(".go.buildinfo")?;
    let (address, mut content) = elf.section(".data.rel.ro")?;
    let at = locate(&content)?;
    content.drain(..at);
    Some((address + at as u64, content))
}

/// How a function gets its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) enum Convention {
    Registers,
    /// Before 1.17.
    Stack,
}

/// A function begins by comparing the stack with its goroutine's: in r14, or before 1.17 through the thread's storage.
pub(in crate::load) fn convention(function: &Function) -> Convention {
    let first = listing(function).take(4).find(|instruction| instruction.mnemonic() == Mnemonic::Cmp);
    match first {
        Some(compare) if compare.memory_base() == Register::R14 => Convention::Registers,
        _ => Convention::Stack,
    }
}

/// The site of the entry: the jump behind the comparison, which is emulated. It is passed again when the stack had
/// to grow first.
pub(in crate::load) fn entry(function: &Function) -> Option<Site> {
    super::sites::entry(&function.code, function.address, &ARGUMENTS)
}

/// The first `push` of a function: passed once, whether the stack had to grow or not, and emulated. In front of it
/// nothing changes the stack pointer.
pub(in crate::load) fn push(function: &Function) -> Option<Site> {
    for instruction in listing(function) {
        let plain = matches!(instruction.flow_control(), FlowControl::Next | FlowControl::ConditionalBranch);
        if instruction.mnemonic() == Mnemonic::Push && class(&instruction) == Class::Emulated {
            return Some(Site { offset: instruction.ip() - function.address, class: Class::Emulated });
        }
        if !plain || super::sites::writes(&instruction, Register::RSP) {
            return None;
        }
    }
    None
}

/// Where the results and arguments of a function lie when it has called what it deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) struct Frame {
    /// From the stack pointer to the return address.
    pub(in crate::load) size: u64,
    /// From the stack pointer to the first result.
    pub(in crate::load) result: u64,
    /// The first two arguments are kept where the caller has left room for them.
    pub(in crate::load) keeps_arguments: bool,
}

/// Every return with a deferred call in front of it takes the first result from one place: there it is while the
/// deferred call runs, too.
pub(in crate::load) fn frame(function: &Function) -> Option<Frame> {
    let all: Vec<Instruction> = listing(function).collect();
    let lowered = all.iter().position(|i| lowers_stack(i).is_some())?;
    let pushed = all[..lowered].iter().filter(|i| i.mnemonic() == Mnemonic::Push).count();
    let size = lowers_stack(&all[lowered])?.checked_add(8 * pushed as u64)?;
    let mut result = None;
    for (index, _) in all.iter().enumerate().filter(|(_, i)| i.mnemonic() == Mnemonic::Ret) {
        let Some(call) = all[..index].iter().rposition(|i| i.mnemonic() == Mnemonic::Call) else { continue };
        // The results are loaded between the two, and nothing else jumps about.
        let between = &all[call + 1..index];
        if all[call].flow_control() != FlowControl::IndirectCall
            || between.iter().any(|i| i.flow_control() != FlowControl::Next)
        {
            continue;
        }
        let load = between.iter().find(|i| {
            i.mnemonic() == Mnemonic::Mov
                && i.op0_kind() == OpKind::Register
                && i.op0_register() == Register::RAX
                && on_stack(i).is_some()
        })?;
        let place = on_stack(load)?;
        if *result.get_or_insert(place) != place {
            return None;
        }
    }
    let keeps = |register, place: u64| {
        let stores: Vec<usize> = (0..all.len()).filter(|at| stores_at(&all[*at], size + place)).collect();
        let [store] = stores[..] else { return false };
        let original = !all[..store].iter().any(|i| super::sites::writes(i, register));
        original && all[store].op1_kind() == OpKind::Register && all[store].op1_register() == register
    };
    let keeps_arguments = keeps(Register::RAX, 8) && keeps(Register::RBX, 16);
    Some(Frame { size, result: result?, keeps_arguments })
}

/// The returns.
pub(in crate::load) fn returns(function: &Function) -> Vec<Site> {
    let returns = listing(function).filter(|i| i.mnemonic() == Mnemonic::Ret);
    returns.map(|i| Site { offset: i.ip() - function.address, class: Class::Stepped }).collect()
}

fn listing(function: &Function) -> impl Iterator<Item = Instruction> {
    let mut decoder = Decoder::with_ip(64, &function.code, function.address, DecoderOptions::NONE);
    std::iter::from_fn(move || decoder.can_decode().then(|| decoder.decode()))
        .take_while(|instruction| !instruction.is_invalid())
}

/// `sub $n,%rsp`, or `add $-n,%rsp`.
fn lowers_stack(instruction: &Instruction) -> Option<u64> {
    let immediate = matches!(instruction.op1_kind(), OpKind::Immediate8to64 | OpKind::Immediate32to64);
    if instruction.op0_register() != Register::RSP || !immediate {
        return None;
    }
    let size = instruction.immediate(1) as i64;
    match instruction.mnemonic() {
        Mnemonic::Sub => u64::try_from(size).ok(),
        Mnemonic::Add if size < 0 => u64::try_from(-size).ok(),
        _ => None,
    }
}

/// The distance of its operand in memory from the stack pointer.
fn on_stack(instruction: &Instruction) -> Option<u64> {
    let plain = instruction.memory_base() == Register::RSP && instruction.memory_index() == Register::None;
    plain.then(|| instruction.memory_displacement64())
}

/// Writes at this distance from the stack pointer, in the function's own frame.
fn stores_at(instruction: &Instruction, place: u64) -> bool {
    let writes = instruction.op0_kind() == OpKind::Memory
        && !matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Nop);
    writes && on_stack(instruction) == Some(place)
}
