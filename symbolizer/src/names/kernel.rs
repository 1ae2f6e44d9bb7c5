//! The running kernel's functions.

use std::collections::HashMap;

use blazesym::symbolize::{
    Input, Symbolized, Symbolizer,
    source::{Kernel, Source},
};

/// Answers that are kept. The functions of a busy machine's stacks are some thousands.
const MAX_KNOWN: usize = 65_536;

/// Names by address, from `/proc/kallsyms`; modules included.
#[derive(Debug)]
pub struct KernelNames {
    symbolizer: Symbolizer,
    known: HashMap<u64, Option<Box<str>>>,
}

impl Default for KernelNames {
    fn default() -> Self {
        let symbolizer = Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false).build();
        Self { symbolizer, known: HashMap::new() }
    }
}

impl KernelNames {
    /// The function that holds `address`; `None` where it is not known, or the kernel does not show its addresses.
    pub fn find(&mut self, address: u64) -> Option<&str> {
        if !self.known.contains_key(&address) {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            let name = self.look(address);
            self.known.insert(address, name);
        }
        self.known.get(&address)?.as_deref()
    }

    fn look(&self, address: u64) -> Option<Box<str>> {
        let source = Source::Kernel(Kernel { debug_syms: false, ..Kernel::default() });
        let found = self.symbolizer.symbolize_single(&source, Input::AbsAddr(address)).ok()?;
        match found {
            Symbolized::Sym(symbol) => Some(symbol.name.as_ref().into()),
            Symbolized::Unknown(_) => None,
        }
    }
}
