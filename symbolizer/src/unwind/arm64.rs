//! DWARF's rules of arm64 (AADWARF64): the same table, with the return address in x30 or beside the frame pointer.

use gimli::{AArch64, CfaRule, RegisterRule, UnwindTableRow};
use honeyguide_common::unwind::{
    CFA_END, CFA_REGISTER, CFA_SIGNAL, CFA_UNSUPPORTED, FP_AT_CFA, FP_SAME, FP_UNDEFINED, RA_AT_CFA,
    RA_IN_LINK_REGISTER, Rule,
};

/// The rule of a row. Pointer authentication codes are the walk's concern: they are bits of the address itself.
pub(super) fn rule(row: &UnwindTableRow<usize>, signal: bool) -> Rule {
    if signal {
        return Rule::of(CFA_SIGNAL);
    }
    let unsupported = Rule::of(CFA_UNSUPPORTED);
    let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return unsupported };
    let (Ok(number), Ok(cfa_offset)) = (u8::try_from(register.0), i32::try_from(*offset)) else {
        return unsupported;
    };
    let (ra, extra) = match row.register(AArch64::X30) {
        Some(RegisterRule::Undefined) => return Rule::of(CFA_END),
        None | Some(RegisterRule::SameValue) => (RA_IN_LINK_REGISTER, 0),
        Some(RegisterRule::Offset(offset)) => match i32::try_from(offset) {
            Ok(offset) => (RA_AT_CFA, offset),
            Err(_) => return unsupported,
        },
        Some(_) => return unsupported,
    };
    let (fp, fp_offset) = match row.register(AArch64::X29) {
        None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => (FP_SAME, 0),
        Some(RegisterRule::Offset(offset)) => {
            i32::try_from(offset).map_or((FP_UNDEFINED, 0), |offset| (FP_AT_CFA, offset))
        }
        Some(_) => (FP_UNDEFINED, 0),
    };
    Rule { register: number, fp, ra, cfa_offset, extra, fp_offset, ..Rule::of(CFA_REGISTER) }
}
