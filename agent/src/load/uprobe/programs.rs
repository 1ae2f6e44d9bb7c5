//! The programs that probes run, in the object.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, programs::UProbe};

use crate::load::hooks::refusal;

/// A probe's program, by its name.
pub(in crate::load) fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name} in the object"))?;
    Ok(program.try_into()?)
}

/// Loads programs on all CPUs, in the order of `names`: the verifier takes half a second for the largest, which are
/// best named first.
///
/// # Errors
/// Of those that do not load, one.
pub(in crate::load) fn load(ebpf: &mut Ebpf, names: &[&str]) -> Result<()> {
    let place = |name: &str| names.iter().position(|wanted| *wanted == name);
    let mut programs = Vec::new();
    for (name, program) in ebpf.programs_mut() {
        if let Some(place) = place(name) {
            let program: &mut UProbe = program.try_into()?;
            programs.push((place, program));
        }
    }
    ensure!(programs.len() == names.len(), "of {names:?} some are not in the object");
    programs.sort_unstable_by_key(|(place, _)| *place);
    let queue = Mutex::new(programs.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<()> {
        while let Some((place, program)) = next() {
            program.load().map_err(|error| refusal(names[place], error))?;
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(names.len());
    thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let own = work();
        others.into_iter().fold(own, |all, other| {
            all.and(other.join().unwrap_or_else(|_| Err(anyhow::anyhow!("loading has panicked"))))
        })
    })
}
