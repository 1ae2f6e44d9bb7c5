//! A packet capture, packet after packet.

use std::{collections::HashMap, io::Read, net::SocketAddr, sync::Arc};

use anyhow::Result;
use honeyguide_common::verdict;
use log::warn;

use super::{BATCH, Stages, status};
use crate::{
    clock::Clock,
    config::Settings,
    decode::Record,
    engine::Processes,
    flow::{ConnectionInfo, Endpoints, Vantage},
    pcap::{Connections, Limits, Reader},
    resource::Resource,
    telemetry::Account,
};

/// Resources that are shared by the spans of a server; beyond it each span has one of its own.
const SERVERS: usize = 16_384;

pub(super) fn replay<R: Read>(settings: &Settings, mut reader: Reader<R>) -> Result<()> {
    let limits = Limits { connections: settings.limits.connections, ..Limits::default() };
    let mut connections = Connections::new(limits);
    let mut servers = Servers::default();
    let mut packet = reader.next_packet();
    let start = packet.as_ref().ok().and_then(Option::as_ref).map_or(0, |packet| packet.time);
    // Packets have the time of day.
    let mut stages = Stages::new(settings, Clock::default(), start)?;
    stages.engine.flows.set_vantage(Vantage::Wire);
    let take = |record: Record<'_>, stages: &mut Stages, servers: &mut Servers| {
        stages.engine.handle(record, servers);
        // Nobody reads on a connection that speaks something else.
        !stages.engine.flows.take_verdicts().iter().any(|&(_, word)| word == verdict::IGNORE)
    };
    let damage = loop {
        match packet {
            Ok(Some(found)) => {
                connections.handle(&found, &mut |record| take(record, &mut stages, &mut servers));
                stages.engine.handle_time(connections.now(), &mut servers);
                stages.hand_over(BATCH);
            }
            Ok(None) => break None,
            Err(damage) => break Some(damage),
        }
        packet = reader.next_packet();
    };
    connections.finish(&mut |record| take(record, &mut stages, &mut servers));
    if reader.is_truncated() {
        warn!("the capture ends in the middle of a packet; what came before it was read");
    }
    let now = connections.now().max(start);
    stages.finish(now, &mut servers, &Account::default());
    connections.counters.dropped = reader.dropped();
    status(format_args!("{}", connections.counters));
    damage.map_or(Ok(()), |damage| Err(damage.into()))
}

/// Who answers: all that is known of a server is its address.
#[derive(Default)]
struct Servers {
    known: HashMap<SocketAddr, Arc<Resource>>,
    unknown: Arc<Resource>,
}

impl Processes for Servers {
    fn resource(&mut self, _pid: u32) -> Arc<Resource> {
        Arc::clone(&self.unknown)
    }

    fn owner(&mut self, connection: &ConnectionInfo, _actor: u32) -> Arc<Resource> {
        let Endpoints::Tcp { local, .. } = connection.endpoints else { return Arc::clone(&self.unknown) };
        if let Some(known) = self.known.get(&local) {
            return Arc::clone(known);
        }
        let resource = Arc::new(Resource::named(local.to_string()));
        if self.known.len() < SERVERS {
            self.known.insert(local, Arc::clone(&resource));
        }
        resource
    }
}
