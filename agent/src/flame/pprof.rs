//! pprof's format: a gzipped protobuf message (`google/pprof`, `proto/profile.proto`).

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use foldhash::fast::RandomState;
use prost::Message;

use crate::profile::{
    named::{Location, Mapping, Measure, Profile, Sample},
    wait,
};

/// Writes `profiles` as one: samples carry `service`, `thread` and, where it is known, their trace and span as labels.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_pprof(profiles: &[Profile], out: &mut dyn Write) -> io::Result<()> {
    let mut builder = Builder::default();
    builder.text("");
    let measure = profiles.first().map_or(Measure::Cpu, |profile| profile.measure);
    let (kind, unit) = measure.name();
    let kind = ValueType { r#type: builder.text(kind), unit: builder.text(unit) };
    let mut message = Whole {
        sample_type: vec![kind],
        period_type: Some(kind),
        period: profiles.iter().map(|profile| signed(profile.period)).max().unwrap_or(0),
        time_nanos: profiles.iter().map(|profile| signed(profile.start)).min().unwrap_or(0),
        duration_nanos: profiles.iter().map(|profile| signed(profile.duration)).max().unwrap_or(0),
        ..Whole::default()
    };
    for profile in profiles {
        for sample in &profile.samples {
            let sample = builder.sample(profile, sample);
            message.sample.push(sample);
        }
    }
    let Builder { mapping, location, function, strings, .. } = builder;
    (message.mapping, message.location, message.function) = (mapping, location, function);
    message.string_table = strings;
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(&message.encode_to_vec())?;
    gzip.finish()?;
    Ok(())
}

/// The tables, filled as samples name things. Ids count from 1.
#[derive(Default)]
struct Builder {
    strings: Vec<String>,
    texts: HashMap<String, i64, RandomState>,
    mapping: Vec<ProtoMapping>,
    mappings: HashMap<Arc<Mapping>, u64, RandomState>,
    location: Vec<ProtoLocation>,
    locations: HashMap<Arc<Location>, u64, RandomState>,
    function: Vec<Function>,
    functions: HashMap<(i64, i64, i64), u64, RandomState>,
}

impl Builder {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(&known) = self.texts.get(text) {
            return known;
        }
        let index = self.strings.len() as i64;
        self.strings.push(text.to_owned());
        self.texts.insert(text.to_owned(), index);
        index
    }

    fn sample(&mut self, profile: &Profile, sample: &Sample) -> ProtoSample {
        let locations = sample.stack.locations.iter().map(|location| self.place(location)).collect();
        let mut label = vec![self.label("service", profile.resource.service())];
        label.push(self.label("thread", &sample.thread_name));
        if let Some((trace, span)) = sample.link {
            label.push(self.label("trace_id", &trace.to_string()));
            label.push(self.label("span_id", &span.to_string()));
        }
        for key in ["http.route", wait::ATTRIBUTE] {
            if let Some(value) = sample.attributes.text(key) {
                label.push(self.label(key, value));
            }
        }
        ProtoSample { location_id: locations, value: vec![signed(sample.value())], label }
    }

    fn label(&mut self, key: &str, value: &str) -> Label {
        Label { key: self.text(key), str: self.text(value) }
    }

    fn place(&mut self, location: &Arc<Location>) -> u64 {
        if let Some(&known) = self.locations.get(location) {
            return known;
        }
        let mapping_id = location.mapping.as_ref().map_or(0, |mapping| self.file(mapping));
        let line = location.lines.iter().map(|line| {
            let name = self.text(&line.function);
            let system_name = self.text(line.system_name.as_deref().unwrap_or(&line.function));
            let filename = self.text(line.file.as_deref().unwrap_or_default());
            let next = self.function.len() as u64 + 1;
            let function_id = *self.functions.entry((name, system_name, filename)).or_insert(next);
            if function_id == next {
                self.function.push(Function { id: next, name, system_name, filename, start_line: 0 });
            }
            Line { function_id, line: i64::from(line.line) }
        });
        let line = line.collect();
        let id = self.location.len() as u64 + 1;
        self.location.push(ProtoLocation { id, mapping_id, address: location.address, line });
        self.locations.insert(Arc::clone(location), id);
        id
    }

    fn file(&mut self, mapping: &Arc<Mapping>) -> u64 {
        if let Some(&known) = self.mappings.get(mapping) {
            return known;
        }
        let id = self.mapping.len() as u64 + 1;
        let proto = ProtoMapping {
            id,
            memory_start: mapping.start,
            memory_limit: mapping.end,
            file_offset: mapping.offset,
            filename: self.text(&mapping.path),
            build_id: self.text(mapping.build_id.text()),
            // Names are final: a viewer need not look for the file.
            has_functions: true,
        };
        self.mapping.push(proto);
        self.mappings.insert(Arc::clone(mapping), id);
        id
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// `perftools.profiles.Profile`.
#[derive(Clone, PartialEq, Message)]
struct Whole {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<ProtoSample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<ProtoMapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<ProtoLocation>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoSample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoMapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    memory_start: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(uint64, tag = "4")]
    file_offset: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(int64, tag = "6")]
    build_id: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoLocation {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
    #[prost(int64, tag = "5")]
    start_line: i64,
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::{
        attribute::Attributes,
        profile::named::{Point, tests::stack},
        resource::Resource,
        span::{SpanId, TraceId},
    };

    #[test]
    fn equal_things_are_written_once_and_every_id_leads_somewhere() {
        let mut resource = Resource::default();
        resource.attributes.set("service.name", "shop");
        let sample = |text: &str, value| Sample {
            stack: stack(text),
            points: vec![Point { time: 5, value }],
            thread: 1,
            thread_name: "worker".into(),
            link: Some((TraceId([1; 16]), SpanId([2; 8]))),
            attributes: Attributes::default(),
        };
        let profile = Profile {
            id: [9; 16],
            resource: Arc::new(resource),
            measure: Measure::Cpu,
            start: 5,
            duration: 7,
            period: 10,
            samples: vec![sample("main;a < b", 10), sample("main;c", 30)],
        };
        let mut out = Vec::new();
        write_pprof(&[profile], &mut out).unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(out.as_slice()).read_to_end(&mut bytes).unwrap();
        let read = Whole::decode(bytes.as_slice()).unwrap();
        let text = |index: i64| read.string_table[usize::try_from(index).unwrap()].as_str();
        assert_eq!(text(0), "");
        assert_eq!(read.location.len(), 3, "main is one location");
        let names: Vec<Vec<&str>> = read
            .sample
            .iter()
            .map(|sample| {
                let places = sample.location_id.iter().map(|id| &read.location[*id as usize - 1]);
                let lines = places.flat_map(|place| &place.line);
                lines.map(|line| text(read.function[line.function_id as usize - 1].name)).collect()
            })
            .collect();
        assert_eq!(names, [vec!["a", "b", "main"], vec!["c", "main"]]);
        let labels: Vec<_> =
            read.sample[0].label.iter().map(|label| (text(label.key), text(label.str))).collect();
        assert_eq!(labels[0], ("service", "shop"));
        assert_eq!(labels[3].0, "span_id");
        assert_eq!(
            (text(read.sample_type[0].r#type), text(read.sample_type[0].unit)),
            ("cpu", "nanoseconds")
        );
        assert_eq!(read.period, 10);
    }
}
