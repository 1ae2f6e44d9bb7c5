//! V8: what a program says of its frames and objects, for debuggers, in variables named `v8dbg_…` that it exports
//! (V8, tools/gen-postmortem-metadata.py). Node's are from V8 10.2 (18) to 13.6 (24).

use std::{collections::HashMap, path::Path};

use honeyguide_common::interpreter::V8;

use crate::load::uprobe::{Image, Symbol};

/// A program or library with V8 in it, where pointers are whole ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V8File {
    pub v8: V8,
    pub layout: V8Layout,
    /// `None`: what was compiled into what is not known.
    pub code: Option<V8Code>,
}

/// Offsets in objects, from their first byte, and what their types are called by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V8Layout {
    /// Of any object's map, and of its type in that.
    pub map: u32,
    pub instance_type: u32,
    /// Of a `SharedFunctionInfo`.
    pub function_name: u32,
    pub function_script: u32,
    pub script_name: u32,
    pub script_source: u32,
    pub string_length: u32,
    pub one_byte: u32,
    pub two_byte: u32,
    pub first: u32,
    pub second: u32,
    pub parent: u32,
    pub offset: u32,
    pub actual: u32,
    /// Of an external string's resource. Its bytes' address follows.
    pub resource: u32,
    /// In words behind the map of a `ScopeInfo`.
    pub locals: u32,
    pub first_variable: u32,
    pub function_type: u32,
    pub scope_type: u32,
    pub script_type: u32,
    /// Below it are strings.
    pub first_no_string: u32,
    pub representation: u32,
    pub encoding: u32,
    pub is_one_byte: u32,
    pub is_sequential: u32,
    pub is_cons: u32,
    pub is_external: u32,
    pub is_sliced: u32,
    pub is_thin: u32,
}

/// How to find what V8 notes of machine code that it made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V8Code {
    /// The type of the object that the instructions are in, and where in it they begin.
    pub stream_type: u32,
    pub instructions: u32,
    /// In it, of the object that describes it; 0: it does so itself.
    pub description: u32,
    /// In that: what is needed to return to the interpreter, and the table of positions.
    pub deoptimization: u32,
    pub positions: u32,
    /// In an array.
    pub length: u32,
    pub data: u32,
    /// In the array for returning.
    pub literals: u32,
    pub inlined: u32,
    /// Arrays of objects and of bytes have types by where they are.
    pub arrays: [Option<u32>; 3],
    pub bytes: [Option<u32>; 2],
}

/// What the metadata say, if there are any that are understood.
#[must_use]
pub fn examine_v8(path: &Path) -> Option<V8File> {
    let image = Image::open(path).ok()?;
    let variables: HashMap<String, Symbol> = image.exported("v8dbg_").into_iter().collect();
    if variables.is_empty() {
        return None;
    }
    let data = [".data", ".rodata", ".bss"].map(|name| image.section(name));
    told(|names| {
        let symbol = names.iter().find_map(|name| variables.get(*name))?;
        value(&image, &data, *symbol)
    })
}

/// A variable's value: a word of 32 bits, which is 0 where the file holds none (`.bss`).
fn value(image: &Image, sections: &[Option<(Symbol, u64)>], symbol: Symbol) -> Option<i32> {
    let inside = |section: &Symbol| {
        symbol
            .address
            .checked_sub(section.address)
            .filter(|inside| inside.checked_add(4).is_some_and(|end| end <= section.size))
    };
    for (index, section) in sections.iter().enumerate() {
        let Some((section, offset)) = section else { continue };
        let Some(inside) = inside(section) else { continue };
        if index == BSS {
            return Some(0);
        }
        let bytes = image.read(offset.checked_add(inside)?, 4)?;
        return Some(i32::from_le_bytes(bytes.try_into().ok()?));
    }
    None
}

const BSS: usize = 2;

