//! Call frame information to rows: every function's description, in the order of addresses.

use std::{iter::Peekable, vec};

use gimli::{
    BaseAddresses, CieOrFde, CommonInformationEntry, DebugFrame, EhFrame, EndianSlice, FrameDescriptionEntry,
    LittleEndian, UnwindContext, UnwindOffset, UnwindSection,
};
use honeyguide_common::unwind::{CFA_NONE, PAGE_BITS, Rule};
use object::ReadRef;

use super::{
    Error, arm64,
    elf::{Architecture, Elf},
    synthesis,
    table::{Builder, Table},
    x86_64,
};

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// More functions than any program has.
const MAX_FUNCTIONS: usize = 8 << 20;
/// Bytes of instructions that are followed, the common ones counted for each function that shares them.
const MAX_INSTRUCTIONS: u64 = 1 << 30;

/// Where a function's description is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    pub(super) start: u64,
    pub(super) end: u64,
    /// In its section.
    pub(super) offset: usize,
    /// Of `.debug_frame`; `.eh_frame` goes first.
    debug: bool,
}

pub(super) fn compile<'data, R: ReadRef<'data>>(elf: &Elf<'data, R>) -> Result<Table, Error> {
    let code: Vec<(u64, u64)> = elf
        .segments
        .iter()
        .filter(|segment| segment.executable)
        .filter_map(|segment| Some((segment.address, segment.address.checked_add(segment.size)?)))
        .collect();
    let lowest = code.iter().map(|range| range.0).min().ok_or(Error::Nothing)?;
    let highest = code.iter().map(|range| range.1).max().ok_or(Error::Nothing)?;
    let base = lowest >> PAGE_BITS << PAGE_BITS;
    if highest - base > u64::from(u32::MAX) {
        return Err(Error::TooWide);
    }

    let eh_frame = elf.loaded_section(".eh_frame").or_else(|| elf.eh_frame_by_header());
    let debug_frame = elf.debug_section(".debug_frame")?;
    let (address, bytes) = eh_frame.unwrap_or_default();
    let eh_bases = BaseAddresses::default().set_eh_frame(address);
    let eh = EhFrame::new(bytes, LittleEndian);
    let mut debug = DebugFrame::new(debug_frame.as_deref().unwrap_or_default(), LittleEndian);
    debug.set_address_size(8);
    let debug_bases = BaseAddresses::default();

    let mut functions = Vec::new();
    let mut instructions = 0;
    collect(&eh, &eh_bases, false, &mut functions, &mut instructions)?;
    collect(&debug, &debug_bases, true, &mut functions, &mut instructions)?;
    functions
        .retain(|function| code.iter().any(|range| range.0 <= function.start && function.end <= range.1));
    functions.sort_unstable_by_key(|function| (function.start, function.debug, function.end));

    let gaps = gaps(&elf.code_ranges(), &functions);
    let synthesized = synthesis::rules(elf, &gaps);
    if functions.is_empty() && synthesized.is_empty() {
        return Err(Error::Nothing);
    }
    let mut rows = Rows {
        architecture: elf.architecture,
        synthesized: synthesized.into_iter().peekable(),
        builder: Builder::new(base),
        base,
        described: base,
        context: UnwindContext::new(),
    };
    for function in &functions {
        // Described already, by a neighbour or by the other section.
        if function.end <= rows.described {
            continue;
        }
        if function.debug {
            rows.add(&debug, &debug_bases, function)?;
        } else {
            rows.add(&eh, &eh_bases, function)?;
        }
    }
    rows.stop(u64::MAX)?;
    Ok(rows.builder.finish())
}

/// The code that no function describes. Both are in ascending order, but for what a hostile file makes of it.
fn gaps(code: &[(u64, u64)], functions: &[Function]) -> Vec<(u64, u64)> {
    let mut code = code.to_vec();
    code.sort_unstable();
    let mut gaps = Vec::new();
    let mut described = 0;
    let mut functions = functions.iter().peekable();
    for (start, end) in code {
        described = described.max(start);
        while let Some(function) = functions.next_if(|function| function.start < end) {
            if described < function.start {
                gaps.push((described, function.start));
            }
            described = described.max(function.end);
        }
        if described < end {
            gaps.push((described, end));
            described = end;
        }
    }
    gaps
}

