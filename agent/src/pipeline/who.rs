//! Which processes are traced, and who they are.

use std::{path::Path, sync::Arc};

use anyhow::{Result, bail};
use log::{debug, info, warn};

use super::status;
use crate::{
    config::Settings,
    decode::{ProcessEvent, ProcessRecord},
    discover::{Discovery, ProcRoot, SelectionChange},
    engine::Processes,
    load::Control,
    resource::{Host, Resource, ResourceCounters, Resources},
};

pub(super) struct Who {
    pub(super) proc: ProcRoot,
    pub(super) resources: Resources,
    discovery: Discovery,
    /// Processes that were selected, or have begun another program, since this was last taken.
    begun: Vec<u32>,
    /// Processes that have loaded libraries since this was last taken.
    loaded: Vec<u32>,
}

impl Who {
    pub(super) fn new(settings: &Settings) -> Self {
        let proc = ProcRoot::new(&settings.proc);
        let host = Host::read(&proc, Path::new("/"));
        let limit = settings.limits.processes;
        let own = std::process::id();
        Self {
            resources: Resources::new(proc.clone(), host, settings.resource.traced.clone(), limit),
            discovery: Discovery::new(proc.clone(), settings.select.clone(), own, limit),
            begun: Vec::new(),
            loaded: Vec::new(),
            proc,
        }
    }

    /// Selects what is there; says what was asked for and is not.
    ///
    /// # Errors
    /// Where every process that was named is gone, and nothing else was asked for.
    pub(super) fn select(&mut self, settings: &Settings, control: &mut Control) -> Result<()> {
        for port in settings.select.ports.iter().flat_map(|range| range.iter()) {
            control.select_port(port)?;
        }
        let changes = self.discovery.scan()?;
        self.prime(&changes);
        self.apply(changes, control);
        let missing = self.discovery.missing_pids();
        let only_pids = settings.select.ports.is_empty() && settings.select.exe.is_empty();
        if only_pids && !missing.is_empty() && missing.len() == settings.select.pids.len() {
            let names: Vec<String> = missing.iter().map(u32::to_string).collect();
            bail!("there is no process {}", names.join(", "));
        }
        for pid in missing {
            warn!("there is no process {pid}");
        }
        let select = &settings.select;
        let only_exe = select.ports.is_empty() && select.pids.is_empty() && !select.exe.is_empty();
        if only_exe && self.discovery.selected().is_empty() {
            status(format_args!("no program that was asked for by name runs yet; waiting for one"));
        }
        for range in self.discovery.silent_ports() {
            status(format_args!("nobody listens on port {range} yet; waiting for it"));
        }
        Ok(())
    }

    /// Finds what no event told.
    pub(super) fn scan(&mut self, control: &mut Control) {
        match self.discovery.scan() {
            Ok(changes) => {
                self.prime(&changes);
                self.apply(changes, control);
            }
            Err(error) => warn!("processes cannot be scanned: {error}"),
        }
        self.resources.sweep();
    }

    pub(super) fn handle_process(&mut self, record: &ProcessRecord, control: &mut Control) {
        let pid = record.pid;
        let changes = match record.event {
            ProcessEvent::Fork { parent } => {
                let change = self.discovery.on_fork(parent, pid);
                if change.is_some() {
                    self.resources.started(pid, Some(parent), record.comm, record.time);
                } else if self.may_be_asked_for(pid) {
                    // Most of them execute another program at once.
                    self.resources.note(pid, Some(parent), record.comm);
                }
                change.into_iter().collect()
            }
            ProcessEvent::Exec => {
                let change = self.discovery.on_exec(pid);
                if self.may_be_asked_for(pid) {
                    self.begun.push(pid);
                    self.resources.started(pid, None, record.comm, record.time);
                }
                change.into_iter().collect()
            }
            ProcessEvent::Exit => {
                self.resources.forget(pid);
                self.discovery.on_exit(pid).into_iter().collect()
            }
            ProcessEvent::Loaded => {
                if !self.loaded.contains(&pid) {
                    self.loaded.push(pid);
                }
                Vec::new()
            }
            ProcessEvent::Listen { port } => {
                let changes = self.discovery.on_listen(pid, port);
                self.prime(&changes);
                changes
            }
        };
        self.apply(changes, control);
    }

    /// The processes that are selected by name and have all ended: nothing more can come.
    pub(super) fn is_everyone_gone(&self, settings: &Settings) -> bool {
        let select = &settings.select;
        let only_pids = select.ports.is_empty() && select.exe.is_empty() && !select.is_everything();
        only_pids && self.discovery.selected().is_empty()
    }

    /// Processes that were selected, or have begun another program, since the last call.
    pub(super) fn take_begun(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.begun)
    }

    /// Processes that have loaded libraries since the last call.
    pub(super) fn take_loaded(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.loaded)
    }

    /// Processes that were asked for, in ascending order.
    pub(super) fn selected(&self) -> Vec<u32> {
        self.discovery.selected()
    }

    /// Processes whose bytes may be handed over, in ascending order.
    pub(super) fn watched(&self) -> Vec<u32> {
        let selection = self.discovery.selection();
        if !selection.is_everything() && selection.ports.is_empty() {
            return self.discovery.selected();
        }
        let own = std::process::id();
        let all = self.proc.processes().unwrap_or_default();
        let mut pids: Vec<u32> = all
            .into_iter()
            .filter(|(pid, stat)| *pid != own && !stat.kernel_thread)
            .map(|(pid, _)| pid)
            .collect();
        pids.sort_unstable();
        pids
    }

    pub(super) fn counters(&self) -> ResourceCounters {
        let counters = self.resources.counters();
        ResourceCounters { dropped: counters.dropped + self.discovery.dropped(), ..counters }
    }

    /// The kernel may hand over bytes of its: it is selected, or one of its connections could be, by a port.
    fn may_be_asked_for(&self, pid: u32) -> bool {
        self.discovery.is_selected(pid) || !self.discovery.selection().ports.is_empty()
    }

    /// While they are surely alive: their names are wanted when they have gone.
    fn prime(&mut self, changes: &[SelectionChange]) {
        for change in changes {
            if let SelectionChange::Select(pid) = change {
                self.resources.prime(*pid);
            }
        }
    }

    fn apply(&mut self, changes: Vec<SelectionChange>, control: &mut Control) {
        for change in changes {
            match change {
                SelectionChange::Select(pid) => match control.select(pid) {
                    Ok(()) => {
                        self.begun.push(pid);
                        info!("tracing process {pid} ({})", self.resources.of(pid).service());
                    }
                    Err(error) => warn!("{error:#}"),
                },
                SelectionChange::Deselect(pid) => {
                    control.deselect(pid);
                    debug!("process {pid} is no longer traced");
                }
            }
        }
    }
}

impl Processes for Who {
    fn resource(&mut self, pid: u32) -> Arc<Resource> {
        self.resources.of(pid)
    }
}