/// `value` is what the first of some names says.
fn told(value: impl Fn(&[&str]) -> Option<i32>) -> Option<V8File> {
    // Smaller pointers would have to be put together with the heap's address.
    if value(&["v8dbg_TaggedSize"])? != 8 || value(&["v8dbg_SmiShiftSize"])? != 31 {
        return None;
    }
    let small = |name: &str, limit: u32| {
        value(&[name]).and_then(|value| u32::try_from(value).ok()).filter(|value| *value < limit)
    };
    let offset = |name: &str| small(name, 512);
    let number = |name: &str| small(name, 1 << 16);
    let near = |name: &str| value(&[name]).filter(|value| (-512..512).contains(value));
    let one_of = |names: &[&str]| value(names).and_then(|value| u32::try_from(value).ok());
    let shared = one_of(&["v8dbg_class_JSFunction__shared__SharedFunctionInfo"])?;
    let v8 = V8 {
        context: near("v8dbg_off_fp_context_or_frame_type").or_else(|| near("v8dbg_off_fp_context"))?,
        function: near("v8dbg_off_fp_function")?,
        shared: i32::try_from(shared).ok()?,
        padding: 0,
    };
    let layout = V8Layout {
        map: offset("v8dbg_class_HeapObject__map__Map")?,
        instance_type: offset("v8dbg_class_Map__instance_type__uint16_t")?,
        function_name: one_of(&[
            "v8dbg_class_SharedFunctionInfo__name_or_scope_info__Object",
            "v8dbg_class_SharedFunctionInfo__name_or_scope_info__Tagged_Object_",
            "v8dbg_class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_",
        ])?,
        function_script: one_of(&[
            "v8dbg_class_SharedFunctionInfo__script_or_debug_info__HeapObject",
            "v8dbg_class_SharedFunctionInfo__script__Tagged_HeapObject_",
        ])?,
        script_name: offset("v8dbg_class_Script__name__Object")?,
        script_source: offset("v8dbg_class_Script__source__Object")?,
        string_length: offset("v8dbg_class_String__length__int32_t")?,
        one_byte: offset("v8dbg_class_SeqOneByteString__chars__char")?,
        two_byte: offset("v8dbg_class_SeqTwoByteString__chars__char")?,
        first: offset("v8dbg_class_ConsString__first__String")?,
        second: offset("v8dbg_class_ConsString__second__String")?,
        parent: offset("v8dbg_class_SlicedString__parent__String")?,
        offset: offset("v8dbg_class_SlicedString__offset__SMI")?,
        actual: offset("v8dbg_class_ThinString__actual__String")?,
        resource: offset("v8dbg_class_ExternalString__resource__Object")?,
        locals: offset("v8dbg_scopeinfo_idx_ncontextlocals")?,
        first_variable: offset("v8dbg_scopeinfo_idx_first_vars")?,
        function_type: number("v8dbg_type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE")?,
        scope_type: number("v8dbg_type_ScopeInfo__SCOPE_INFO_TYPE")?,
        script_type: number("v8dbg_type_Script__SCRIPT_TYPE")?,
        first_no_string: number("v8dbg_FirstNonstringType")?,
        representation: number("v8dbg_StringRepresentationMask")?,
        encoding: number("v8dbg_StringEncodingMask")?,
        is_one_byte: number("v8dbg_OneByteStringTag")?,
        is_sequential: number("v8dbg_SeqStringTag")?,
        is_cons: number("v8dbg_ConsStringTag")?,
        is_external: number("v8dbg_ExternalStringTag")?,
        is_sliced: number("v8dbg_SlicedStringTag")?,
        is_thin: number("v8dbg_ThinStringTag")?,
    };
    let offsets = [shared, layout.function_name, layout.function_script];
    let code = code(|name| small(name, 1 << 16));
    offsets.iter().all(|offset| *offset < 512).then_some(V8File { v8, layout, code })
}