/// Finds the functions that a section describes. What follows a contradiction is not read.
pub(super) fn collect<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    bases: &BaseAddresses,
    debug: bool,
    functions: &mut Vec<Function>,
    instructions: &mut u64,
) -> Result<(), Error> {
    let mut cies = Cies::default();
    let mut entries = section.entries(bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(function) = partial.parse(|section, bases, offset| cies.find(section, bases, offset)) else {
            continue;
        };
        *instructions += function.entry_len() as u64 + function.cie().entry_len() as u64;
        if *instructions > MAX_INSTRUCTIONS {
            return Err(Error::TooMuch(MAX_INSTRUCTIONS, "bytes of instructions"));
        }
        let (start, end) = (function.initial_address(), function.end_address());
        // A function that the linker dropped is left at address 0.
        if start == 0 || end <= start {
            continue;
        }
        if functions.len() == MAX_FUNCTIONS {
            return Err(Error::TooMuch(MAX_FUNCTIONS as u64, "functions"));
        }
        functions.push(Function { start, end, offset: function.offset(), debug });
    }
    Ok(())
}

/// The last common entry: functions that share one follow one another.
#[derive(Debug, Default)]
struct Cies<'a>(Option<CommonInformationEntry<Slice<'a>>>);

impl<'a> Cies<'a> {
    fn find<S: UnwindSection<Slice<'a>>>(
        &mut self,
        section: &S,
        bases: &BaseAddresses,
        offset: S::Offset,
    ) -> gimli::Result<CommonInformationEntry<Slice<'a>>> {
        if let Some(known) = self.0.as_ref().filter(|known| known.offset() == UnwindOffset::into(offset)) {
            return Ok(known.clone());
        }
        let found = section.cie_from_offset(bases, offset)?;
        self.0 = Some(found.clone());
        Ok(found)
    }
}

struct Rows {
    architecture: Architecture,
    /// What was read off the code where nothing is described.
    synthesized: Peekable<vec::IntoIter<(u64, Rule)>>,
    builder: Builder,
    base: u64,
    /// Up to here every address has been spoken of.
    described: u64,
    context: UnwindContext<usize>,
}

impl Rows {
    fn add<'a, S: UnwindSection<Slice<'a>>>(
        &mut self,
        section: &S,
        bases: &BaseAddresses,
        function: &Function,
    ) -> Result<(), Error>
    where
        S::Offset: UnwindOffset<usize>,
    {
        let offset = S::Offset::from(function.offset);
        let Ok(entry) = section.fde_from_offset(bases, offset, |section: &S, bases, offset| {
            section.cie_from_offset(bases, offset)
        }) else {
            return Ok(());
        };
        if function.start > self.described {
            self.stop(function.start)?;
        }
        self.rows(section, bases, &entry, function)?;
        self.described = function.end;
        Ok(())
    }

    fn rows<'a, S: UnwindSection<Slice<'a>>>(
        &mut self,
        section: &S,
        bases: &BaseAddresses,
        entry: &FrameDescriptionEntry<Slice<'a>>,
        function: &Function,
    ) -> Result<(), Error> {
        let signal = entry.is_signal_trampoline();
        let from = function.start.max(self.described);
        let Ok(mut table) = entry.rows(section, bases, &mut self.context) else {
            return self.builder.push(offset(self.base, from), Rule::of(CFA_NONE));
        };
        let mut at = from;
        loop {
            match table.next_row() {
                Ok(Some(row)) => {
                    let start = row.start_address().max(from);
                    if start >= function.end {
                        break;
                    }
                    if row.end_address() <= from && row.end_address() != row.start_address() {
                        continue;
                    }
                    let rule = match self.architecture {
                        Architecture::X86_64 => x86_64::rule(section, row, signal),
                        Architecture::Arm64 => arm64::rule(row, signal),
                    };
                    self.builder.push(offset(self.base, start), rule)?;
                    at = row.end_address();
                }
                Ok(None) => break,
                // What was said before the contradiction holds.
                Err(_) => {
                    let rest = at.clamp(from, function.end);
                    return self.builder.push(offset(self.base, rest), Rule::of(CFA_NONE));
                }
            }
        }
        Ok(())
    }

    /// Nothing is described from here on, up to `end`.
    fn stop(&mut self, end: u64) -> Result<(), Error> {
        self.builder.push(offset(self.base, self.described), Rule::of(CFA_NONE))?;
        while let Some((address, rule)) = self.synthesized.next_if(|(address, _)| *address < end) {
            // Of what was described meanwhile nothing is said twice.
            if address >= self.described {
                self.builder.push(offset(self.base, address), rule)?;
            }
        }
        Ok(())
    }
}

/// Within 4 GiB: every function lies in the segments, whose span was checked.
fn offset(base: u64, address: u64) -> u32 {
    u32::try_from(address.saturating_sub(base)).unwrap_or(u32::MAX)
}
