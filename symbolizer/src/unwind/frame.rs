//! What an x86_64 instruction does to its function's frame.

use honeyguide_common::unwind::{
    CFA_END, CFA_NONE, CFA_REGISTER, FP_AT_CFA, FP_SAME, FP_UNDEFINED, Rule, X86_RBP, X86_RSP,
};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

/// Where the frame is before an instruction runs, seen from the stack pointer before the call (DWARF's CFA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Frame {
    /// CFA - rsp, where it is known.
    sp: Option<i32>,
    /// CFA - rbp, where rbp is the function's frame pointer.
    bp: Option<i32>,
    fp: Fp,
    /// A thread's first function.
    first: bool,
}

/// The caller's rbp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Fp {
    /// In rbp still.
    Same,
    /// At CFA + this.
    Saved(i32),
    Lost,
}

impl Frame {
    /// At a function's first instruction: the return address has just been pushed.
    pub(super) const ENTRY: Self = Self { sp: Some(8), bp: None, fp: Fp::Same, first: false };
    /// Where a program begins: there is no caller.
    pub(super) const FIRST: Self = Self { first: true, ..Self::ENTRY };

    pub(super) fn rule(&self) -> Rule {
        if self.first {
            return Rule::of(CFA_END);
        }
        let (register, cfa_offset) = match (self.sp, self.bp) {
            (Some(offset), _) => (X86_RSP, offset),
            (None, Some(offset)) => (X86_RBP, offset),
            (None, None) => return Rule::of(CFA_NONE),
        };
        let (fp, fp_offset) = match self.fp {
            Fp::Same => (FP_SAME, 0),
            Fp::Saved(offset) => (FP_AT_CFA, offset),
            Fp::Lost => (FP_UNDEFINED, 0),
        };
        Rule { register, cfa_offset, fp, fp_offset, ..Rule::of(CFA_REGISTER) }
    }

    /// After `instruction`, which does not end the path.
    pub(super) fn after(mut self, instruction: &Instruction) -> Self {
        match instruction.mnemonic() {
            Mnemonic::Push => {
                let size = -instruction.stack_pointer_increment();
                self.sp = moved(self.sp, size);
                if instruction.op0_register() == Register::RBP
                    && let (Fp::Same, Some(sp)) = (self.fp, self.sp)
                {
                    self.fp = Fp::Saved(-sp);
                }
            }
            Mnemonic::Pushfq => self.sp = moved(self.sp, 8),
            Mnemonic::Popfq => self.sp = moved(self.sp, -8),
            Mnemonic::Pop => {
                let at = self.sp;
                self.sp = moved(self.sp, -instruction.stack_pointer_increment());
                match instruction.op0_register() {
                    Register::RBP => self.restore(at.map(|sp| -sp)),
                    Register::RSP => self.sp = None,
                    _ => {}
                }
            }
            Mnemonic::Leave => {
                let at = self.bp;
                self.sp = moved(self.bp, -8);
                self.restore(at.map(|bp| -bp));
            }
            Mnemonic::Enter => {
                self.sp = None;
                self.clobber(Register::RBP);
            }
            Mnemonic::Mov => self.moved_to(instruction),
            Mnemonic::Lea => self.loaded(instruction),
            Mnemonic::Add | Mnemonic::Sub => self.added(instruction),
            // Aligning: the frame pointer is what is left.
            Mnemonic::And if whole(instruction.op0_register()) == Register::RSP => self.sp = None,
            // A register that nobody has saved is cleared where there is nobody to save it for.
            Mnemonic::Xor
                if whole(instruction.op0_register()) == Register::RBP
                    && whole(instruction.op1_register()) == Register::RBP
                    && self.fp == Fp::Same =>
            {
                self.first = true;
            }
            mnemonic => {
                if instruction.op0_kind() == OpKind::Register && !only_reads(mnemonic) {
                    self.clobber(whole(instruction.op0_register()));
                }
                if mnemonic == Mnemonic::Xchg && instruction.op1_kind() == OpKind::Register {
                    self.clobber(whole(instruction.op1_register()));
                }
            }
        }
        self
    }

    fn moved_to(&mut self, instruction: &Instruction) {
        let (to, from) = (instruction.op0_register(), instruction.op1_register());
        if instruction.op0_kind() == OpKind::Memory {
            // `mov %rbp, 8(%rsp)`: saved without a push.
            if from == Register::RBP
                && self.fp == Fp::Same
                && let Some(sp) = self.sp
                && let Some(offset) = beside(instruction, Register::RSP)
            {
                self.fp = offset.checked_sub(sp).map_or(Fp::Lost, Fp::Saved);
            }
            return;
        }
        if instruction.op0_kind() != OpKind::Register {
            return;
        }
        match (to, from) {
            (Register::RBP, Register::RSP) => {
                self.clobber(Register::RBP);
                self.bp = self.sp;
            }
            (Register::RSP, Register::RBP) => self.sp = self.bp,
            (Register::RBP, _) if instruction.op1_kind() == OpKind::Memory => {
                let at =
                    beside(instruction, Register::RSP).zip(self.sp).and_then(|(o, sp)| o.checked_sub(sp));
                self.restore(at);
            }
            _ => self.clobber(whole(to)),
        }
    }

