//! The scheduler's hooks that tell of time off the CPU.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::{
    Btf as KernelTypes, Ebpf,
    maps::{HashMap, MapData},
    programs::BtfTracePoint,
};
use honeyguide_common::{
    sample::{Blocked, FLAG_OFF_CPU, Sample},
    unwind::{PROGRAM_NATIVE, PROGRAM_PYTHON, PROGRAM_V8},
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use super::{Event, hooks, profiler};

const SIZE: usize = size_of::<Blocked>();
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
    if let Err(error) = load_unwinder(ebpf, types, "off_cpu_v8", PROGRAM_V8) {
        missing.push(profiler::without_javascript(&error));
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

/// Records of the threads that are blocked, and have been for `least`, at `now`: the user's part of their stacks, since
/// the kernel's is walked when they go on. To be asked after [`stop`].
pub(super) fn still_blocked(ebpf: &Ebpf, now: u64, least: Duration) -> Result<Vec<Vec<u8>>> {
    let table = ebpf.map("BLOCKED").context("no map BLOCKED")?;
    let table: HashMap<&MapData, u32, [u8; SIZE]> = HashMap::try_from(table)?;
    let threads = table.iter().filter_map(|entry| Blocked::read_from_bytes(&entry.ok()?.1).ok());
    Ok(threads.filter_map(|thread| record(&thread, now, least)).collect())
}

fn record(thread: &Blocked, now: u64, least: Duration) -> Option<Vec<u8>> {
    let end = if thread.woken == 0 { now } else { thread.woken };
    let spent = end.saturating_sub(thread.since);
    if thread.since == 0 || u128::from(spent) < least.as_nanos() {
        return None;
    }
    let mut sample: Sample = thread.sample;
    sample.header.time = end;
    sample.header.flags |= FLAG_OFF_CPU;
    sample.weight = spent;
    let words = thread.words.as_bytes().get(..sample.header.captured as usize)?;
    Some([sample.as_bytes(), words].concat())
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

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn a_thread_that_is_still_blocked_is_told_until_now() {
        let mut thread = Blocked::new_zeroed();
        thread.sample.header.captured = 16;
        thread.words[1] = 7;
        let least = Duration::from_nanos(50);
        assert_eq!(record(&thread, 100, least), None, "it runs");
        thread.since = 60;
        assert_eq!(record(&thread, 100, least), None, "not for long");
        thread.since = 40;
        let bytes = record(&thread, 100, least).unwrap();
        let (sample, words) = Sample::read_from_prefix(&bytes).unwrap();
        assert_eq!((sample.header.time, sample.weight, sample.header.flags), (100, 60, FLAG_OFF_CPU));
        assert_eq!(words, [0_u64, 7].as_bytes());
        // What it waited for has come, and a CPU has not.
        thread.woken = 95;
        let (sample, _) = Sample::read_from_prefix(&record(&thread, 100, least).unwrap()).unwrap();
        assert_eq!((sample.header.time, sample.weight), (95, 55));
        thread.sample.header.captured = 1 << 20;
        assert_eq!(record(&thread, 100, least), None);
    }
}
