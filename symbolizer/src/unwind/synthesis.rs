//! Rules for code that has no unwind information, read off its instructions: musl and busybox are built without any,
//! and so are functions of assembly in many libraries.
//!
//! From every place where a function is known to begin (symbols, calls, pointers in data) all paths are followed, and
//! what they do to the stack pointer is added up. What no path reaches has no rule.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet},
};

use honeyguide_common::unwind::{CFA_NONE, Rule};
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use object::ReadRef;

use super::{
    elf::{Architecture, Elf},
    frame::Frame,
};

/// Padding between two functions is shorter.
const SHORTEST: u64 = 32;
/// V8's builtins are a megabyte or more in one stretch (`embedded.S`).
const BUILTINS: u64 = 512 << 10;
/// Bytes of code that are looked at; what lies behind has no rules.
const MAX_CODE: u64 = 16 << 20;
/// Paths that wait to be followed.
const MAX_WAITING: usize = 1 << 20;
const MAX_ENTRIES: usize = 1 << 20;
/// The code is followed again when functions were found that do not return.
const ROUNDS: usize = 3;
/// In programs that are linked to fixed addresses a word of data that looks like a code address is one.
const MAX_DATA: u64 = 64 << 20;

/// Rules for the stretches of code in `gaps` (in ascending order, apart), each from an address on.
pub(super) fn rules<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>, gaps: &[(u64, u64)]) -> Vec<(u64, Rule)> {
    if elf.architecture != Architecture::X86_64 {
        return Vec::new();
    }
    let mut left = MAX_CODE;
    let mut stretches = Vec::new();
    let mut size = 0;
    for &(start, end) in gaps.iter().filter(|(start, end)| end - start >= SHORTEST) {
        // They keep frame pointers. Where their stack pointer is depends on the function that is interpreted.
        if end - start >= BUILTINS && elf.has_v8() {
            continue;
        }
        let Some(rest) = left.checked_sub(end - start) else { break };
        let Some(code) = elf.code(start, end - start) else { continue };
        // What lies between functions, of whatever length.
        if code.iter().all(|byte| matches!(byte, 0 | 0x90 | 0xcc)) {
            continue;
        }
        left = rest;
        stretches.push(Stretch { start, code, first: size });
        size += code.len();
    }
    if stretches.is_empty() {
        return Vec::new();
    }
    let mut search = Search {
        stretches,
        frames: Frames::new(size),
        jumps: BTreeMap::new(),
        entries: BTreeSet::new(),
        endless: HashSet::new(),
    };
    search.find_entries(elf);
    for _ in 0..ROUNDS {
        let known = search.endless.len();
        search.frames = Frames::new(size);
        search.jumps.clear();
        search.follow(elf.entry);
        if search.endless.len() == known {
            break;
        }
    }
    search.rules()
}

/// Code without rules.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    start: u64,
    code: &'a [u8],
    /// Of its first byte, among all that is looked at.
    first: usize,
}

impl Stretch<'_> {
    fn end(&self) -> u64 {
        self.start + self.code.len() as u64
    }

    /// An address of its as a place in [`Frames`].
    fn place(&self, address: u64) -> usize {
        self.first + usize::try_from(address.wrapping_sub(self.start)).unwrap_or(usize::MAX)
    }

    fn at(&self, address: u64) -> Option<Instruction> {
        let within = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let code = self.code.get(within..).filter(|code| !code.is_empty())?;
        let instruction = Decoder::with_ip(64, code, address, DecoderOptions::NONE).decode();
        (instruction.code() != Code::INVALID).then_some(instruction)
    }
}

/// The frame at every instruction that was found. Few are different.
struct Frames {
    /// By byte of code: 0, or the number of a frame and 1.
    numbers: Vec<u16>,
    /// The instruction's.
    lengths: Vec<u8>,
    different: Vec<Frame>,
    known: HashMap<Frame, u16>,
}

impl Frames {
    fn new(size: usize) -> Self {
        Self { numbers: vec![0; size], lengths: vec![0; size], different: Vec::new(), known: HashMap::new() }
    }

    fn at(&self, place: usize) -> Option<(Frame, u8)> {
        let number = usize::from(*self.numbers.get(place)?).checked_sub(1)?;
        Some((*self.different.get(number)?, *self.lengths.get(place)?))
    }

    /// False where there are more different frames than any program has.
    fn set(&mut self, place: usize, frame: Frame, length: usize) -> bool {
        let number = match self.known.get(&frame) {
            Some(number) => *number,
            None => {
                let Ok(number) = u16::try_from(self.different.len() + 1) else { return false };
                self.different.push(frame);
                self.known.insert(frame, number);
                number
            }
        };
        if let (Some(slot), Some(bytes)) = (self.numbers.get_mut(place), self.lengths.get_mut(place)) {
            // At most 15.
            (*slot, *bytes) = (number, length as u8);
        }
        true
    }
}

