//! Bodies of fuzz targets, beside those of the protocols. Tests run them on fixed and random bytes, libFuzzer on its own
//! (`cargo xtask fuzz`).

use std::collections::HashMap;

use honeyguide_protocols::reader;

use crate::{
    decode::{self, Record},
    flow::Flows,
    pcap::{Connections, Limits, Reader},
    recording,
};

type Body = fn(&[u8]);

/// Every target, by name. `agent/tests/fuzz.rs` has what each of them begins with.
pub const TARGETS: &[(&str, Body)] = &[("decode", decode), ("pcap", pcap), ("recording", recording)];

/// Any kernel records, each two bytes of its length and as many bytes, through decoding and flow.
///
/// # Panics
///
/// When a table is not bounded, or what is meaningful of a record is not all of it.
pub fn decode(data: &[u8]) {
    let mut reader = reader::Reader::new(data);
    let mut flows = Flows::new(8, 1 << 16);
    while let Some(length) = reader.u16() {
        let length = usize::from(length).min(reader.rest().len());
        let bytes = reader.take(length).unwrap_or_default();
        let meaningful = decode::meaningful(bytes);
        let Ok(record) = decode::decode(bytes) else { continue };
        assert!(decode::decode(meaningful).is_ok());
        match record {
            Record::Data(record) => flows.handle_data(&record),
            Record::Connection(record) => flows.handle_connection(record),
            Record::State(record) => flows.handle_state(&record),
            Record::Bind(record) => flows.handle_bind(record),
            Record::Process(_)
            | Record::Times(_)
            | Record::Task(_)
            | Record::Message(_)
            | Record::Open(_)
            | Record::Wake(_)
            | Record::Injected(_)
            | Record::Arrived(_) => {}
        }
        flows.handle_time(decode::time(bytes).unwrap_or_default());
        while flows.poll_event().is_some() {}
        assert!(flows.len() <= 8);
    }
    flows.close_all(u64::MAX);
    while flows.poll_event().is_some() {}
}

/// Any file, as a recording: its frames alone.
pub fn recording(data: &[u8]) {
    let Ok(mut reader) = recording::Reader::new(data) else { return };
    while let Ok(Some(_)) = reader.next_frame() {}
}

/// Any file, as a packet capture.
///
/// # Panics
///
/// When memory is not bounded, a byte is told twice or backwards, or a stream goes on behind its end.
pub fn pcap(data: &[u8]) {
    const IN_ALL: usize = 16 << 10;
    let Ok(mut reader) = Reader::new(data) else { return };
    let mut connections = Connections::new(Limits { connections: 8, waiting: 4096, waiting_in_all: IN_ALL });
    let mut streams = HashMap::new();
    let mut check = |record: Record<'_>| {
        let Record::Data(data) = record else { return true };
        let (next, ended) = streams.entry((data.socket, data.direction)).or_insert((0, false));
        assert!(data.offset >= *next && !*ended, "{data:?} after {next}");
        assert!(data.bytes.len() as u64 <= data.length);
        (*next, *ended) = (data.offset + data.length, data.eof);
        // Some lose interest.
        data.bytes.first() != Some(&0x16)
    };
    while let Ok(Some(packet)) = reader.next_packet() {
        connections.handle(&packet, &mut check);
        assert!(connections.waiting() <= IN_ALL);
    }
    connections.finish(&mut check);
    assert_eq!(connections.waiting(), 0);
}
