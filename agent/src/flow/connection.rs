//! One connection: its two streams put in order, and the parser that reads them.

use std::{collections::VecDeque, sync::Arc};

use honeyguide_protocols::{
    CloseReason, Event, Party, Stamp, detect::Direction, http1::Successor, http2::Secrets, mask, mysql,
};

use super::{
    Endpoints, FlowCounters, FlowEvent, FlowStates, Role, Vantage,
    detection::{Detection, Found, Piece},
    masking::{Hiding, Masking, Speech},
    protocol::{Parser, Standing},
};
use crate::decode::{ConnectionRecord, DataRecord};

/// A protocol is taken for another as many times.
const MAX_GUESSES: u8 = 3;

/// What is known of a connection apart from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    pub socket: u64,
    /// The process that first used it under our eyes.
    pub pid: u32,
    pub endpoints: Endpoints,
    pub netns: u32,
    /// TCP sequence numbers of stream offset 0: of what is sent, of what is received.
    pub sequences: Option<(u32, u32)>,
    /// Identities of a unix socket and of its peer.
    pub unix: Option<(u64, u64)>,
    /// What is followed is the inside of TLS.
    pub encrypted: bool,
}

impl ConnectionInfo {
    fn seen_from_the_other_end(&self) -> Self {
        let mut info = self.clone();
        if let Endpoints::Tcp { local, remote } = &mut info.endpoints {
            std::mem::swap(local, remote);
        }
        info.sequences = info.sequences.map(|(sent, received)| (received, sent));
        info.unix = info.unix.map(|(own, peer)| (peer, own));
        info
    }
}

/// What the table should do after a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Followed,
    /// Worth every record: tell the kernel to stop asking, by this `verdict`.
    Keep(u8),
    /// Nothing of interest: tell the kernel to stop recording.
    Ignore,
    /// The connection goes on in another protocol, whose start the record may hold.
    Again,
    /// The operation failed for good.
    Failed(i32),
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) info: Arc<ConnectionInfo>,
    /// When its last record was made.
    pub(super) last_active: u64,
    /// The stream offset that comes next: of what is sent, of what is received.
    next: [u64; 2],
    ending: bool,
    /// The connection has been seen from its first byte.
    from_start: bool,
    vantage: Vantage,
    /// It is TLS, and nothing of its inside has been seen.
    opaque: bool,
    /// A server of MySQL said this before the connection went on encrypted.
    greeting: Option<mysql::Greeting>,
    followed: Followed,
    /// Protocols that it did not speak after all.
    wrong_guesses: u8,
    /// Exchanges that parsers before the present one have numbered, and all of them: numbers are the connection's.
    numbered: (u64, u64),
    /// The last verdict that the kernel was told.
    told: Option<u8>,
    masking: Option<Masking>,
}

#[derive(Debug)]
enum Followed {
    Detecting(Detection),
    Known { parser: Parser, client: Direction, exchanges: u64 },
    Ignored,
}

impl Flow {
    pub(super) fn described(record: ConnectionRecord, vantage: Vantage, secrets: Option<Secrets>) -> Self {
        let detection = Detection::new(record.from_start);
        let info = ConnectionInfo {
            socket: record.socket,
            pid: record.pid,
            endpoints: record.endpoints,
            netns: record.netns,
            sequences: record.sequences,
            unix: record.unix,
            encrypted: false,
        };
        Self {
            info: Arc::new(info),
            last_active: record.time,
            next: [0; 2],
            ending: false,
            from_start: record.from_start,
            vantage,
            opaque: false,
            greeting: None,
            followed: Followed::Detecting(detection),
            wrong_guesses: 0,
            numbered: (0, 0),
            told: None,
            masking: secrets.map(Masking::new),
        }
    }

    pub(super) fn undescribed(record: &DataRecord<'_>, secrets: Option<Secrets>) -> Self {
        let info = ConnectionInfo {
            socket: record.socket,
            pid: record.stamp.actor.pid,
            endpoints: Endpoints::Unknown,
            netns: 0,
            sequences: None,
            unix: None,
            encrypted: false,
        };
        let mut next = [0; 2];
        next[record.direction as usize] = record.offset;
        Self {
            info: Arc::new(info),
            last_active: record.stamp.time,
            next,
            ending: false,
            from_start: false,
            vantage: Vantage::End,
            opaque: false,
            greeting: None,
            followed: Followed::Detecting(Detection::new(false)),
            wrong_guesses: 0,
            numbered: (0, 0),
            told: None,
            masking: secrets.map(Masking::new),
        }
    }

