//! Native and interpreted frames made one stack.

use std::sync::Arc;

use crate::profile::{
    model::{Interpreted, Place},
    named::{FrameKind, Line, Location},
};

/// The function that interprets; one call of it runs a frame, or several that called each other.
const EVALUATES: &str = "_PyEval_EvalFrameDefault";
/// What it calls where each instruction is a function that ends by jumping to the next one's (3.14,
/// `--with-tail-call-interp`).
const INSTRUCTION: &str = "_TAIL_CALL_";

/// Puts interpreted frames in the places of the native frames that run them. Both are innermost first.
///
/// Of whole stacks the outermost belong together: a call that has just begun has no frame of its own yet, and stays
/// native. Of others the innermost do, and what is left over comes after the last native frame.
pub(in crate::profile) fn mix(
    native: Vec<Arc<Location>>,
    interpreted: &[Interpreted],
    are_whole: bool,
) -> Vec<Arc<Location>> {
    if interpreted.is_empty() {
        return native;
    }
    let mut groups: Vec<&[Interpreted]> =
        interpreted.split_inclusive(|frame| frame.place == Place::Last).collect();
    // Below a thread's first frame there may be a mark more.
    if groups.last().is_some_and(|group| group.iter().all(|frame| frame.location.is_none())) {
        groups.pop();
    }
    let calls = native.iter().filter(|location| evaluates(location)).count();
    let (mut to_skip, mut groups) = (calls.saturating_sub(groups.len()), groups.into_iter().peekable());
    let mut surplus = groups.len().saturating_sub(calls);
    if !are_whole {
        (to_skip, surplus) = (0, 0);
    }
    let mut mixed = Vec::with_capacity(native.len() + interpreted.len());
    for location in native {
        if !evaluates(&location) || to_skip > 0 || groups.peek().is_none() {
            to_skip -= usize::from(to_skip > 0 && evaluates(&location));
            mixed.push(location);
            continue;
        }
        mixed.pop_if(|inner| is_native(inner, INSTRUCTION));
        let before = mixed.len();
        for group in groups.by_ref().take(1 + std::mem::take(&mut surplus)) {
            mixed.extend(group.iter().filter_map(|frame| frame.location.clone()));
        }
        if mixed.len() == before {
            mixed.push(location);
        }
    }
    mixed.extend(groups.flatten().filter_map(|frame| frame.location.clone()));
    mixed
}

/// V8's builtins, as its symbols name them, and those of them that do what bytecode says.
const BUILTIN: &str = "Builtins_";
const INTERPRETS: [&str; 2] = ["Handler", "InterpreterEntryTrampoline"];

/// Adds what a native frame stands for that belongs to `functions` of V8's, innermost first: the last one is the frame's,
/// the others were compiled into it.
///
/// Where `native` is the place that ran, the function may have called a builtin that makes no frame of its own. A function
/// that is in no script is a builtin itself, and has a more precise name as a symbol.
pub(in crate::profile) fn script(
    native: Arc<Location>,
    functions: Vec<Arc<Location>>,
    is_innermost: bool,
    mixed: &mut Vec<Arc<Location>>,
) {
    let is_script = functions.iter().any(|function| function.lines.iter().all(|line| line.file.is_some()));
    let called = |line: &Line| {
        line.function.starts_with(BUILTIN) && !INTERPRETS.iter().any(|end| line.function.ends_with(end))
    };
    let is_builtin = native.lines.iter().any(called);
    if functions.is_empty() || is_builtin && (is_innermost || !is_script) {
        mixed.push(native);
    }
    if is_script || !is_builtin {
        mixed.extend(functions);
    }
}

fn evaluates(location: &Location) -> bool {
    is_native(location, EVALUATES)
}

fn is_native(location: &Location, beginning: &str) -> bool {
    location.kind == FrameKind::Native
        && location.lines.iter().any(|line| line.function.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::named::tests::location;

    /// Frames innermost first; `|` ends a group.
    fn interpreted(text: &str) -> Vec<Interpreted> {
        let frame = |word: &str| {
            let name = word.trim_end_matches('|');
            let location = (!name.is_empty()).then(|| location(name, FrameKind::CPython));
            let place = if word.ends_with('|') { Place::Last } else { Place::Within };
            Interpreted { location, place }
        };
        text.split_whitespace().map(frame).collect()
    }

    fn check(native: &str, frames: &str, are_whole: bool, expect: &str) {
        let native = native.replace('E', EVALUATES);
        let native = native.split(' ').map(|name| location(name, FrameKind::Native)).collect();
        let mixed = mix(native, &interpreted(frames), are_whole);
        let names: Vec<_> = mixed.iter().map(|location| &*location.lines[0].function).collect();
        assert_eq!(names.join(" ").replace(EVALUATES, "E"), expect);
    }

    #[test]
    fn functions_of_scripts_take_the_place_of_what_runs_them() {
        let check = |native: &str, functions: &str, is_innermost: bool, expect: &str| {
            let functions = functions.split_whitespace().map(|name| {
                let mut location = (*location(name, FrameKind::V8)).clone();
                location.lines[0].file = (name.len() == 2).then(|| "app.js".into());
                Arc::new(location)
            });
            let mut mixed = Vec::new();
            script(location(native, FrameKind::Native), functions.collect(), is_innermost, &mut mixed);
            let names: Vec<_> = mixed.iter().map(|location| &*location.lines[0].function).collect();
            assert_eq!(names.join(" "), expect, "{native} {mixed:?}");
        };
        check("[anon]+0x1", "f1 f2", true, "f1 f2");
        check("[anon]+0x1", "", true, "[anon]+0x1");
        check("Builtins_LdaGlobalHandler", "f1", true, "f1");
        check("Builtins_InterpreterEntryTrampoline", "f1", false, "f1");
        // It has no frame of its own where it runs, and none where it is returned to.
        check("Builtins_StringAdd_CheckNone", "f1", true, "Builtins_StringAdd_CheckNone f1");
        check("Builtins_ArrayForEach", "forEach", false, "Builtins_ArrayForEach");
        // Without symbols the builtin's own function tells more.
        check("libnode.so+0x1", "map", false, "map");
    }

    #[test]
    fn a_native_frame_becomes_those_that_it_runs() {
        check("add E call E main", "g f| m|", true, "add g f call m main");
        check("E main", "f m |", true, "f m main");
        check("add main", "", true, "add main");
    }

    #[test]
    fn instructions_that_are_functions_are_the_interpreter() {
        check("_TAIL_CALL_ADD E add _TAIL_CALL_CALL E main", "g f| m|", true, "g f add m main");
        check("_TAIL_CALL_RESUME E main", "", true, "_TAIL_CALL_RESUME E main");
    }

    #[test]
    fn a_call_that_has_no_frame_yet_stays_native() {
        check("E call E main", "m|", true, "E call m main");
        check("E call E main", "| m|", true, "E call m main");
    }

    #[test]
    fn what_lies_below_the_first_frame_is_left_out() {
        check("E main", "m | |", true, "m main");
    }

    #[test]
    fn of_stacks_that_end_early_the_innermost_belong_together() {
        check("add E call", "g| f| m|", false, "add g call f m");
        check("E call E main", "g|", false, "g call E main");
        check("add", "m|", false, "add m");
    }

    #[test]
    fn frames_beyond_the_calls_are_kept_in_the_innermost() {
        check("E main", "g| m|", true, "g m main");
    }
}
