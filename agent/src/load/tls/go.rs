//! Go's `crypto/tls`.
//!
//! `Read` and `Write` unlock the connection last, by a call they deferred: its first `push` is passed by every return
//! that has moved bytes, and is emulated, where a Go function's own return is single-stepped. The result lies in the
//! frame by then. `Read` needs no probe at its entry where its arguments are still there at its end; and must
//! not, for the goroutines that wait in it when the agent comes.

use honeyguide_common::tls::{GO_HANDSHAKE, GO_READ, GO_WRITE, GoExit};

use crate::load::uprobe::{
    Elf, Function, Missed, Plan,
    go::{self, Convention},
};

pub(super) const ENTER: &str = "go_tls";
pub(super) const LEAVE: &str = "go_tls_done";

/// The connection's functions: those that move bytes, what they defer (by its names in Go up to 1.21 and since),
/// and those that begin a connection.
const READ: &str = "crypto/tls.(*Conn).Read";
const WRITE: &str = "crypto/tls.(*Conn).Write";
const HANDSHAKES: [&str; 2] = ["crypto/tls.(*Conn).clientHandshake", "crypto/tls.(*Conn).serverHandshake"];
const UNLOCK_READ: [&str; 2] = ["crypto/tls.(*Conn).Read.deferwrap1", "crypto/tls.(*Conn).Read.func1"];
const UNLOCK_WRITE: [&str; 2] = ["crypto/tls.(*Conn).Write.deferwrap2", "crypto/tls.(*Conn).Write.func2"];

/// The probes of a Go program; none where it has no TLS, or is no Go program.
pub(super) fn plan(elf: &Elf) -> Plan {
    let mut plan = Plan::default();
    let names: Vec<&str> =
        [READ, WRITE].into_iter().chain(HANDSHAKES).chain(UNLOCK_READ).chain(UNLOCK_WRITE).collect();
    let Some(found) = go::functions(elf, &names) else { return plan };
    let [read, write, client, server, read_new, read_old, write_new, write_old] = &found[..] else {
        return plan;
    };
    let unlock = |new: &Option<Function>, old: &Option<Function>, names: [&'static str; 2]| {
        let named = |function: &Option<Function>, name| Some((name, function.clone()?));
        named(new, names[0]).or_else(|| named(old, names[1]))
    };
    if let Some(read) = read {
        transfer(&mut plan, READ, GO_READ, read, unlock(read_new, read_old, UNLOCK_READ));
    }
    if let Some(write) = write {
        transfer(&mut plan, WRITE, GO_WRITE, write, unlock(write_new, write_old, UNLOCK_WRITE));
    }
    for (name, function) in HANDSHAKES.iter().zip([client, server]) {
        let Some(function) = function.as_ref().filter(|f| go::convention(f) == Convention::Registers) else {
            continue;
        };
        if let Some(site) = go::entry(function) {
            plan.place(name, ENTER, function, site, Some(GO_HANDSHAKE));
        }
    }
    plan
}

fn transfer(
    plan: &mut Plan,
    name: &str,
    call: u64,
    function: &Function,
    unlock: Option<(&'static str, Function)>,
) {
    if go::convention(function) == Convention::Stack {
        plan.miss(name, Missed::OldConvention);
        return;
    }
    let Some(entry) = go::entry(function) else {
        plan.miss(name, Missed::NoCode);
        return;
    };
    let frame = go::frame(function);
    let keeps_arguments = call == GO_READ && frame.is_some_and(|frame| frame.keeps_arguments);
    if !keeps_arguments {
        plan.place(name, ENTER, function, entry, Some(call));
    }
    let exit = GoExit { call, deferred: false, keeps_arguments, size: 0, result: 0 };
    if let Some(frame) = frame
        && let (Ok(size), Ok(result)) = (u16::try_from(frame.size), u16::try_from(frame.result))
        && let Some((within, unlock)) = unlock
        && let Some(site) = go::push(&unlock)
    {
        let exit = GoExit { deferred: true, size, result, ..exit };
        plan.place_within(name, within, LEAVE, &unlock, site, exit.cookie());
        return;
    }
    for site in go::returns(function) {
        plan.place(name, LEAVE, function, site, Some(exit.cookie()));
    }
}
