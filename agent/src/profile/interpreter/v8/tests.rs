use std::fs;

use honeyguide_common::interpreter;
use proptest::prelude::*;

use super::*;
use crate::{
    discover::ProcRoot,
    load::{V8Code, V8Layout},
};

const FUNCTION: u16 = 262;
const SCOPE: u16 = 261;
const SCRIPT: u16 = 167;
const ARRAY: u16 = 175;
const BYTES: u16 = 190;
const STREAM: u16 = 252;
/// `SEQ_ONE_BYTE`, `SEQ_TWO_BYTE`, `CONS`, `EXTERNAL`, its uncached form, `SLICED` and `THIN`.
const ONE: u16 = 40;
const TWO: u16 = 32;
const CONS: u16 = 41;
const EXTERNAL: u16 = 42;
const UNCACHED_ONE: u16 = 58;
const SLICED: u16 = 43;
const THIN: u16 = 45;

/// Where objects are put, and where there is none.
const START: u64 = 0x1_0000;
const NOWHERE: u64 = 0xdead_beef_0001;

/// Node 20's, by and large.
fn file() -> V8File {
    let layout = V8Layout {
        map: 0,
        instance_type: 12,
        function_name: 16,
        function_script: 32,
        script_name: 16,
        script_source: 8,
        string_length: 12,
        one_byte: 16,
        two_byte: 16,
        first: 16,
        second: 24,
        parent: 16,
        offset: 24,
        actual: 16,
        resource: 16,
        locals: 2,
        first_variable: 3,
        function_type: u32::from(FUNCTION),
        scope_type: u32::from(SCOPE),
        script_type: u32::from(SCRIPT),
        first_no_string: 128,
        representation: 7,
        encoding: 8,
        is_one_byte: 8,
        is_sequential: 0,
        is_cons: 1,
        is_external: 2,
        is_sliced: 3,
        is_thin: 5,
    };
    let code = V8Code {
        stream_type: u32::from(STREAM),
        instructions: 16,
        description: 8,
        deoptimization: 16,
        positions: 24,
        length: 8,
        data: 16,
        literals: 2,
        inlined: 7,
        arrays: [Some(u32::from(ARRAY)), None, None],
        bytes: [Some(u32::from(BYTES)), None],
    };
    V8File { v8: interpreter::V8::default(), layout, code: Some(code) }
}

/// A process's memory, from [`START`] on.
#[derive(Default)]
struct Heap(Vec<u8>);

impl Heap {
    /// An object with a map of its own; `words` follow the map's.
    fn object(&mut self, kind: u16, words: &[u64]) -> u64 {
        let map = self.bytes(&[&[0; 12][..], &kind.to_le_bytes(), &[0; 10]].concat());
        let words: Vec<u8> = [&[map | OBJECT], words].concat().iter().flat_map(|w| w.to_le_bytes()).collect();
        self.bytes(&words) | OBJECT
    }

    fn bytes(&mut self, bytes: &[u8]) -> u64 {
        let at = START + self.0.len() as u64;
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        at
    }

    /// A string of a kind and length; `words` are what is behind its length.
    fn string(&mut self, kind: u16, length: usize, words: &[u64]) -> u64 {
        self.object(kind, &[&[(length as u64) << 32], words].concat())
    }

    fn text(&mut self, text: &str) -> u64 {
        let mut padded = text.as_bytes().to_vec();
        padded.resize(padded.len().next_multiple_of(8), 0);
        let words: Vec<u64> =
            padded.chunks(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect();
        self.string(ONE, text.len(), &words)
    }

    fn array(&mut self, kind: u16, length: usize, words: &[u64]) -> u64 {
        self.object(kind, &[&[whole(length as u64)], words].concat())
    }

    /// A function of a scope with `locals` variables, whose place is the given one.
    fn function(&mut self, name: u64, inferred: u64, locals: u64, place: [u64; 2], script: u64) -> u64 {
        let flags = HAS_NAME | HAS_INFERRED_NAME;
        let mut words = vec![whole(flags), 0, whole(locals)];
        let names = if locals < LOCALS_IN_TABLE { locals } else { 1 };
        words.extend((0..names + locals).map(|_| NOWHERE));
        words.extend([name, 0, inferred, whole(place[0]), whole(place[1])]);
        let scope = self.object(SCOPE, &words);
        self.object(FUNCTION, &[0, scope, 0, script])
    }

    fn check<T>(&self, test: impl FnOnce(&V8, &Reading) -> T) -> T {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("7")).unwrap();
        let memory = [&vec![0; usize::try_from(START).unwrap()][..], &self.0].concat();
        fs::write(root.path().join("7/mem"), memory).unwrap();
        let reading = Reading::new(&ProcRoot::new(root.path()), 7);
        test(&V8::new(file(), Arc::default()), &reading)
    }
}

/// A small integer's word.
fn whole(number: u64) -> u64 {
    number << SMALL_SHIFT
}

