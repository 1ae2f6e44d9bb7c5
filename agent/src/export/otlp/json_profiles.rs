//! Profiles to OTLP/JSON, by the rules in `json`. The generated encoder writes a link's ids as arrays of numbers.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value},
    profiles::v1development::{
        Function, KeyValueAndUnit, Line, Link, Location, Mapping, Profile, ProfilesData, ProfilesDictionary,
        ResourceProfiles, Sample, Stack, ValueType,
    },
};

use super::{
    SCOPE, VERSION,
    json::{double, hex, integer, list, quoted_integer, raw, string},
};

/// One `ProfilesData` object, without a line end.
pub(super) fn profiles(data: &ProfilesData, out: &mut Vec<u8>) {
    raw(out, r#"{"resourceProfiles":["#);
    list(out, &data.resource_profiles, resource_profiles);
    raw(out, "]");
    if let Some(dictionary) = &data.dictionary {
        raw(out, r#","dictionary":"#);
        tables(out, dictionary);
    }
    raw(out, "}");
}

fn resource_profiles(out: &mut Vec<u8>, group: &ResourceProfiles) {
    raw(out, r#"{"resource":{"attributes":["#);
    list(out, group.resource.iter().flat_map(|resource| &resource.attributes), key_value);
    raw(out, r#"]},"scopeProfiles":["#);
    list(out, &group.scope_profiles, |out, scope| {
        raw(out, r#"{"scope":{"name":"#);
        string(out, SCOPE);
        raw(out, r#","version":"#);
        string(out, VERSION);
        raw(out, r#"},"profiles":["#);
        list(out, &scope.profiles, profile);
        raw(out, "]}");
    });
    raw(out, "]}");
}

fn profile(out: &mut Vec<u8>, profile: &Profile) {
    let mut object = Object::begin(out);
    object.value_type("sampleType", profile.sample_type);
    object.key("samples");
    raw(object.out, "[");
    list(object.out, &profile.samples, sample);
    raw(object.out, "]");
    object.long("timeUnixNano", profile.time_unix_nano);
    object.long("durationNano", profile.duration_nano);
    object.value_type("periodType", profile.period_type);
    object.signed("period", profile.period);
    if !profile.profile_id.is_empty() {
        object.key("profileId");
        hex(object.out, &profile.profile_id);
    }
    object.indices("attributeIndices", &profile.attribute_indices);
    object.end();
}

fn sample(out: &mut Vec<u8>, sample: &Sample) {
    let mut object = Object::begin(out);
    object.index("stackIndex", sample.stack_index);
    object.indices("attributeIndices", &sample.attribute_indices);
    object.index("linkIndex", sample.link_index);
    object.key("values");
    raw(object.out, "[");
    list(object.out, &sample.values, |out, value| quoted_integer(out, *value));
    raw(object.out, "]");
    object.key("timestampsUnixNano");
    raw(object.out, "[");
    list(object.out, &sample.timestamps_unix_nano, |out, time| quoted_integer(out, *time));
    raw(object.out, "]");
    object.end();
}

fn tables(out: &mut Vec<u8>, tables: &ProfilesDictionary) {
    raw(out, r#"{"mappingTable":["#);
    list(out, &tables.mapping_table, mapping);
    raw(out, r#"],"locationTable":["#);
    list(out, &tables.location_table, location);
    raw(out, r#"],"functionTable":["#);
    list(out, &tables.function_table, function);
    raw(out, r#"],"linkTable":["#);
    list(out, &tables.link_table, link);
    raw(out, r#"],"stringTable":["#);
    list(out, &tables.string_table, |out, text| string(out, text));
    raw(out, r#"],"attributeTable":["#);
    list(out, &tables.attribute_table, attribute);
    raw(out, r#"],"stackTable":["#);
    list(out, &tables.stack_table, |out, stack: &Stack| {
        let mut object = Object::begin(out);
        object.indices("locationIndices", &stack.location_indices);
        object.end();
    });
    raw(out, "]}");
}

fn mapping(out: &mut Vec<u8>, mapping: &Mapping) {
    let mut object = Object::begin(out);
    object.long("memoryStart", mapping.memory_start);
    object.long("memoryLimit", mapping.memory_limit);
    object.long("fileOffset", mapping.file_offset);
    object.index("filenameStrindex", mapping.filename_strindex);
    object.indices("attributeIndices", &mapping.attribute_indices);
    object.end();
}

fn location(out: &mut Vec<u8>, location: &Location) {
    let mut object = Object::begin(out);
    object.index("mappingIndex", location.mapping_index);
    object.long("address", location.address);
    if !location.lines.is_empty() {
        object.key("lines");
        raw(object.out, "[");
        list(object.out, &location.lines, |out, line: &Line| {
            let mut object = Object::begin(out);
            object.index("functionIndex", line.function_index);
            object.signed("line", line.line);
            object.signed("column", line.column);
            object.end();
        });
        raw(object.out, "]");
    }
    object.indices("attributeIndices", &location.attribute_indices);
    object.end();
}

fn function(out: &mut Vec<u8>, function: &Function) {
    let mut object = Object::begin(out);
    object.index("nameStrindex", function.name_strindex);
    object.index("systemNameStrindex", function.system_name_strindex);
    object.index("filenameStrindex", function.filename_strindex);
    object.signed("startLine", function.start_line);
    object.end();
}

fn link(out: &mut Vec<u8>, link: &Link) {
    let mut object = Object::begin(out);
    if !link.trace_id.is_empty() {
        object.key("traceId");
        hex(object.out, &link.trace_id);
        object.key("spanId");
        hex(object.out, &link.span_id);
    }
    object.end();
}

fn attribute(out: &mut Vec<u8>, attribute: &KeyValueAndUnit) {
    let mut object = Object::begin(out);
    object.index("keyStrindex", attribute.key_strindex);
    if let Some(value) = &attribute.value {
        object.key("value");
        any_value(object.out, value);
    }
    object.index("unitStrindex", attribute.unit_strindex);
    object.end();
}

fn key_value(out: &mut Vec<u8>, pair: &KeyValue) {
    raw(out, r#"{"key":"#);
    string(out, &pair.key);
    raw(out, r#","value":"#);
    match &pair.value {
        Some(value) => any_value(out, value),
        None => raw(out, "{}"),
    }
    raw(out, "}");
}

fn any_value(out: &mut Vec<u8>, value: &AnyValue) {
    match &value.value {
        Some(any_value::Value::StringValue(text)) => {
            raw(out, r#"{"stringValue":"#);
            string(out, text);
        }
        Some(any_value::Value::IntValue(number)) => {
            raw(out, r#"{"intValue":"#);
            quoted_integer(out, *number);
        }
        Some(any_value::Value::DoubleValue(number)) => {
            raw(out, r#"{"doubleValue":"#);
            double(out, *number);
        }
        Some(any_value::Value::BoolValue(flag)) => {
            raw(out, if *flag { r#"{"boolValue":true"# } else { r#"{"boolValue":false"# });
        }
        Some(any_value::Value::ArrayValue(array)) => {
            raw(out, r#"{"arrayValue":{"values":["#);
            list(out, &array.values, any_value);
            raw(out, "]}");
        }
        // Nothing here makes values of other kinds.
        Some(_) | None => raw(out, "{"),
    }
    raw(out, "}");
}

/// An object whose fields at their default are left out.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        raw(out, "{");
        Self { out, empty: true }
    }

    fn end(self) {
        raw(self.out, "}");
    }

    fn key(&mut self, key: &str) {
        if !std::mem::replace(&mut self.empty, false) {
            raw(self.out, ",");
        }
        raw(self.out, "\"");
        raw(self.out, key);
        raw(self.out, "\":");
    }

    fn index(&mut self, key: &str, value: i32) {
        if value != 0 {
            self.key(key);
            integer(self.out, value);
        }
    }

    fn indices(&mut self, key: &str, values: &[i32]) {
        if !values.is_empty() {
            self.key(key);
            raw(self.out, "[");
            list(self.out, values, |out, value| integer(out, *value));
            raw(self.out, "]");
        }
    }

    fn long(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.key(key);
            quoted_integer(self.out, value);
        }
    }

    fn signed(&mut self, key: &str, value: i64) {
        if value != 0 {
            self.key(key);
            quoted_integer(self.out, value);
        }
    }

    fn value_type(&mut self, key: &str, value: Option<ValueType>) {
        if let Some(value) = value {
            self.key(key);
            let mut object = Object::begin(self.out);
            object.index("typeStrindex", value.type_strindex);
            object.index("unitStrindex", value.unit_strindex);
            object.end();
        }
    }
}
