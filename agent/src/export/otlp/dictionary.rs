//! The tables that the profiles of one message share (`opentelemetry/proto/profiles/v1development`).
//!
//! Entry 0 of each is the zero value, which stands for nothing. An entry is made when something names it, so that
//! there are no duplicates and none that nothing refers to.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use foldhash::fast::RandomState;
use opentelemetry_proto::tonic::profiles::v1development::{
    Function, KeyValueAndUnit, Line as ProtoLine, Link, Location as ProtoLocation, Mapping as ProtoMapping,
    ProfilesDictionary, Stack as ProtoStack, ValueType,
};

use crate::{
    attribute::{Attributes, Value},
    profile::named::{BuildId, Line, Location, Mapping, Stack},
    span::{SpanId, TraceId},
};

/// A table that is being filled.
#[derive(Debug)]
struct Table<K, V> {
    entries: Vec<V>,
    known: HashMap<K, i32, RandomState>,
}

#[derive(Debug)]
pub(super) struct Builder {
    strings: Table<String, String>,
    attributes: Table<(i32, String), KeyValueAndUnit>,
    mappings: Table<Arc<Mapping>, ProtoMapping>,
    functions: Table<Function, Function>,
    locations: Table<Arc<Location>, ProtoLocation>,
    stacks: Table<Vec<i32>, ProtoStack>,
    links: Table<(TraceId, SpanId), Link>,
}

impl Builder {
    pub(super) fn new() -> Self {
        let mut strings = Table::new();
        strings.known.insert(String::new(), 0);
        Self {
            strings,
            attributes: Table::new(),
            mappings: Table::new(),
            functions: Table::new(),
            locations: Table::new(),
            stacks: Table::new(),
            links: Table::new(),
        }
    }

    pub(super) fn finish(self) -> ProfilesDictionary {
        let Self { strings, attributes, mappings, functions, locations, stacks, links } = self;
        ProfilesDictionary {
            mapping_table: mappings.entries,
            location_table: locations.entries,
            function_table: functions.entries,
            link_table: links.entries,
            string_table: strings.entries,
            attribute_table: attributes.entries,
            stack_table: stacks.entries,
        }
    }

    pub(super) fn string(&mut self, text: &str) -> i32 {
        match self.strings.known.get(text) {
            Some(&index) => index,
            None => self.strings.add(text.to_owned(), text.to_owned()),
        }
    }

    pub(super) fn value_type(&mut self, (kind, unit): (&str, &str)) -> ValueType {
        ValueType { type_strindex: self.string(kind), unit_strindex: self.string(unit) }
    }

    pub(super) fn attribute(&mut self, key: &str, value: &Value) -> i32 {
        let key = self.string(key);
        // Equal values of one key look the same.
        let name = (key, format!("{value:?}"));
        if let Some(&index) = self.attributes.known.get(&name) {
            return index;
        }
        let value = Some(super::traces::any_value(value));
        self.attributes.add(name, KeyValueAndUnit { key_strindex: key, value, unit_strindex: 0 })
    }

    pub(super) fn attributes(&mut self, attributes: &Attributes) -> Vec<i32> {
        attributes.iter().map(|(key, value)| self.attribute(key, value)).collect()
    }

    pub(super) fn link(&mut self, (trace, span): (TraceId, SpanId)) -> i32 {
        match self.links.known.get(&(trace, span)) {
            Some(&index) => index,
            None => {
                let link = Link { trace_id: trace.0.to_vec(), span_id: span.0.to_vec() };
                self.links.add((trace, span), link)
            }
        }
    }

    /// The first location is the innermost.
    pub(super) fn stack(&mut self, stack: &Stack) -> i32 {
        let locations: Vec<i32> = stack.locations.iter().map(|location| self.location(location)).collect();
        if locations.is_empty() {
            return 0;
        }
        match self.stacks.known.get(&locations) {
            Some(&index) => index,
            None => {
                let stack = ProtoStack { location_indices: locations.clone() };
                self.stacks.add(locations, stack)
            }
        }
    }

    fn location(&mut self, location: &Arc<Location>) -> i32 {
        if let Some(&index) = self.locations.known.get(location) {
            return index;
        }
        let kind = self.attribute("profile.frame.type", &location.kind.name().into());
        let mapping_index = location.mapping.as_ref().map_or(0, |mapping| self.mapping(mapping));
        let lines = location.lines.iter().map(|line| self.line(line)).collect();
        let proto =
            ProtoLocation { mapping_index, address: location.address, lines, attribute_indices: vec![kind] };
        self.locations.add(Arc::clone(location), proto)
    }

    fn mapping(&mut self, mapping: &Arc<Mapping>) -> i32 {
        if let Some(&index) = self.mappings.known.get(mapping) {
            return index;
        }
        let (key, id) = match &mapping.build_id {
            BuildId::Gnu(id) => ("process.executable.build_id.gnu", id),
            BuildId::Htl(id) => ("process.executable.build_id.htlhash", id),
        };
        let build_id = self.attribute(key, &id.to_string().into());
        let proto = ProtoMapping {
            memory_start: mapping.start,
            memory_limit: mapping.end,
            file_offset: mapping.offset,
            filename_strindex: self.string(&mapping.path),
            attribute_indices: vec![build_id],
        };
        self.mappings.add(Arc::clone(mapping), proto)
    }

    fn line(&mut self, line: &Line) -> ProtoLine {
        let function = Function {
            name_strindex: self.string(&line.function),
            system_name_strindex: self.string(line.system_name.as_deref().unwrap_or_default()),
            filename_strindex: self.string(line.file.as_deref().unwrap_or_default()),
            start_line: 0,
        };
        let function_index = match self.functions.known.get(&function) {
            Some(&index) => index,
            None => self.functions.add(function, function),
        };
        ProtoLine { function_index, line: i64::from(line.line), column: 0 }
    }
}

impl<K: Eq + Hash, V: Default> Table<K, V> {
    fn new() -> Self {
        Self { entries: vec![V::default()], known: HashMap::default() }
    }

    fn add(&mut self, key: K, value: V) -> i32 {
        // A message of two thousand million entries would have exhausted memory long before.
        let index = i32::try_from(self.entries.len()).unwrap_or(0);
        self.entries.push(value);
        self.known.insert(key, index);
        index
    }
}
