//! Which programs go where in one file.

use iced_x86::Register;

use super::{
    elf::{Elf, Function},
    sites::{Site, entry, exits, returns, tails},
};

/// Probes at the exits of one function.
const MAX_EXITS: usize = 32;

/// The x86_64 System V calling convention.
const ARGUMENTS: [Register; 4] = [Register::RDI, Register::RSI, Register::RDX, Register::RCX];

/// A function of a C library to probe.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Target {
    pub(in crate::load) function: &'static str,
    /// What its programs are told of it.
    pub(in crate::load) cookie: Option<u64>,
    /// The program at its entry.
    pub(in crate::load) entry: &'static str,
    /// The one at its exits.
    pub(in crate::load) exits: Option<&'static str>,
}

/// A program at an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::load) struct Placement {
    pub(in crate::load) function: String,
    pub(in crate::load) program: &'static str,
    /// Of the instruction, in the file.
    pub(in crate::load) at: u64,
    pub(in crate::load) site: Site,
    /// The function that has the site, where it is another.
    pub(in crate::load) within: Option<&'static str>,
    /// What the program is told of this place (`bpf_get_attach_cookie`, Linux 5.15).
    pub(in crate::load) cookie: Option<u64>,
}

/// Why a function that is there is not probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) enum Missed {
    /// There are no instructions to read.
    NoCode,
    /// It has no instruction that every return passes.
    NoExit,
    /// Go before 1.17: arguments are on the stack.
    OldConvention,
    /// The compiler has put the body of one of a pair into its callers.
    Inlined,
    /// The kernel refused the probe.
    Refused,
}

/// Everything that goes into one file.
#[derive(Clone, Debug, Default)]
pub(in crate::load) struct Plan {
    pub(in crate::load) placements: Vec<Placement>,
    pub(in crate::load) missed: Vec<(String, Missed)>,
}

impl Missed {
    pub(in crate::load) const ALL: [Self; 4] =
        [Self::NoCode, Self::NoExit, Self::OldConvention, Self::Refused];

    #[must_use]
    pub(in crate::load) const fn name(self) -> &'static str {
        match self {
            Self::NoCode => "no_code",
            Self::NoExit => "no_exit",
            Self::OldConvention => "old_convention",
            Self::Inlined => "inlined",
            Self::Refused => "refused",
        }
    }
}

impl Plan {
    /// The functions of a C library that are defined in the file.
    pub(in crate::load) fn of(elf: &Elf, targets: &[Target]) -> Self {
        let mut plan = Self::default();
        let names: Vec<&str> = targets.iter().map(|target| target.function).collect();
        for (target, function) in targets.iter().zip(elf.functions(&names)) {
            if let Some(function) = function {
                plan.add(elf, target, &function);
            }
        }
        plan
    }

    /// One function at its entry and its exits: all of them, or none.
    pub(in crate::load) fn add(&mut self, elf: &Elf, target: &Target, function: &Function) {
        let Some(entry) = entry(&function.code, function.address, &ARGUMENTS) else {
            self.miss(target.function, Missed::NoCode);
            return;
        };
        let exits = if target.exits.is_some() { all_exits(elf, function) } else { Vec::new() };
        if target.exits.is_some() && exits.is_empty() {
            self.miss(target.function, Missed::NoExit);
            return;
        }
        self.place(target.function, target.entry, function, entry, target.cookie);
        for (site, program) in exits.into_iter().zip(std::iter::repeat(target.exits)) {
            if let Some(program) = program {
                self.place(target.function, program, function, site, target.cookie);
            }
        }
    }

    pub(in crate::load) fn place(
        &mut self,
        name: &str,
        program: &'static str,
        function: &Function,
        site: Site,
        cookie: Option<u64>,
    ) {
        let at = function.file_offset.wrapping_add(site.offset);
        self.placements.push(Placement {
            function: name.to_owned(),
            program,
            at,
            site,
            within: None,
            cookie,
        });
    }

    /// A place in a function that every call of the named one passes.
    pub(in crate::load) fn place_within(
        &mut self,
        name: &str,
        within: &'static str,
        program: &'static str,
        function: &Function,
        site: Site,
        cookie: u64,
    ) {
        self.place(name, program, function, site, Some(cookie));
        if let Some(placement) = self.placements.last_mut() {
            placement.within = Some(within);
        }
    }

    pub(in crate::load) fn extend(&mut self, other: Self) {
        self.placements.extend(other.placements);
        self.missed.extend(other.missed);
    }

    pub(in crate::load) fn has(&self, program: &str) -> bool {
        self.placements.iter().any(|placement| placement.program == program)
    }

    pub(in crate::load) fn miss(&mut self, name: &str, why: Missed) {
        self.missed.push((name.to_owned(), why));
    }

    /// For the user's eyes: each function, and the sites it has or why it has none.
    pub(in crate::load) fn describe(&self) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = Vec::new();
        for placement in &self.placements {
            let mut words = placement.site.to_string();
            if let Some(within) = placement.within {
                words += &format!(" in {within}");
            }
            match lines.last_mut() {
                Some((name, sites)) if *name == placement.function => {
                    *sites += ", ";
                    *sites += &words;
                }
                _ => lines.push((placement.function.clone(), words)),
            }
        }
        lines.extend(
            self.missed.iter().map(|(name, why)| (name.clone(), format!("not probed: {}", why.name()))),
        );
        lines
    }
}

/// A function that ends by a jump to another returns there.
fn all_exits(elf: &Elf, function: &Function) -> Vec<Site> {
    let mut sites = exits(&function.code, function.address);
    for address in tails(&function.code, function.address) {
        let Some(tail) = elf.code_at(address) else { continue };
        let distance = tail.file_offset.wrapping_sub(function.file_offset);
        let found = returns(&tail.code, tail.address).into_iter();
        sites.extend(found.map(|site| Site { offset: site.offset.wrapping_add(distance), ..site }));
    }
    sites.truncate(MAX_EXITS);
    sites
}
