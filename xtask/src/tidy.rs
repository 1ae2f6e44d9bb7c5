//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md that can be read off the source.

use std::{fs, process::Command};

use anyhow::{Result, bail};

use crate::{paths, process};

/// The longest a source file may be. Longer ones are named here, each with the reason why it stays whole.
const LONGEST: usize = 800;
const LONGER: [(&str, &str); 0] = [];

/// The files outside `ebpf` that may hold `unsafe`, each with the reason.
const UNSAFE: [(&str, &str); 5] = [
    ("agent/src/load/arena.rs", "unwind tables are memory that is shared with the kernel"),
    ("tests/src/bin/peer/calls.rs", "the system calls themselves are under test"),
    ("tests/src/guard.rs", "the parent-death signal and process groups have no safe form in std"),
    ("tests/src/proc.rs", "getrusage has no safe form in std"),
    ("tests/src/privilege.rs", "geteuid has no safe form in std"),
];

/// A name that only some directories may use.
struct Confined {
    /// Paths of the standard library or crates, as they are written in code.
    names: &'static [&'static str],
    /// Where the rule holds.
    within: &'static str,
    /// Where it does not. Empty: nowhere.
    except: &'static [&'static str],
    why: &'static str,
}

const CONFINED: [Confined; 3] = [
    Confined {
        names: &["opentelemetry_proto"],
        within: "agent/",
        except: &["agent/src/export/"],
        why: "only `export` names OTLP types",
    },
    Confined {
        names: &["aya", "aya_log", "aya_obj"],
        within: "agent/",
        except: &["agent/src/load/", "agent/src/ring/"],
        why: "only `load` and `ring` name aya",
    },
    Confined {
        names: &["std::time", "std::net", "std::fs", "std::env", "std::process", "std::thread", "tokio"],
        within: "agent/protocols/src/",
        except: &[],
        why: "`protocols` never reads a clock, a file or a socket",
    },
];

pub(crate) fn run() -> Result<()> {
    let listed = process::output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"])
            .current_dir(paths::root()),
    )?;
    let mut complaints = Vec::new();
    for path in listed.lines() {
        // A file that is deleted and not yet committed is still listed.
        if let Ok(text) = fs::read_to_string(paths::root().join(path)) {
            complaints.extend(check(path, &text));
        }
    }
    // An exception that is no longer needed would let the next one in unseen.
    for (path, _) in UNSAFE {
        let text = fs::read_to_string(paths::root().join(path)).unwrap_or_default();
        if !text.lines().any(|line| has_word(&code_of(line), "unsafe")) {
            complaints
                .push(format!("xtask/src/tidy.rs: {path} has no `unsafe` any more; take it off the list"));
        }
    }
    if complaints.is_empty() {
        println!("tidy: {} files, all is well", listed.lines().count());
        return Ok(());
    }
    bail!("the house rules:\n  {}", complaints.join("\n  "))
}

/// What is wrong with one file, a line for each complaint.
fn check(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let length = text.lines().count();
    if length > LONGEST && !LONGER.iter().any(|(longer, _)| *longer == path) {
        complaints.push(format!(
            "{path}: {length} lines, above {LONGEST}: split it, or name it in tidy.rs with the reason"
        ));
    }
    let code: Vec<String> = text.lines().map(code_of).collect();
    let mut complain = |number: usize, what: &str| complaints.push(format!("{path}:{}: {what}", number + 1));

    let may_be_unsafe = path.starts_with("ebpf/") || UNSAFE.iter().any(|(file, _)| *file == path);
    for (number, line) in code.iter().enumerate() {
        if !may_be_unsafe && has_word(line, "unsafe") {
            complain(number, "`unsafe` in a file that tidy.rs does not name");
        }
    }
    for (number, line) in text.lines().enumerate() {
        // Put together here, so that this file does not hold the words it looks for.
        if ["TO", "FIX"].iter().zip(["DO", "ME"]).any(|(a, b)| has_word(line, &format!("{a}{b}"))) {
            complain(number, "a note to oneself: do it, or open an issue");
        }
    }
    // Tests may decode what `export` encodes and print how long a parser takes.
    let is_test = path.contains("/tests/");
    for rule in CONFINED.iter().filter(|_| !is_test) {
        if !path.starts_with(rule.within) || rule.except.iter().any(|directory| path.starts_with(directory)) {
            continue;
        }
        for (number, name) in used(&code) {
            let named = |confined: &&&str| name == **confined || name.starts_with(&format!("{confined}::"));
            if let Some(confined) = rule.names.iter().find(named) {
                complain(number, &format!("`{confined}`: {}", rule.why));
            }
        }
    }
    complaints
}