    pub(super) fn handle_data(
        &mut self,
        record: &DataRecord<'_>,
        counters: &mut FlowCounters,
        events: &mut VecDeque<FlowEvent>,
    ) -> Outcome {
        self.last_active = record.stamp.time;
        if record.plaintext && !self.info.encrypted {
            self.look_inside(record, counters);
        }
        if self.info.encrypted && !record.plaintext {
            return self.handle_ciphertext(record, counters, events);
        }
        let next = &mut self.next[record.direction as usize];
        if record.offset < *next {
            counters.reordered += 1;
            return Outcome::Followed;
        }
        let lost = record.offset - *next;
        *next = record.offset + record.length;
        if lost > 0 {
            counters.lost_stretches += 1;
        }
        let header = self.header(record);
        let record = &behind(record, header);
        if header > 0 && record.length == 0 && !record.eof {
            return Outcome::Followed;
        }
        self.detect(record, lost, counters);
        if let Followed::Known { parser, client, .. } = &mut self.followed {
            feed(parser, party(record.direction, *client), record, lost);
            Masking::collect(&mut self.masking, parser, *client);
        }
        let mut outcome = self.report(counters, events);
        if outcome == Outcome::Again
            && let Followed::Known { parser, client, .. } = &mut self.followed
        {
            feed(parser, party(record.direction, *client), record, 0);
            Masking::collect(&mut self.masking, parser, *client);
            outcome = self.report(counters, events);
        }
        match record.error {
            Some(errno) if ends_connection(errno) => Outcome::Failed(errno),
            Some(_) | None => outcome,
        }
    }

    /// The first plaintext: from here on it is the connection's stream, with offsets of its own.
    fn look_inside(&mut self, record: &DataRecord<'_>, counters: &mut FlowCounters) {
        counters.encrypted += 1;
        self.opaque = false;
        if let Followed::Known { parser, .. } = &self.followed {
            parser.count(counters);
            self.greeting = self.greeting.or(parser.greeting());
        }
        let whole = self.from_start && record.offset == 0;
        let mut info = ConnectionInfo::clone(&self.info);
        info.encrypted = true;
        if !whole {
            // Which byte of the wire the first plaintext was in is not known, so its numbers name nothing.
            (info.sequences, info.unix) = (None, None);
        }
        self.info = Arc::new(info);
        self.next = [0; 2];
        self.next[record.direction as usize] = record.offset;
        self.followed = Followed::Detecting(Detection::new(whole));
        if let Some(masking) = &mut self.masking {
            masking.begin(None, Direction::Sent);
        }
    }

    /// Beside the plaintext only the ends of the streams count.
    fn handle_ciphertext(
        &mut self,
        record: &DataRecord<'_>,
        counters: &mut FlowCounters,
        events: &mut VecDeque<FlowEvent>,
    ) -> Outcome {
        if record.eof
            && let Followed::Known { parser, client, .. } = &mut self.followed
        {
            parser.handle_shutdown(party(record.direction, *client), record.stamp);
        }
        self.report(counters, events);
        match record.error {
            Some(errno) if ends_connection(errno) => Outcome::Failed(errno),
            // The kernel still tells of plaintext, and of the end.
            Some(_) | None => Outcome::Ignore,
        }
    }

    pub(super) fn handle_local_shutdown(
        &mut self,
        at: Stamp,
        counters: &mut FlowCounters,
        events: &mut VecDeque<FlowEvent>,
    ) {
        if let Followed::Known { parser, client, .. } = &mut self.followed {
            parser.handle_shutdown(party(Direction::Sent, *client), at);
        }
        self.report(counters, events);
    }

    pub(super) fn handle_close(
        &mut self,
        at: Stamp,
        reason: CloseReason,
        counters: &mut FlowCounters,
        events: &mut VecDeque<FlowEvent>,
    ) {
        if let Followed::Known { parser, .. } = &mut self.followed {
            parser.handle_close(at, reason);
            parser.count(counters);
        }
        counters.opaque += u64::from(self.opaque);
        self.report(counters, events);
    }

    /// Bytes that are held for want of what belongs to them.
    pub(super) fn buffered(&self) -> usize {
        match &self.followed {
            Followed::Detecting(detection) => detection.buffered(),
            Followed::Known { parser, .. } => parser.buffered(),
            Followed::Ignored => 0,
        }
    }

    /// Nobody looks at it any more: what was under way ends unobserved.
    pub(super) fn give_up(
        &mut self,
        at: Stamp,
        counters: &mut FlowCounters,
        events: &mut VecDeque<FlowEvent>,
    ) {
        if let Followed::Known { parser, .. } = &mut self.followed {
            parser.handle_close(at, CloseReason::Unobserved);
            parser.count(counters);
        }
        self.report(counters, events);
        self.ignore();
    }