#[test]
fn a_function_is_read() {
    let mut heap = Heap::default();
    let (name, path, empty) = (heap.text("work"), heap.text("/srv/app.js"), heap.text(""));
    let source = heap.text("let a;\nlet b;\nfunction work() {}\n");
    let script = heap.object(SCRIPT, &[source, path]);
    let mut functions = Vec::new();
    for locals in [0, 3, 74, 75, 200] {
        functions.push((
            heap.function(name, empty, locals, [27, 32], script),
            "work",
            Some("/srv/app.js"),
            3,
        ));
    }
    functions.push((heap.function(0, name, 1, [3, 9], script), "work", Some("/srv/app.js"), 1));
    functions.push((heap.function(empty, empty, 0, [0, 32], script), NAMELESS, Some("/srv/app.js"), 1));
    // Its place contradicts itself.
    functions.push((heap.function(name, empty, 0, [27, 3], script), "work", Some("/srv/app.js"), 0));
    // Builtins have a name and nothing else.
    functions.push((heap.object(FUNCTION, &[0, name, 0, 0]), "work", None, 0));
    heap.check(|v8, memory| {
        for (function, name, file, line) in functions {
            let code = v8.read(memory, function & CODE).unwrap();
            assert_eq!((&*code.function, code.file.as_deref(), code.first_line), (name, file, line));
            assert_eq!(v8.fingerprint(memory, function & CODE), Some(code.fingerprint));
            assert!(!code.is_glue);
        }
        assert!(v8.read(memory, script & CODE).is_none(), "it is no function");
        assert!(v8.read(memory, NOWHERE & CODE).is_none());
    });
}

#[test]
fn strings_of_every_kind_are_read() {
    let mut heap = Heap::default();
    let (left, right) = (heap.text("left "), heap.text("and right"));
    let both = heap.string(CONS, 14, &[left, right]);
    let nested = heap.string(CONS, 28, &[both, both]);
    let two = heap.string(TWO, 2, &[u64::from(b'a') | 0x20ac << 16]);
    let outside = heap.bytes(b"from outside");
    let external = heap.string(EXTERNAL, 12, &[0, outside]);
    let uncached = heap.string(UNCACHED_ONE, 12, &[0, outside]);
    let thin = heap.string(THIN, 14, &[both]);
    let sliced = heap.string(SLICED, 6, &[nested, whole(3)]);
    let across = heap.string(SLICED, 9, &[thin, whole(2)]);
    let endless = START + heap.0.len() as u64 + 24;
    let endless = heap.string(CONS, 1 << 20, &[endless | OBJECT, endless | OBJECT]);
    heap.check(|v8, memory| {
        for (string, expect) in [
            (both, Some("left and right")),
            (nested, Some("left and rightleft and right")),
            (two, Some("a€")),
            (external, Some("from outside")),
            (uncached, None),
            (thin, Some("left and right")),
            (sliced, Some("t and ")),
            (across, Some("ft and ri")),
            (endless, None),
            (NOWHERE, None),
            (whole(3), None),
        ] {
            assert_eq!(v8.text(memory, string).as_deref(), expect, "{string:#x}");
        }
    });
}

#[test]
fn what_was_compiled_in_is_found_by_an_instruction() {
    let mut heap = Heap::default();
    let name = heap.text("f");
    let (outer, inner) = (heap.object(FUNCTION, &[0, name, 0, 0]), heap.object(FUNCTION, &[0, name, 0, 0]));
    let literals = heap.array(ARRAY, 2, &[outer | 2, inner]);
    // The first call is of the function itself, the second within it.
    let calls = heap.array(BYTES, 32, &[0, 0, 1 << 31, 1]);
    // From instruction 4 on the function itself, from 8 on the second call, from 12 on the first.
    let mut table = vec![8, 0, 8];
    let mut position = (2_u64 << 31) << 1;
    while position > 0x7f {
        table.push(position as u8 | 0x80);
        position >>= 7;
    }
    table.extend([position as u8, 8]);
    let mut position = ((1_u64 << 31) << 1) - 1;
    while position > 0x7f {
        table.push(position as u8 | 0x80);
        position >>= 7;
    }
    table.push(position as u8);
    let length = table.len();
    table.resize(length.next_multiple_of(8), 0);
    let words: Vec<u64> = table.chunks(8).map(|b| u64::from_le_bytes(b.try_into().unwrap())).collect();
    let positions = heap.array(BYTES, length, &words);
    let deoptimization = heap.array(ARRAY, 8, &[0, 0, literals, 0, 0, 0, 0, calls]);
    let code = heap.object(FUNCTION, &[0, deoptimization, positions]);
    let stream = heap.object(STREAM, &[code]) & CODE;
    heap.bytes(&[0x90; 6_000]);
    heap.check(|v8, memory| {
        for (instruction, expect) in [
            (2, vec![]),
            (5, vec![]),
            (8, vec![inner, outer]),
            (11, vec![inner, outer]),
            (5_000, vec![outer]),
        ] {
            let expect: Vec<u64> = expect.into_iter().map(|function| function & CODE).collect();
            assert_eq!(v8.inlined(memory, stream + 16 + instruction), expect, "{instruction}");
        }
        assert!(v8.inlined(memory, NOWHERE).is_empty());
    });
}

proptest! {
    #[test]
    fn any_memory_is_read(words in prop::collection::vec(
        prop_oneof![any::<u64>(), (0_u64..512).prop_map(|at| START + at * 8 + 1), (0_u64..512).prop_map(whole),
            prop::sample::select(vec![FUNCTION, SCOPE, SCRIPT, ARRAY, BYTES, STREAM, ONE, CONS, SLICED, THIN])
                .prop_map(|kind| u64::from(kind) << 32)],
        512,
    )) {
        let heap = Heap(words.iter().flat_map(|word| word.to_le_bytes()).collect());
        heap.check(|v8, memory| {
            for at in (0..512).map(|at| START + at * 8) {
                let _ = (v8.read(memory, at), v8.text(memory, at | OBJECT), v8.inlined(memory, at));
            }
        });
    }
}