/// Every path that the code names, with its line: `use` trees written out, and what stands in expressions and types.
fn used(code: &[String]) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    // The prefixes of the `use` braces that are open, and whether a `use` is being read at all.
    let (mut open, mut in_use) = (Vec::<String>::new(), false);
    for (number, line) in code.iter().enumerate() {
        let mut path = String::new();
        // A space at the end closes the last word of the line.
        for c in line.chars().chain([' ']) {
            if c.is_alphanumeric() || c == '_' || c == ':' {
                path.push(c);
                continue;
            }
            let word = std::mem::take(&mut path);
            let whole = format!("{}{word}", open.last().map_or("", String::as_str));
            match (word.as_str(), c) {
                ("use", _) => in_use = true,
                (_, '{') if in_use => open.push(whole),
                ("", _) => {}
                _ => paths.push((number, whole.trim_start_matches(':').to_owned())),
            }
            if in_use && c == '}' {
                open.pop();
            }
            if c == ';' {
                in_use = false;
                open.clear();
            }
        }
    }
    paths
}

/// A line without its comment and without what is inside its strings.
fn code_of(line: &str) -> String {
    let (mut code, mut quoted, mut previous) = (String::with_capacity(line.len()), false, ' ');
    for c in line.chars() {
        match c {
            // Not the end of a string when escaped, and not the beginning of one as a character of its own.
            '"' if previous != '\\' && previous != '\'' => quoted = !quoted,
            '/' if previous == '/' && !quoted => {
                code.pop();
                return code;
            }
            _ if quoted => {}
            _ => code.push(c),
        }
        previous = c;
    }
    code
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(path: &str, text: &str, complaints: &[&str]) {
        assert_eq!(check(path, text), complaints);
    }

    #[test]
    fn a_file_may_not_grow_without_a_reason() {
        expect("agent/src/a.rs", &"\n".repeat(800), &[]);
        let long = check("agent/src/a.rs", &"\n".repeat(801));
        assert!(long[0].starts_with("agent/src/a.rs: 801 lines, above 800"), "{long:?}");
    }

    #[test]
    fn unsafe_is_for_named_files() {
        let complaint = "agent/src/a.rs:2: `unsafe` in a file that tidy.rs does not name";
        expect("agent/src/a.rs", "fn f() {\n    unsafe { g() }\n}", &[complaint]);
        expect("agent/src/a.rs", "#![forbid(unsafe_code)] // no unsafe", &[]);
        expect("tests/src/guard.rs", "unsafe {}", &[]);
        expect("ebpf/src/main.rs", "unsafe {}", &[]);
    }

    #[test]
    fn only_export_names_otlp() {
        let text = "use opentelemetry_proto::tonic::trace::v1::Span;";
        expect(
            "agent/src/span/a.rs",
            text,
            &["agent/src/span/a.rs:1: `opentelemetry_proto`: only `export` names OTLP types"],
        );
        expect("agent/src/export/a.rs", text, &[]);
        expect("agent/tests/export/a.rs", text, &[]);
        expect("agent/src/span/a.rs", "// opentelemetry_proto has it too", &[]);
    }

    #[test]
    fn only_load_and_ring_name_aya() {
        let complaint = "agent/src/pipeline.rs:1: `aya`: only `load` and `ring` name aya";
        expect("agent/src/pipeline.rs", "fn f(map: aya::maps::MapData) {}", &[complaint]);
        expect("agent/src/pipeline.rs", "use crate::ring::Ring; let ayah = 1;", &[]);
    }

    #[test]
    fn protocols_name_no_clock_in_any_spelling() {
        let path = "agent/protocols/src/a.rs";
        let why = "`protocols` never reads a clock, a file or a socket";
        expect(path, "use std::time::Duration;", &[&format!("{path}:1: `std::time`: {why}")]);
        expect(
            path,
            "use std::{\n    fmt,\n    time::Duration,\n};",
            &[&format!("{path}:3: `std::time`: {why}")],
        );
        expect(
            path,
            "use std::{collections::{HashMap, VecDeque}, fs};",
            &[&format!("{path}:1: `std::fs`: {why}")],
        );
        expect(path, "let x = std::net::Ipv4Addr::LOCALHOST;", &[&format!("{path}:1: `std::net`: {why}")]);
        expect(path, "use std::fmt;\nlet time = 1; use crate::time::x;", &[]);
    }

    #[test]
    fn a_note_to_oneself_is_found_in_comments() {
        let note = format!("// {}{}: later", "TO", "DO");
        assert_eq!(
            check("tests/src/a.rs", &note),
            ["tests/src/a.rs:1: a note to oneself: do it, or open an issue"]
        );
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        assert_eq!(code_of(r#"let a = "http://x\" y"; // b"#), "let a = ; ");
        assert_eq!(code_of(r#"match c { '"' => 1 } // "c" "#), r#"match c { '"' => 1 } "#);
    }
}