    /// Whether a request is without its whole answer.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(&self.followed, Followed::Known { parser, .. } if parser.outstanding() > 0)
    }

    /// What can be shown of the bytes so far; empty unless somebody asked for it.
    pub(super) fn take_shown(&mut self) -> Vec<(Direction, u64, Vec<u8>)> {
        self.masking.as_mut().map_or_else(Vec::new, Masking::take)
    }

    /// What of this direction's bytes nobody is to see but what is shown.
    pub(super) fn hiding(&self, direction: Direction, plaintext: bool) -> Hiding {
        let Some(masking) = self.masking.as_ref().filter(|_| plaintext == self.info.encrypted) else {
            return Hiding::default();
        };
        let waits = match &self.followed {
            Followed::Known { parser, client, .. } => parser.is_holding(party(direction, *client)),
            Followed::Detecting(detection) => detection.buffered() > 0,
            Followed::Ignored => false,
        };
        Hiding { from: masking.from(direction), waits }
    }

    pub(super) fn speech(&self, plaintext: bool) -> Option<Speech> {
        let Followed::Known { parser, client, .. } = &self.followed else { return None };
        let compressed = parser.is_compressed();
        let speech = Speech { protocol: parser.protocol(), client: *client, compressed };
        (plaintext == self.info.encrypted).then_some(speech)
    }

    /// What MySQL's parser has read since the last call, where somebody masks it.
    pub(super) fn take_notes(&mut self) -> Option<mysql::Notes> {
        match &mut self.followed {
            Followed::Known { parser, .. } => parser.take_notes(),
            Followed::Detecting(_) | Followed::Ignored => None,
        }
    }

    /// Nobody reads it any more.
    fn ignore(&mut self) {
        let database = match &self.followed {
            Followed::Known { parser, .. } => mask::hides(parser.protocol()),
            Followed::Detecting(_) | Followed::Ignored => false,
        };
        if let Some(masking) = self.masking.as_mut().filter(|_| database) {
            masking.suspect();
        }
        self.followed = Followed::Ignored;
    }

    /// True the first time.
    pub(super) fn start_ending(&mut self) -> bool {
        !std::mem::replace(&mut self.ending, true)
    }

    pub(super) fn count_state(&self, states: &mut FlowStates) {
        match &self.followed {
            Followed::Detecting(_) => states.detecting += 1,
            Followed::Known { parser, .. } => states.known[parser.protocol() as usize] += 1,
            Followed::Ignored if self.opaque => states.opaque += 1,
            Followed::Ignored => states.ignored += 1,
        }
    }

    /// The length of what is in front of the connection's protocol, in its first record.
    fn header(&mut self, record: &DataRecord<'_>) -> u64 {
        let Followed::Detecting(detection) = &mut self.followed else { return 0 };
        let length = detection.header(record);
        if let Some(masking) = self.masking.as_mut().filter(|_| length > 0) {
            masking.skip(record.direction, length);
        }
        length
    }

    fn detect(&mut self, record: &DataRecord<'_>, lost: u64, counters: &mut FlowCounters) {
        let Followed::Detecting(detection) = &mut self.followed else { return };
        let found = detection.handle(record, lost);
        let hides = match found {
            Found::NotYet => {
                let tls = detection.is_from_start() && is_tls(record.bytes);
                !tls || detection.may_hold_a_block(record)
            }
            // Whatever it is, nobody reads it.
            Found::Nothing => !is_tls(record.bytes),
            Found::Known { .. } => false,
        };
        if let Some(masking) = self.masking.as_mut().filter(|_| hides) {
            masking.suspect();
        }
        match found {
            Found::NotYet => {}
            Found::Nothing => {
                counters.ignored += 1;
                self.opaque = is_tls(record.bytes);
                self.followed = Followed::Ignored;
            }
            Found::Known { protocol, client } => {
                self.numbered.0 = self.numbered.1;
                let secrets = self.masking.as_ref().map(|masking| masking.secrets);
                let mut parser = Parser::new(protocol, detection.opened(client), secrets);
                let pending = detection.take_pending();
                if let Some(masking) = &mut self.masking {
                    if parser.http2().is_none() {
                        masking.reveal(pending.iter().flat_map(Piece::captured));
                    }
                    masking.begin(parser.http2(), client);
                }
                if let Some(greeting) = self.greeting {
                    parser.set_greeting(greeting);
                }
                for piece in pending {
                    piece.feed(&mut parser, client);
                }
                self.followed = Followed::Known { parser, client, exchanges: 0 };
                if self.vantage == Vantage::Wire && client == Direction::Sent {
                    // Taken for the server until it asked.
                    self.info = Arc::new(self.info.seen_from_the_other_end());
                }
            }
        }
    }

    /// Hands on what the parser has, and says what became of the connection.
    fn report(&mut self, counters: &mut FlowCounters, events: &mut VecDeque<FlowEvent>) -> Outcome {
        let Followed::Known { parser, client, exchanges } = &mut self.followed else {
            return match self.followed {
                Followed::Ignored => Outcome::Ignore,
                Followed::Detecting(_) | Followed::Known { .. } => Outcome::Followed,
            };
        };
        let asks = *client == Direction::Sent && self.vantage == Vantage::End;
        let role = if asks { Role::Client } else { Role::Server };
        while let Some(mut event) = parser.poll_event() {
            let id = event.id_mut();
            *id += self.numbered.0;
            self.numbered.1 = self.numbered.1.max(*id + 1);
            *exchanges += u64::from(matches!(event, Event::Exchange(_)));
            events.push_back(FlowEvent { connection: Arc::clone(&self.info), role, event });
        }
        match parser.standing() {
            Standing::Good => {}
            Standing::Upgraded => {
                counters.upgraded += 1;
                return match parser.take_successor() {
                    Some(Successor::Http2(exchange)) => {
                        parser.count(counters);
                        *parser = Parser::upgraded(&exchange, self.masking.as_ref().map(|it| it.secrets));
                        if let Some(masking) = &mut self.masking {
                            masking.begin(parser.http2(), *client);
                        }
                        Outcome::Again
                    }
                    Some(Successor::Tunnel) => {
                        parser.count(counters);
                        self.followed = Followed::Detecting(Detection::in_tunnel());
                        Outcome::Followed
                    }
                    None => {
                        self.greeting = self.greeting.or(parser.greeting());
                        // Nothing comes before a greeting.
                        self.from_start |= self.greeting.is_some();
                        self.followed = Followed::Ignored;
                        Outcome::Ignore
                    }
                };
            }
            Standing::Failed => {
                counters.failed += 1;
                parser.count(counters);
                if *exchanges == 0 && self.wrong_guesses < MAX_GUESSES {
                    self.wrong_guesses += 1;
                    self.followed = Followed::Detecting(Detection::new(false));
                    return Outcome::Followed;
                }
                self.ignore();
                return Outcome::Ignore;
            }
        }
        match parser.verdict(*exchanges) {
            Some(word) if self.told != Some(word) => {
                self.told = Some(word);
                Outcome::Keep(word)
            }
            Some(_) | None => Outcome::Followed,
        }
    }
}

