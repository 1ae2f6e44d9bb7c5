//! rustls, in programs that show their symbols.
//!
//! Of its many functions two see all plaintext and are whole in optimised builds, being called from several places:
//! `CommonState::take_received_plaintext` and `send_appdata_encrypt`. Where the compiler put one of them into its
//! callers nothing is probed: half of a conversation is worse than none.

use crate::load::uprobe::{Elf, Missed, Plan, Target};

pub(super) const RECEIVED: &str = "rustls_received";
pub(super) const SEND: &str = "rustls_send";
pub(super) const SENT: &str = "rustls_sent";

/// The same in both ways of mangling: each part of a path is behind its length.
const PARTS: [&str; 2] = ["11CommonState23take_received_plaintext", "11CommonState20send_appdata_encrypt"];
const TARGETS: [Target; 2] = [
    Target {
        function: "rustls::CommonState::take_received_plaintext",
        cookie: None,
        entry: RECEIVED,
        exits: None,
    },
    Target {
        function: "rustls::CommonState::send_appdata_encrypt",
        cookie: None,
        entry: SEND,
        exits: Some(SENT),
    },
];

/// The probes of a Rust program; none where it has no rustls, or no symbols.
pub(super) fn plan(elf: &Elf) -> Plan {
    let mut plan = Plan::default();
    let found = elf.functions_with(&PARTS);
    let missing = (0..PARTS.len()).find(|part| !found.iter().any(|(index, _)| index == part));
    if let Some(missing) = missing {
        if !found.is_empty() {
            plan.miss(TARGETS[missing].function, Missed::Inlined);
        }
        return plan;
    }
    for (index, function) in &found {
        plan.add(elf, &TARGETS[*index], function);
    }
    plan
}
