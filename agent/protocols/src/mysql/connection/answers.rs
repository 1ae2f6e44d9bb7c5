//! What the server's packets mean.

use std::sync::Arc;

use super::{Compression, Connection, Phase};
use crate::{
    exchange::{Outcome, Party},
    mysql::{
        Greeting,
        exchange::{Awaiting, Kind},
        frame::{
            EOF, ERROR, End, INFILE, LONGEST, OK, PROTOCOL, Prepared, Reading, Refusal, columns, status,
        },
        parser::{Header, Packet, Place},
    },
};

/// The server does not know the statement (`ER_UNKNOWN_STMT_HANDLER`).
const UNKNOWN_STATEMENT: u16 = 1243;

impl Connection {
    /// How the server's packet is read; `None` where none like it is due.
    pub(super) fn due_of_server(&mut self, header: &Header) -> Option<Reading> {
        match self.phase {
            Phase::Greeting => return Some(Reading::Greeting),
            Phase::Auth => return Some(Reading::Auth),
            Phase::Command => {}
        }
        let fits = |sequence: Option<u8>| sequence.is_none_or(|due| due == header.sequence);
        match self.exchanges.due() {
            (Some(due), _) if fits(due) => {}
            (Some(_), _) if self.late_eof && header.length == 5 => return Some(Reading::Stray),
            (Some(_), Some(next)) if fits(next) => {
                // The answer was over.
                self.damage();
                self.exchanges.finish(Outcome::Lost, &self.limits);
            }
            (Some(_), _) => return None,
            (None, _) => return Some(Reading::Stray),
        }
        self.exchanges.begin(header.extent, &self.limits);
        let unit = self.exchanges.front()?;
        Some(match (&unit.kind, unit.awaiting) {
            (Kind::ChangeUser { .. }, _) => Reading::Auth,
            (_, Awaiting::First | Awaiting::File) => Reading::Answer,
            (_, Awaiting::Columns { .. } | Awaiting::Definitions { .. }) => Reading::Definition,
            (_, Awaiting::Rows) => Reading::Row,
        })
    }

    pub(super) fn answer(&mut self, packet: &Packet<'_>) {
        match packet.reading {
            Reading::Greeting => self.greet(packet),
            Reading::Auth if self.phase == Phase::Auth => self.authenticate(packet),
            Reading::Auth => {
                // Otherwise the client has gone on since the packet began.
                if self.exchanges.front().is_some_and(|unit| matches!(unit.kind, Kind::ChangeUser { .. })) {
                    self.respond(packet);
                }
            }
            Reading::Answer | Reading::Definition | Reading::Row => self.respond(packet),
            Reading::Stray => {
                let eof = packet.length == 5 && packet.body.first() == Some(&EOF);
                if std::mem::take(&mut self.late_eof) && eof {
                    self.eof = Some(true);
                } else {
                    self.counters.orphan_responses += u64::from(packet.sequence == 1);
                }
            }
            Reading::Login | Reading::Secret | Reading::Command | Reading::File => {}
        }
    }

    fn greet(&mut self, packet: &Packet<'_>) {
        match packet.body.first() {
            Some(&PROTOCOL) => self.greeting = Greeting::parse(&packet.body),
            // The server takes no connection.
            Some(&ERROR) => {}
            Some(_) | None => {
                self.phase = Phase::Command;
                self.client.place_at(Place::Lost);
                self.invalid(Party::Server);
            }
        }
    }

    fn authenticate(&mut self, packet: &Packet<'_>) {
        if packet.body.first() != Some(&OK) {
            return;
        }
        self.phase = Phase::Command;
        self.note(&End::parse(&packet.body, packet.length));
        if matches!(self.compression, Compression::Agreed) {
            self.start_compression(true);
        }
    }

    fn respond(&mut self, packet: &Packet<'_>) {
        let first = packet.body.first().copied();
        let eof = packet.length == 5 && first.is_none_or(|first| first == EOF);
        let Some(unit) = self.exchanges.front() else { return };
        self.late_eof = false;
        unit.sequence = unit.sequence.map(|_| packet.sequence.wrapping_add(1));
        let awaiting = unit.awaiting;
        let changes_user = matches!(unit.kind, Kind::ChangeUser { .. });
        self.exchanges.touch(packet.extent, &self.limits);
        if packet.holes {
            self.damage();
        }
        if first == Some(ERROR) && packet.length < u64::from(LONGEST) {
            let refusal = Refusal::parse(&packet.body);
            if !refusal.is_progress() {
                self.refuse(&refusal);
            }
            return;
        }
        match (awaiting, first) {
            (Awaiting::First | Awaiting::Rows, None) => {
                // What begins with bytes that were not seen may be anything.
                self.lose(Party::Server);
            }
            (Awaiting::First, Some(OK)) if changes_user => self.succeed(packet),
            (Awaiting::First, Some(_)) if changes_user => {}
            (Awaiting::First | Awaiting::File, Some(first)) => self.begin(packet, first),
            (Awaiting::File, None) => {}
            (Awaiting::Columns { left: left @ 1.. }, _) => {
                self.wait_for(Awaiting::Columns { left: left - 1 });
            }
            (Awaiting::Columns { left: 0 }, _) if eof => {
                self.eof = Some(true);
                let end = End::parse(&packet.body, packet.length);
                if end.has(status::CURSOR) {
                    // The rows are fetched by another command.
                    self.result_ends(&end);
                } else {
                    self.wait_for(Awaiting::Rows);
                }
            }
            (Awaiting::Columns { left: 0 }, first) => {
                self.eof = Some(false);
                self.wait_for(Awaiting::Rows);
                self.row(packet, first);
            }
            (Awaiting::Rows, first) => self.row(packet, first),
            (Awaiting::Definitions { parameters, columns }, _) => {
                self.definition(parameters, columns, eof);
            }
        }
    }

