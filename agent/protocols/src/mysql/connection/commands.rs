//! What the client's packets mean.

use std::sync::Arc;

use super::{Compression, Connection, Phase};
use crate::{
    exchange::{Outcome, Party},
    mysql::{
        State, binary,
        exchange::{Awaiting, Kind, Request},
        frame::{self, LAST_STATEMENT, Login, Reading, capability, command},
        parser::{Header, Packet, Place},
    },
    reader::Reader,
    sql::{Operation, Prepared, SqlHead, Statement, System},
};

impl Connection {
    /// How the client's packet is read; `None` where none like it is due.
    pub(super) fn due_of_client(&mut self, header: &Header) -> Option<Reading> {
        match self.phase {
            Phase::Greeting => {
                return (header.sequence > 0 && header.length >= 32).then_some(Reading::Login);
            }
            Phase::Auth if header.sequence > 0 => return Some(Reading::Secret),
            Phase::Auth => {
                // The end of the authentication was not seen. What is here may be compressed.
                self.phase = Phase::Command;
                if matches!(self.compression, Compression::Agreed) {
                    self.start_compression(false);
                    return None;
                }
            }
            Phase::Command => {}
        }
        if let Some(unit) = self.exchanges.front() {
            if unit.awaiting == Awaiting::File && header.sequence > 0 {
                return Some(Reading::File);
            }
            if matches!(unit.kind, Kind::ChangeUser { .. }) && header.sequence > 0 {
                return Some(Reading::Secret);
            }
        }
        let sequence = header.sequence == 0 || matches!(self.compression, Compression::On(_));
        (sequence && header.length > 0).then_some(Reading::Command)
    }

    pub(super) fn command(&mut self, packet: &Packet<'_>) {
        match packet.reading {
            Reading::Login => self.login(packet),
            Reading::File => self.file(packet),
            Reading::Command => self.run(packet),
            Reading::Secret
            | Reading::Greeting
            | Reading::Auth
            | Reading::Answer
            | Reading::Definition
            | Reading::Row
            | Reading::Stray => {}
        }
    }

    fn login(&mut self, packet: &Packet<'_>) {
        match Login::parse(&packet.body, packet.length) {
            Some(Login::Encryption) => self.stop(State::Encrypted),
            Some(Login::Session { capabilities, database }) => {
                self.agree(capabilities);
                self.namespace = database.map(|name| String::from_utf8_lossy(name).into());
                self.phase = Phase::Auth;
                if self.server.is_lost() {
                    // Joined between the greeting and the login: what the server sends next answers it.
                    self.server.place_at(Place::Boundary);
                }
            }
            None => {
                self.phase = Phase::Command;
                self.invalid(Party::Client);
            }
        }
    }

    /// A piece of a local file; an empty one is its end.
    fn file(&mut self, packet: &Packet<'_>) {
        let Some(unit) = self.exchanges.front() else { return };
        if let Some(asked) = &mut unit.asked {
            asked.request.last = packet.extent.last;
            asked.request.wire_bytes += packet.extent.wire_bytes;
        }
        unit.sequence = Some(packet.sequence.wrapping_add(1));
        if packet.length == 0 {
            unit.awaiting = Awaiting::First;
        }
    }

    fn run(&mut self, packet: &Packet<'_>) {
        let body = &*packet.body;
        let Some(&number) = body.first() else {
            // It was not seen: it may be answered, and may have closed anything.
            self.statements.clear();
            self.last_prepared = None;
            self.exchanges.finish_all(Outcome::Lost, &self.limits);
            return self.doubt();
        };
        if !frame::is_command(number, u32::try_from(packet.length).unwrap_or(u32::MAX)) {
            return self.invalid(Party::Client);
        }
        match number {
            command::QUERY => self.query(packet),
            command::PREPARE => self.prepare(packet),
            command::EXECUTE | command::BULK_EXECUTE => self.execute(packet),
            command::FETCH | command::FIELD_LIST => self.ask(Kind::Rows, packet, None),
            command::PROCESS_INFO => self.ask(Kind::Query { database: None }, packet, None),
            command::CHANGE_USER => {
                let database = frame::changed_user_database(body).filter(|name| !name.is_empty());
                let database = database.map(|name| String::from_utf8_lossy(name).into());
                self.ask(Kind::ChangeUser { database }, packet, None);
            }
            command::INIT_DB => {
                let database = String::from_utf8_lossy(&body[1..]).into();
                self.ask(Kind::InitDb { database }, packet, None);
            }
            command::RESET_CONNECTION => self.ask(Kind::Reset, packet, None),
            command::CLOSE => match statement_number(body) {
                Some(number) => self.statements.forget(number),
                None => self.statements.clear(),
            },
            // Neither is answered.
            command::LONG_DATA | command::QUIT => {}
            command::BINLOG_DUMP | command::BINLOG_DUMP_GTID | command::TABLE_DUMP => {
                self.stop(State::Replicating);
            }
            _ => self.ask(Kind::Other, packet, None),
        }
    }

