//! The scheduler's hooks that tell of time off the CPU.

use anyhow::{Context as _, Result};
use aya::{Btf as KernelTypes, Ebpf, programs::BtfTracePoint};
use honeyguide_common::unwind::{PROGRAM_NATIVE, PROGRAM_PYTHON};

use super::{Event, hooks, profiler};

const SWITCH: &str = "off_cpu_switch";
const WAKE: &str = "off_cpu_wake";

/// What a kernel refuses of interpreters is noted in `missing`; native stacks do without.
pub(super) fn load(ebpf: &mut Ebpf, types: &KernelTypes, missing: &mut Vec<String>) -> Result<()> {
    load_program(ebpf, types, WAKE, "sched_waking")?;
    load_program(ebpf, types, SWITCH, "sched_switch")?;
    load_unwinder(ebpf, types, "off_cpu_native", PROGRAM_NATIVE)?;
    if let Err(error) = load_unwinder(ebpf, types, "off_cpu_python", PROGRAM_PYTHON) {
        missing.push(profiler::without_python(&error));
    }
    Ok(())
}

/// Nobody is told to be blocked before wake-ups are seen.
pub(super) fn attach(ebpf: &mut Ebpf) -> Result<Event> {
    for name in [WAKE, SWITCH] {
        program(ebpf, name)?.attach().with_context(|| format!("{name} does not attach"))?;
    }
    Ok(Event::Switches)
}

/// Nobody is told to be blocked any more.
pub(super) fn stop(ebpf: &mut Ebpf) -> Result<()> {
    for name in [SWITCH, WAKE] {
        program(ebpf, name)?.unload()?;
    }
    Ok(())
}

/// A program calls those alone that are for the same hook.
fn load_unwinder(ebpf: &mut Ebpf, types: &KernelTypes, name: &str, place: u32) -> Result<()> {
    load_program(ebpf, types, name, "sched_switch")?;
    let fd = program(ebpf, name)?.fd()?.try_clone()?;
    profiler::store(ebpf, "OFF_CPU_UNWINDERS", name, place, &fd)
}

fn load_program(ebpf: &mut Ebpf, types: &KernelTypes, name: &str, hook: &str) -> Result<()> {
    program(ebpf, name)?.load(hook, types).map_err(|error| hooks::refusal(name, error))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name} in the object"))?;
    Ok(program.try_into()?)
}