    fn wait_for(&mut self, awaiting: Awaiting) {
        if let Some(unit) = self.exchanges.front() {
            unit.awaiting = awaiting;
        }
    }

    /// The first packet of an answer, or of one of its results.
    fn begin(&mut self, packet: &Packet<'_>, first: u8) {
        let Some(unit) = self.exchanges.front() else { return };
        match &unit.kind {
            Kind::Query { .. } | Kind::Execute { .. } => {
                let counted = columns(&packet.body, packet.length).filter(|_| !packet.holes);
                if first == OK && packet.length >= 7 || first == EOF {
                    self.succeed(packet);
                } else if first == INFILE {
                    self.wait_for(Awaiting::File);
                } else if let Some((count, described)) = counted {
                    self.wait_for(Awaiting::Columns { left: if described { count } else { 0 } });
                } else if packet.holes {
                    self.lose(Party::Server);
                } else {
                    self.invalid(Party::Server);
                }
            }
            Kind::Prepare(head) => {
                let head = Arc::clone(head);
                let Some(prepared) = Prepared::parse(&packet.body) else {
                    self.damage();
                    self.lose(Party::Server);
                    return;
                };
                self.last_prepare_failed = false;
                self.statements.prepare(prepared.statement, head, prepared.parameters, &self.limits);
                let (parameters, columns) = (prepared.parameters, prepared.columns);
                if prepared.described && (parameters > 0 || columns > 0) {
                    self.wait_for(Awaiting::Definitions { parameters, columns });
                } else {
                    self.exchanges.finish(Outcome::Complete, &self.limits);
                }
            }
            Kind::ChangeUser { .. } | Kind::InitDb { .. } | Kind::Reset | Kind::Other | Kind::Rows => {
                self.succeed(packet);
            }
        }
    }

    /// A result, or a command, ended well and without rows.
    fn succeed(&mut self, packet: &Packet<'_>) {
        let end = End::parse(&packet.body, packet.length);
        let Some(unit) = self.exchanges.front() else { return };
        let ok = packet.body.first() == Some(&OK);
        let database = match &unit.kind {
            Kind::Query { database } => database.clone(),
            Kind::InitDb { database } => Some(Arc::clone(database)),
            Kind::ChangeUser { database } => {
                self.namespace.clone_from(database);
                None
            }
            Kind::Execute { .. } | Kind::Prepare(_) | Kind::Rows | Kind::Other | Kind::Reset => None,
        };
        if matches!(unit.kind, Kind::ChangeUser { .. } | Kind::Reset) {
            self.statements.clear();
            self.last_prepared = None;
        }
        if database.is_some() && ok {
            self.namespace = database;
        }
        self.exchanges.done(&end);
        self.result_ends(&end);
    }

    fn row(&mut self, packet: &Packet<'_>, first: Option<u8>) {
        if first == Some(EOF) && packet.length < u64::from(LONGEST) {
            let end = End::parse(&packet.body, packet.length);
            self.exchanges.rows_end();
            self.result_ends(&end);
        } else if let Some(asked) = self.exchanges.asked() {
            asked.rows += 1;
        }
    }

    fn result_ends(&mut self, end: &End<'_>) {
        self.note(end);
        if end.status.is_none()
            && let Some(asked) = self.exchanges.asked()
        {
            // Whether another result follows was not seen.
            asked.uncounted = true;
        }
        if end.has(status::MORE_RESULTS) {
            self.wait_for(Awaiting::First);
        } else {
            self.exchanges.finish(Outcome::Complete, &self.limits);
        }
    }

    fn note(&mut self, end: &End<'_>) {
        if let Some(status) = end.status {
            self.note_status(status);
        }
        if let Some(database) = end.database {
            let name = Some(database).filter(|name| !name.is_empty());
            self.namespace = name.map(|name| String::from_utf8_lossy(name).into());
        }
    }

    /// A description of a parameter or a column of a prepared statement, or the end of such.
    fn definition(&mut self, parameters: u16, columns: u16, eof: bool) {
        if eof {
            self.eof = Some(true);
        }
        let (parameters, columns) = match (parameters, columns) {
            _ if eof => (parameters, columns),
            (1.., _) => (parameters - 1, columns),
            (0, _) => (0, columns.saturating_sub(1)),
        };
        if parameters > 0 || columns > 0 || !eof && self.eof == Some(true) {
            return self.wait_for(Awaiting::Definitions { parameters, columns });
        }
        // Whether an `EOF` follows may not be known.
        self.late_eof = self.eof.is_none();
        self.exchanges.finish(Outcome::Complete, &self.limits);
    }

    fn refuse(&mut self, refusal: &Refusal<'_>) {
        self.exchanges.fail(refusal);
        let Some(unit) = self.exchanges.front() else { return };
        match &unit.kind {
            Kind::Prepare(_) => self.last_prepare_failed = true,
            Kind::Execute { last: true }
                if self.last_prepare_failed && refusal.code == Some(UNKNOWN_STATEMENT) =>
            {
                if let Some(asked) = &mut unit.asked {
                    asked.skipped = true;
                }
            }
            Kind::Query { .. }
            | Kind::Execute { .. }
            | Kind::Rows
            | Kind::ChangeUser { .. }
            | Kind::Other
            | Kind::InitDb { .. }
            | Kind::Reset => {}
        }
        self.exchanges.finish(Outcome::Complete, &self.limits);
    }
}
