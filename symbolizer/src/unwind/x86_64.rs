//! DWARF's rules of x86_64 as the kernel follows them (System V ABI, AMD64 supplement, 3.6).

use gimli::{
    CfaRule, EndianSlice, Expression, LittleEndian, Operation, Register, RegisterRule, UnwindExpression,
    UnwindSection, UnwindTableRow, X86_64,
};
use honeyguide_common::unwind::{
    CFA_DEREF, CFA_END, CFA_PLT, CFA_REGISTER, CFA_SIGNAL, CFA_UNSUPPORTED, FP_AT_CFA, FP_AT_FP, FP_SAME,
    FP_UNDEFINED, Rule, X86_RBP, X86_REGISTERS, X86_RSP,
};

use super::cfi::Slice;

const ENCODING: gimli::Encoding =
    gimli::Encoding { address_size: 8, format: gimli::Format::Dwarf32, version: 4 };
const UNSUPPORTED: Rule = Rule::of(CFA_UNSUPPORTED);

/// The rule of a row.
pub(super) fn rule<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    row: &UnwindTableRow<usize>,
    signal: bool,
) -> Rule {
    match row.register(X86_64::RA) {
        Some(RegisterRule::Undefined) => return Rule::of(CFA_END),
        Some(RegisterRule::Offset(-8)) => {}
        // All of them describe the same `ucontext`.
        _ if signal => return Rule::of(CFA_SIGNAL),
        _ => return UNSUPPORTED,
    }
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => based(CFA_REGISTER, *register, *offset, 0),
        CfaRule::Expression(expression) => cfa_expression(section, *expression),
    };
    let Some(mut rule) = cfa else { return UNSUPPORTED };
    (rule.fp, rule.fp_offset) = match row.register(X86_64::RBP) {
        None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => (FP_SAME, 0),
        Some(RegisterRule::Offset(offset)) => {
            i32::try_from(offset).map_or((FP_UNDEFINED, 0), |offset| (FP_AT_CFA, offset))
        }
        Some(RegisterRule::Expression(expression)) => match operations(section, expression).as_deref() {
            Some([Operation::RegisterOffset { register, offset, .. }])
                if register.0 == u16::from(X86_RBP) =>
            {
                i32::try_from(*offset).map_or((FP_UNDEFINED, 0), |offset| (FP_AT_FP, offset))
            }
            _ => (FP_UNDEFINED, 0),
        },
        Some(_) => (FP_UNDEFINED, 0),
    };
    rule
}

fn based(cfa: u8, register: Register, offset: i64, extra: i64) -> Option<Rule> {
    let number = u8::try_from(register.0).ok().filter(|number| usize::from(*number) < X86_REGISTERS)?;
    let (cfa_offset, extra) = (i32::try_from(offset).ok()?, i32::try_from(extra).ok()?);
    Some(Rule { register: number, cfa_offset, extra, ..Rule::of(cfa) })
}

/// Of all the expressions there could be, those that compilers, linkers and assembly in libraries use.
fn cfa_expression<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    expression: UnwindExpression<usize>,
) -> Option<Rule> {
    use Operation::{And, Deref, Ge, Plus, PlusConstant, RegisterOffset, Shl, UnsignedConstant};
    match operations(section, expression)?.as_slice() {
        // A realigned stack: gcc's, and OpenSSL's assembly.
        [RegisterOffset { register, offset, .. }, Deref { .. }] => based(CFA_DEREF, *register, *offset, 0),
        [RegisterOffset { register, offset, .. }, Deref { .. }, PlusConstant { value }] => {
            based(CFA_DEREF, *register, *offset, i64::try_from(*value).ok()?)
        }
        [RegisterOffset { register, offset, .. }] => based(CFA_REGISTER, *register, *offset, 0),
        // A PLT: rsp + 8 + ((rip & 15) >= 11) * 8. The 11 depends on the entries' kind.
        [
            RegisterOffset { register: base, offset, .. },
            RegisterOffset { register: X86_64::RA, offset: 0, .. },
            UnsignedConstant { value: 15 },
            And,
            UnsignedConstant { value: from },
            Ge,
            UnsignedConstant { value: 3 },
            Shl,
            Plus,
        ] if base.0 == u16::from(X86_RSP) => based(CFA_PLT, *base, *offset, i64::try_from(*from).ok()?),
        _ => None,
    }
}

/// At most so many as are looked at.
fn operations<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    expression: UnwindExpression<usize>,
) -> Option<Vec<Operation<Slice<'a>>>> {
    const MOST: usize = 9;
    let expression: Expression<EndianSlice<'a, LittleEndian>> = expression.get(section).ok()?;
    let mut left = expression.operations(ENCODING);
    let mut found = Vec::with_capacity(MOST);
    while let Some(operation) = left.next().ok()? {
        if found.len() == MOST {
            return None;
        }
        found.push(operation);
    }
    Some(found)
}