/// A record without its first `header` bytes, which were captured.
fn behind<'a>(record: &DataRecord<'a>, header: u64) -> DataRecord<'a> {
    let bytes =
        usize::try_from(header).ok().and_then(|header| record.bytes.get(header..)).unwrap_or_default();
    DataRecord { offset: record.offset + header, length: record.length - header, bytes, ..*record }
}

/// Gives a record to the parser: what was lost before it, its bytes, what of it was not captured, its end.
pub(super) fn feed(parser: &mut Parser, from: Party, record: &DataRecord<'_>, lost: u64) {
    if lost > 0 {
        parser.handle_gap(from, record.stamp, record.offset - lost, lost, &[]);
    }
    if !record.bytes.is_empty() {
        parser.handle_bytes(from, record.stamp, record.offset, record.bytes);
    }
    let seen = record.bytes.len() as u64;
    if record.length > seen {
        let tail = &record.tail[..record.tail_length];
        // Where the tail reaches into what was captured, only the rest of it is new.
        let new = tail.len().min(usize::try_from(record.length - seen).unwrap_or(usize::MAX));
        let tail = &tail[tail.len() - new..];
        parser.handle_gap(from, record.stamp, record.offset + seen, record.length - seen, tail);
    }
    if record.eof {
        parser.handle_shutdown(from, record.stamp);
    }
}

/// A record of TLS begins like this: a handshake's, or application data where the beginning was missed (RFC 8446,
/// section 5.1).
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [22 | 23, 3, 0..=4, ..])
}

pub(super) fn party(direction: Direction, client: Direction) -> Party {
    if direction == client { Party::Client } else { Party::Server }
}

/// EPIPE, ECONNABORTED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH and their like; others concern one call only.
fn ends_connection(errno: i32) -> bool {
    matches!(errno, libc::EPIPE | libc::ENETDOWN..=libc::ECONNRESET | libc::ETIMEDOUT..=libc::EHOSTUNREACH)
}