    fn loaded(&mut self, instruction: &Instruction) {
        let from_sp = beside(instruction, Register::RSP).zip(self.sp).and_then(|(o, sp)| sp.checked_sub(o));
        let from_bp = beside(instruction, Register::RBP).zip(self.bp).and_then(|(o, bp)| bp.checked_sub(o));
        match instruction.op0_register() {
            Register::RSP => self.sp = from_sp.or(from_bp),
            Register::RBP => {
                self.clobber(Register::RBP);
                // A frame pointer into the middle of its frame.
                self.bp = from_sp;
            }
            to => self.clobber(whole(to)),
        }
    }

    fn added(&mut self, instruction: &Instruction) {
        let to = instruction.op0_register();
        if instruction.op0_kind() != OpKind::Register {
            return;
        }
        if to != Register::RSP {
            self.clobber(whole(to));
            return;
        }
        let immediate = match instruction.op1_kind() {
            OpKind::Immediate8to64 | OpKind::Immediate32to64 => {
                i32::try_from(instruction.immediate(1).cast_signed()).ok()
            }
            _ => None,
        };
        let sign = if instruction.mnemonic() == Mnemonic::Sub { 1 } else { -1 };
        self.sp = immediate.and_then(|immediate| moved(self.sp, immediate.checked_mul(sign)?));
    }

    /// rbp is read from CFA + `at`.
    fn restore(&mut self, at: Option<i32>) {
        self.bp = None;
        self.fp = match (self.fp, at) {
            (Fp::Saved(saved), Some(at)) if saved == at => Fp::Same,
            (Fp::Same, _) => Fp::Lost,
            (other, _) => other,
        };
    }

    /// A register holds something else.
    fn clobber(&mut self, register: Register) {
        match register {
            Register::RSP => self.sp = None,
            Register::RBP => {
                self.bp = None;
                if self.fp == Fp::Same {
                    self.fp = Fp::Lost;
                }
            }
            _ => {}
        }
    }
}

/// The distance after the stack has grown by `bytes`.
fn moved(distance: Option<i32>, bytes: i32) -> Option<i32> {
    distance?.checked_add(bytes)
}

/// The displacement of a memory operand at a register and nothing else.
fn beside(instruction: &Instruction, base: Register) -> Option<i32> {
    let is = instruction.memory_base() == base && instruction.memory_index() == Register::None;
    is.then(|| i32::try_from(instruction.memory_displacement64().cast_signed()).ok()).flatten()
}

fn whole(register: Register) -> Register {
    if register == Register::None { register } else { register.full_register() }
}

fn only_reads(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Cmp
            | Mnemonic::Test
            | Mnemonic::Bt
            | Mnemonic::Nop
            | Mnemonic::Call
            | Mnemonic::Jmp
            | Mnemonic::Out
    )
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::*;

    /// The rules after each instruction of some code.
    #[track_caller]
    fn check(code: &[u8], expected: &[(u8, i32, Option<i32>)]) {
        let mut frame = Frame::ENTRY;
        let mut rules = Vec::new();
        for instruction in Decoder::with_ip(64, code, 0x1000, DecoderOptions::NONE) {
            frame = frame.after(&instruction);
            let rule = frame.rule();
            rules.push((rule.register, rule.cfa_offset, (rule.fp == FP_AT_CFA).then_some(rule.fp_offset)));
        }
        assert_eq!(rules, expected);
    }

    #[test]
    fn frame_pointers() {
        // push %rbp; mov %rsp,%rbp; and $-32,%rsp; sub $0x40,%rsp; leave
        check(
            &[0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xe4, 0xe0, 0x48, 0x83, 0xec, 0x40, 0xc9],
            &[(7, 16, Some(-16)), (7, 16, Some(-16)), (6, 16, Some(-16)), (6, 16, Some(-16)), (7, 8, None)],
        );
    }

    #[test]
    fn pushes_and_pops() {
        // push %rbx; push %rbp; push %r12; sub $0x10,%rsp; push $1; add $0x18,%rsp; pop %r12; pop %rbp; pop %rbx
        check(
            &[
                0x53, 0x55, 0x41, 0x54, 0x48, 0x83, 0xec, 0x10, 0x6a, 1, 0x48, 0x83, 0xc4, 0x18, 0x41, 0x5c,
                0x5d, 0x5b,
            ],
            &[
                (7, 16, None),
                (7, 24, Some(-24)),
                (7, 32, Some(-24)),
                (7, 48, Some(-24)),
                (7, 56, Some(-24)),
                (7, 32, Some(-24)),
                (7, 24, Some(-24)),
                (7, 16, None),
                (7, 8, None),
            ],
        );
    }

    #[test]
    fn a_register_saved_by_a_move() {
        // mov %rbp,-0x10(%rsp); sub $0x18,%rsp; mov %edi,%ebp; mov 8(%rsp),%rbp; lea 0x18(%rsp),%rsp
        check(
            &[
                0x48, 0x89, 0x6c, 0x24, 0xf0, 0x48, 0x83, 0xec, 0x18, 0x89, 0xfd, 0x48, 0x8b, 0x6c, 0x24, 8,
                0x48, 0x8d, 0x64, 0x24, 0x18,
            ],
            &[(7, 8, Some(-24)), (7, 32, Some(-24)), (7, 32, Some(-24)), (7, 32, None), (7, 8, None)],
        );
    }

    #[test]
    fn the_first_function_clears_the_frame_pointer() {
        let code = [0x31, 0xed, 0x48, 0x89, 0xe7];
        let mut frame = Frame::ENTRY;
        for instruction in &mut Decoder::with_ip(64, &code, 0, DecoderOptions::NONE) {
            frame = frame.after(&instruction);
        }
        assert_eq!(frame.rule().cfa, CFA_END);
    }
}