    fn query(&mut self, packet: &Packet<'_>) {
        let text = binary::statement(&packet.body, self.can(capability::QUERY_ATTRIBUTES));
        let before = text.map_or(0, |text| packet.body.len() - text.len());
        let statement = text.map(|text| self.statement(text, packet.length - before as u64));
        let database = statement
            .as_ref()
            .filter(|statement| !statement.truncated)
            .and_then(|statement| used_database(&statement.text))
            .map(Into::into);
        let head = self.head(Operation::Query, statement, None);
        self.ask(Kind::Query { database }, packet, Some((head, None)));
    }

    fn prepare(&mut self, packet: &Packet<'_>) {
        let statement = self.statement(&packet.body[1..], packet.length - 1);
        let execution = self.head(Operation::Execute, Some(statement.clone()), Some(Prepared::Known));
        let head = self.head(Operation::Prepare, Some(statement), None);
        self.last_prepared = Some(Arc::clone(&execution));
        self.ask(Kind::Prepare(execution), packet, Some((head, None)));
    }

    fn execute(&mut self, packet: &Packet<'_>) {
        let number = statement_number(&packet.body);
        let last = number == Some(LAST_STATEMENT);
        let bulk = packet.body.first() == Some(&command::BULK_EXECUTE);
        self.mariadb |= last || bulk;
        if last && self.last_prepared.is_none() {
            // It was sent right behind what prepares it, which is answered first and was not seen.
            self.pipelines = true;
            self.exchanges.finish_all(Outcome::Lost, &self.limits);
            self.doubt();
        }
        let known = if last {
            self.last_prepared.as_ref()
        } else {
            number.and_then(|number| self.statements.head(number))
        };
        let head = match known {
            Some(head) if head.namespace == self.namespace && head.system == self.system() => {
                Arc::clone(head)
            }
            // The database was changed since.
            Some(head) => self.head(Operation::Execute, head.statement.clone(), Some(Prepared::Known)),
            None => self.head(Operation::Execute, None, Some(Prepared::Unknown)),
        };
        self.ask(Kind::Execute { last }, packet, Some((head, packet.rows)));
    }

    /// The command goes to the server. `report` is what is told of it, and the size of its batch.
    fn ask(&mut self, kind: Kind, packet: &Packet<'_>, report: Option<(Arc<SqlHead>, Option<u32>)>) {
        self.late_eof = false;
        if !self.exchanges.is_empty() {
            if !self.server.is_lost() {
                self.pipelines = true;
            } else if !self.asked {
                // What it was waiting for has come, or will not be recognised.
                self.exchanges.finish_all(Outcome::Lost, &self.limits);
                self.unsure |= self.pipelines;
            }
        }
        // A client that waits for answers had those to what was not seen, if there was anything since.
        if self.unsure && (self.quiet || self.turned && !self.pipelines) {
            self.unsure = false;
            self.server.place_at(Place::Lost);
        }
        self.quiet = false;
        if self.exchanges.len() >= self.limits.outstanding {
            self.exchanges.finish_all(Outcome::Lost, &self.limits);
            self.doubt();
        }
        if self.unsure {
            self.counters.dropped_requests += u64::from(report.is_some());
            return;
        }
        if self.server.is_lost() {
            self.asked = true;
        }
        let compressed = matches!(self.compression, Compression::On(_));
        // An authentication is numbered across both sides; inside of the compressed protocol the numbers of the
        // packets around count.
        let certain = !compressed && !matches!(kind, Kind::ChangeUser { .. });
        let sequence = certain.then(|| packet.sequence.wrapping_add(1));
        let request =
            report.map(|(head, batch)| Request { head, extent: packet.extent, batch, damaged: packet.holes });
        self.exchanges.push(kind, sequence, request, &self.limits);
    }

    /// `length` is the whole text's, of which the beginning is at hand.
    fn statement(&self, text: &[u8], length: u64) -> Statement {
        let kept = &text[..text.len().min(self.limits.statement)];
        Statement { text: String::from_utf8_lossy(kept).into(), truncated: (kept.len() as u64) < length }
    }

    fn head(
        &self,
        operation: Operation,
        statement: Option<Statement>,
        prepared: Option<Prepared>,
    ) -> Arc<SqlHead> {
        let namespace = self.namespace.clone();
        let (system, backslash) = (self.system(), self.backslash);
        Arc::new(SqlHead { system, namespace, operation, statement, backslash, prepared })
    }

    fn system(&self) -> System {
        match self.greeting {
            Some(greeting) if greeting.mariadb => System::MariaDb,
            None if self.mariadb => System::MariaDb,
            Some(_) | None => System::MySql,
        }
    }
}

fn statement_number(body: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(body);
    reader.u8()?;
    frame::u32_le(&mut reader)
}

/// The database that a `USE` statement names.
fn used_database(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let (word, name) = text.split_at_checked(3)?;
    let named = word.eq_ignore_ascii_case("USE") && name.starts_with(|first: char| !is_name(first));
    let name = Some(name.trim_start()).filter(|name| named && !name.is_empty())?;
    if let Some(quoted) = name.strip_prefix('`') {
        let inner = quoted.strip_suffix('`')?;
        return (!inner.replace("``", "").contains('`')).then(|| inner.replace("``", "`"));
    }
    name.chars().all(is_name).then(|| name.to_owned())
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$' | '-')
}
