//! Parts of functions that a compiler keeps apart from the rest: what runs seldom (`function.cold`), or what a profile of
//! the program says so of. A stripped file has no symbols for them; their unwind information begins with a frame made.

use gimli::{BaseAddresses, CallFrameInstruction, EhFrame, LittleEndian, UnwindSection as _};
use iced_x86::{Decoder, DecoderOptions, FlowControl, OpKind};
use object::ReadRef;

use super::{
    cfi::{self, Slice},
    elf::{Architecture, Elf},
};

/// Parts of one file that are known.
const MAX_PARTS: usize = 1 << 18;
/// Bytes of a part that are looked at. Interpreters' are the longest.
pub(crate) const MAX_CODE: u64 = 1 << 20;

/// Where such parts are, in ascending order.
pub(crate) fn find<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>) -> Vec<(u64, u64)> {
    let Some((address, bytes)) = elf.loaded_section(".eh_frame").or_else(|| elf.eh_frame_by_header()) else {
        return Vec::new();
    };
    if elf.architecture != Architecture::X86_64 {
        return Vec::new();
    }
    let bases = BaseAddresses::default().set_eh_frame(address);
    let section = EhFrame::new(bytes, LittleEndian);
    let (mut functions, mut instructions) = (Vec::new(), 0);
    // What follows a contradiction is not known.
    let _ = cfi::collect(&section, &bases, false, &mut functions, &mut instructions);
    let mut parts: Vec<(u64, u64)> = functions
        .iter()
        .filter(|function| begins_with_a_frame(&section, &bases, function.offset))
        .map(|function| (function.start, function.end))
        .take(MAX_PARTS)
        .collect();
    parts.sort_unstable();
    parts
}

fn begins_with_a_frame(section: &EhFrame<Slice<'_>>, bases: &BaseAddresses, offset: usize) -> bool {
    let found = section.fde_from_offset(bases, offset.into(), |section, bases, offset| {
        section.cie_from_offset(bases, offset)
    });
    let Ok(function) = found else { return false };
    matches!(
        function.instructions(section, bases).next(),
        Ok(Some(
            CallFrameInstruction::DefCfa { .. }
                | CallFrameInstruction::DefCfaOffset { .. }
                | CallFrameInstruction::DefCfaRegister { .. }
        ))
    )
}

/// Where jumps of a part lead to outside of it. `code`: its first bytes, [`MAX_CODE`] at most.
pub(crate) fn jumps(code: &[u8], start: u64, end: u64) -> Vec<u64> {
    Decoder::with_ip(64, code, start, DecoderOptions::NONE)
        .into_iter()
        .filter(|instruction| {
            let jumps = matches!(
                instruction.flow_control(),
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
            );
            jumps && instruction.op0_kind() == OpKind::NearBranch64
        })
        .map(|instruction| instruction.near_branch64())
        .filter(|target| !(start..end).contains(target))
        .collect()
}
