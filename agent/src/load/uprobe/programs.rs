//! The programs that probes run, in the object.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    programs::{
        UProbe,
        uprobe::{UProbeLink, UProbeLinkId},
    },
};
use log::debug;

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

/// Threads that take probes off at once.
const DETACHING: usize = 16;

/// Takes probes off, each of which the kernel waits for until no CPU can be in it any more: together they wait as long as one.
/// Meanwhile whoever begins to use their file is seen by some of them, and by nobody who could add others.
pub(in crate::load) fn detach(ebpf: &mut Ebpf, links: &mut Vec<(&'static str, UProbeLinkId)>) {
    let mut taken: Vec<UProbeLink> = Vec::with_capacity(links.len());
    for (name, link) in links.drain(..) {
        match program(ebpf, name).and_then(|probe| Ok(probe.take_link(link)?)) {
            Ok(link) => taken.push(link),
            Err(error) => debug!("{name} does not detach: {error:#}"),
        }
    }
    let share = taken.len().div_ceil(DETACHING).max(1);
    thread::scope(|scope| {
        while !taken.is_empty() {
            let some = taken.split_off(taken.len().saturating_sub(share));
            scope.spawn(move || drop(some));
        }
    });
}