struct Search<'a> {
    stretches: Vec<Stretch<'a>>,
    frames: Frames,
    /// Jumps to where a table leads, and the frame there.
    jumps: BTreeMap<u64, Frame>,
    entries: BTreeSet<u64>,
    /// Functions that do not return: what follows a call of theirs is another path's, with another frame.
    endless: HashSet<u64>,
}

impl<'a> Search<'a> {
    fn stretch(&self, address: u64) -> Option<Stretch<'a>> {
        let index = self.stretches.partition_point(|stretch| stretch.start <= address).checked_sub(1)?;
        self.stretches.get(index).copied().filter(|stretch| address < stretch.end())
    }

    fn add_entry(&mut self, address: u64) {
        if self.entries.len() < MAX_ENTRIES && self.stretch(address).is_some() {
            self.entries.insert(address);
        }
    }

    fn find_entries<'data, R: ReadRef<'data>>(&mut self, elf: &Elf<'data, R>) {
        elf.functions(|address| self.add_entry(address));
        for stretch in self.stretches.clone() {
            let mut position = 0;
            while position < stretch.code.len() {
                let address = stretch.start + position as u64;
                let Some(instruction) = stretch.at(address) else {
                    position += 1;
                    continue;
                };
                position += instruction.len();
                self.look(&instruction, elf.fixed);
            }
        }
        elf.pointers(MAX_DATA, |address| self.add_entry(address));
    }

    /// Functions that an instruction calls, or whose address it takes.
    fn look(&mut self, instruction: &Instruction, fixed: bool) {
        if instruction.is_call_near() && instruction.op0_kind() == OpKind::NearBranch64 {
            self.add_entry(instruction.near_branch_target());
        } else if instruction.mnemonic() == Mnemonic::Lea && instruction.is_ip_rel_memory_operand() {
            self.add_entry(instruction.ip_rel_memory_address());
        } else if fixed
            && instruction.mnemonic() == Mnemonic::Mov
            && instruction.op1_kind() == OpKind::Immediate32
        {
            self.add_entry(u64::from(instruction.immediate32()));
        }
    }

    fn follow(&mut self, program: u64) {
        if self.stretch(program).is_some() {
            self.path(program, Frame::FIRST);
        }
        let entries: Vec<u64> = self.entries.iter().copied().collect();
        for &entry in &entries {
            self.path(entry, Frame::ENTRY);
        }
        // What only a jump's table leads to, between one entry and the next.
        let ends = entries.iter().skip(1).copied().chain([u64::MAX]);
        for (&entry, end) in entries.iter().zip(ends) {
            self.rest(entry, end);
        }
    }

    /// Follows every path from an address. What a jump leads to goes before what a call returns to: the call may not
    /// return, and what stands behind it may be reached with another frame.
    fn path(&mut self, start: u64, frame: Frame) {
        let mut jumped = vec![(start, frame)];
        let mut returned: BinaryHeap<Reverse<(u64, Option<u64>, Frame)>> = BinaryHeap::new();
        loop {
            let (mut address, mut frame, caller) = if let Some((address, frame)) = jumped.pop() {
                (address, frame, None)
            } else if let Some(Reverse((address, callee, frame))) = returned.pop() {
                (address, frame, callee)
            } else {
                return;
            };
            let Some(stretch) = self.stretch(address) else { continue };
            if let Some((known, _)) = self.frames.at(stretch.place(address)) {
                if known != frame {
                    self.endless.extend(caller);
                }
                continue;
            }
            while self.frames.at(stretch.place(address)).is_none() {
                let Some(instruction) = stretch.at(address) else { break };
                if !self.frames.set(stretch.place(address), frame, instruction.len()) {
                    return;
                }
                address = instruction.next_ip();
                let flow = instruction.flow_control();
                if matches!(flow, FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch) {
                    let target = instruction.near_branch_target();
                    if jumped.len() < MAX_WAITING && self.is_inside(start, target) {
                        jumped.push((target, frame));
                    }
                }
                match flow {
                    FlowControl::Next
                    | FlowControl::ConditionalBranch
                    | FlowControl::Interrupt
                    | FlowControl::XbeginXabortXend => {}
                    FlowControl::Call | FlowControl::IndirectCall => {
                        let is_direct = instruction.op0_kind() == OpKind::NearBranch64;
                        let callee = is_direct.then(|| instruction.near_branch_target());
                        let returns = callee.is_none_or(|callee| !self.endless.contains(&callee));
                        if returns && returned.len() < MAX_WAITING && self.is_inside(start, address) {
                            returned.push(Reverse((address, callee, frame)));
                        }
                        break;
                    }
                    FlowControl::IndirectBranch => {
                        self.jumps.insert(instruction.ip(), frame);
                        break;
                    }
                    FlowControl::UnconditionalBranch | FlowControl::Return | FlowControl::Exception => break,
                }
                frame = frame.after(&instruction);
                if !self.is_inside(start, address) {
                    break;
                }
            }
        }
    }

    /// Where another function begins is that function's affair.
    fn is_inside(&self, start: u64, target: u64) -> bool {
        target == start || !self.entries.contains(&target)
    }

    fn rest(&mut self, entry: u64, end: u64) {
        let Some(stretch) = self.stretch(entry) else { return };
        let end = end.min(stretch.end());
        let mut address = entry;
        let mut before = None;
        while address < end {
            if let Some((frame, length)) = self.frames.at(stretch.place(address)) {
                before = Some((address, frame));
                address += u64::from(length);
                continue;
            }
            let Some(instruction) = stretch.at(address) else {
                address += 1;
                before = None;
                continue;
            };
            let is_padding = matches!(instruction.mnemonic(), Mnemonic::Nop | Mnemonic::Int3)
                || instruction.code() == Code::Add_rm8_r8;
            if is_padding {
                address = instruction.next_ip();
                before = None;
                continue;
            }
            let after_call = before
                .filter(|(address, _)| {
                    stretch.at(*address).is_some_and(|i| i.is_call_near() || i.is_call_near_indirect())
                })
                .map(|(_, frame)| frame);
            let table = || self.jumps.range(entry..end).next().map(|(_, frame)| *frame);
            // A call that does return; where a jump's table leads to, if the function has one; else a function that
            // nobody is seen to call.
            let frame = after_call.or_else(table).unwrap_or(Frame::ENTRY);
            self.path(address, frame);
            if self.frames.at(stretch.place(address)).is_none() {
                address = instruction.next_ip();
                before = None;
            }
        }
    }

    fn rules(self) -> Vec<(u64, Rule)> {
        let mut rules: Vec<(u64, Rule)> = Vec::new();
        for stretch in &self.stretches {
            let mut end = stretch.start;
            for address in stretch.start..stretch.end() {
                let Some((frame, length)) = self.frames.at(stretch.place(address)) else {
                    if address == end && rules.last().is_some_and(|last| last.1.cfa != CFA_NONE) {
                        rules.push((address, Rule::of(CFA_NONE)));
                    }
                    continue;
                };
                let rule = frame.rule();
                if rules.last().is_none_or(|last| last.1 != rule) {
                    rules.push((address, rule));
                }
                end = address + u64::from(length);
            }
            rules.push((stretch.end(), Rule::of(CFA_NONE)));
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use honeyguide_common::unwind::{CFA_END, CFA_REGISTER, FP_AT_CFA, FP_SAME, X86_RSP};

    use super::*;
    use crate::unwind::compile;

    /// Of files that do have unwind information, what is read off their code instead.
    fn agreement(path: &str) -> Option<(f64, usize)> {
        if !Path::new(path).exists() {
            return None;
        }
        let bytes = fs::read(path).unwrap();
        let elf = Elf::parse(&*bytes).unwrap();
        let table = compile(&elf).unwrap();
        let code = elf.segments.iter().filter(|segment| segment.executable);
        let code: Vec<_> = code.map(|segment| (segment.address, segment.address + segment.size)).collect();
        let (mut same, mut all) = (0_usize, 0_usize);
        let found = rules(&elf, &code);
        // Wherever one of the two says something new.
        let theirs = table.rows.iter().map(|row| table.base + u64::from(row.offset));
        for address in found.iter().map(|rule| rule.0).chain(theirs) {
            let Some(behind) = found.partition_point(|rule| rule.0 <= address).checked_sub(1) else {
                continue;
            };
            let rule = found[behind].1;
            // What a described function does, and not where a thread begins.
            let Some(described) = table.rule(address).filter(|described| described.cfa == CFA_REGISTER)
            else {
                continue;
            };
            if rule.cfa == CFA_NONE || rule.cfa == CFA_END {
                continue;
            }
            all += 1;
            // Where both registers lead there, either is right: only one of them is told.
            let right = described.register != rule.register || described.cfa_offset == rule.cfa_offset;
            // After it was restored compilers still say where it was saved, and there it still is.
            let stale = rule.fp == FP_SAME
                && described.fp == FP_AT_CFA
                && rule.register == X86_RSP
                && described.fp_offset < -rule.cfa_offset;
            let fp = stale || described.fp == rule.fp && described.fp_offset == rule.fp_offset;
            same += usize::from(right && fp);
        }
        Some((100.0 * same as f64 / all.max(1) as f64, all))
    }

    #[test]
    fn what_is_read_off_the_code_is_what_the_compiler_says() {
        let files = [
            ("/lib/x86_64-linux-gnu/libc.so.6", 99.0),
            // To where an exception lands there is no jump in the code.
            ("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", 95.0),
            ("/usr/bin/bash", 99.0),
            ("/usr/sbin/nginx", 99.0),
            ("/usr/lib/postgresql/15/bin/postgres", 99.0),
        ];
        let mut compared = 0;
        for (file, least) in files {
            let Some((percent, rows)) = agreement(file) else { continue };
            assert!(percent > least && rows > 1_000, "{file}: {percent:.2} % of {rows}");
            compared += 1;
        }
        assert!(compared > 0);
    }
}