fn code(told: impl Fn(&str) -> Option<u32>) -> Option<V8Code> {
    let (stream_type, instructions, description) =
        match told("v8dbg_type_InstructionStream__INSTRUCTION_STREAM_TYPE") {
            // The description's address is the first of its fields.
            Some(kind) => (kind, told("v8dbg_class_InstructionStream__instruction_start__uintptr_t")?, 8),
            None => (
                told("v8dbg_type_Code__CODE_TYPE")?,
                told("v8dbg_class_Code__instruction_start__uintptr_t")?,
                0,
            ),
        };
    let fields = told("v8dbg_class_Code__deoptimization_data__FixedArray")
        .zip(told("v8dbg_class_Code__source_position_table__ByteArray"));
    // Later versions do not tell them; they are the two before this one.
    let before = || {
        let next = told("v8dbg_class_Code__wrapper__Tagged_CodeWrapper_")?;
        Some((next.checked_sub(16)?, next.checked_sub(8)?))
    };
    // V8 10.2, src/objects/code.h.
    let first = || (description == 0).then_some((16, 24));
    let (deoptimization, positions) = fields.or_else(before).or_else(first)?;
    Some(V8Code {
        stream_type,
        instructions,
        description,
        deoptimization,
        positions,
        length: told("v8dbg_class_FixedArrayBase__length__SMI")?,
        data: told("v8dbg_class_FixedArray__data__uintptr_t")?,
        literals: told("v8dbg_DeoptimizationDataLiteralArrayIndex").unwrap_or(2),
        inlined: told("v8dbg_DeoptimizationDataInliningPositionsIndex").unwrap_or(7),
        arrays: [
            told("v8dbg_type_FixedArray__FIXED_ARRAY_TYPE"),
            told("v8dbg_type_TrustedFixedArray__TRUSTED_FIXED_ARRAY_TYPE"),
            told("v8dbg_type_ProtectedFixedArray__PROTECTED_FIXED_ARRAY_TYPE"),
        ],
        bytes: [
            told("v8dbg_type_ByteArray__BYTE_ARRAY_TYPE"),
            told("v8dbg_type_TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE"),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Node 20's and 24's V8 tells them, where they differ.
    fn tell(names: &[&str]) -> Option<i32> {
        let value = |name: &str| {
            Some(match name {
                "v8dbg_TaggedSize" => 8,
                "v8dbg_SmiShiftSize" => 31,
                "v8dbg_off_fp_context_or_frame_type" => -8,
                "v8dbg_off_fp_function" => -16,
                "v8dbg_class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_" => 24,
                name if name.contains("name_or_scope_info") || name.contains("script_or_debug_info") => {
                    return None;
                }
                name if name.starts_with("v8dbg_type_") => 280,
                _ => 16,
            })
        };
        names.iter().find_map(|name| value(name))
    }

    #[test]
    fn metadata_are_taken_by_the_names_of_their_version() {
        let found = told(tell).unwrap();
        assert_eq!((found.v8.context, found.v8.function, found.v8.shared), (-8, -16, 16));
        assert_eq!((found.layout.function_name, found.layout.function_script), (24, 16));
        assert_eq!(found.layout.scope_type, 280);
        let code = found.code.unwrap();
        assert_eq!(
            (code.stream_type, code.description, code.deoptimization, code.positions),
            (280, 8, 16, 16)
        );
    }

    #[test]
    fn without_one_of_them_and_with_small_pointers_nothing_is_known() {
        for missing in ["off_fp_function", "Script__source", "ThinStringTag", "JSFunction__shared"] {
            let without = |names: &[&str]| if names[0].contains(missing) { None } else { tell(names) };
            assert_eq!(told(without), None, "{missing}");
        }
        let compressed = |names: &[&str]| if names[0] == "v8dbg_TaggedSize" { Some(4) } else { tell(names) };
        assert_eq!(told(compressed), None);
        let wild = |names: &[&str]| if names[0].contains("__map__") { Some(-7) } else { tell(names) };
        assert_eq!(told(wild), None);
    }

    #[test]
    fn node_is_known_where_it_is_at_hand() {
        let node = Path::new("/usr/bin/node");
        if node.exists() && std::env::var_os("CI").is_some() {
            let found = examine_v8(node).unwrap();
            assert_eq!((found.v8.context, found.v8.function), (-8, -16));
        }
        assert_eq!(examine_v8(&std::env::current_exe().unwrap()), None);
    }
}
