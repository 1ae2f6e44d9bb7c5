//! The traced processes, kept current by what the kernel tells about exec, fork, listen and exit.

use std::{
    collections::{BTreeSet, HashMap},
    io,
};

use super::{PortRange, ProcRoot, Selection, listening::listeners};

/// What to tell the kernel's map of selected processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SelectionChange {
    Select(u32),
    Deselect(u32),
}

/// The set of selected processes. It holds at most `limit`; what did not fit is counted.
///
/// A selected process stays selected until it ends, whatever it executes, and so do its descendants. When everything is
/// selected there is no set: every process but the agent is, and no change is ever reported.
#[derive(Debug)]
pub struct Discovery {
    proc: ProcRoot,
    selection: Selection,
    own: u32,
    /// Start time in ticks; unknown for a child whose fork was seen and whose `/proc` entry was not read.
    selected: HashMap<u32, Option<u64>>,
    listened: BTreeSet<u16>,
    limit: usize,
    dropped: u64,
}

impl Discovery {
    /// `own` is the agent's process id in the namespace that `proc` shows.
    #[must_use]
    pub fn new(proc: ProcRoot, selection: Selection, own: u32, limit: usize) -> Self {
        let (selected, listened) = (HashMap::new(), BTreeSet::new());
        Self { proc, selection, own, selected, listened, limit, dropped: 0 }
    }

    /// Looks at every process there is. Once at the start, and now and then after it: a scan also finds what an event did not tell
    /// (a lost record, a listening socket handed over at exec).
    ///
    /// # Errors
    /// When `/proc` itself cannot be listed.
    pub fn scan(&mut self) -> io::Result<Vec<SelectionChange>> {
        if self.selection.is_everything() {
            return Ok(Vec::new());
        }
        let stats = self.family_tree()?;

        let mut changes = self.drop_ended(&stats);
        let candidates: Vec<u32> = stats.keys().copied().collect();
        let listeners = listeners(&self.proc, &candidates, &self.selection);
        self.listened = listeners.values().flatten().copied().collect();

        let mut matching: Vec<u32> = candidates
            .into_iter()
            .filter(|pid| {
                listeners.contains_key(pid) || self.selected.contains_key(pid) || self.matches(*pid)
            })
            .collect();
        matching.sort_unstable();
        with_descendants(&mut matching, &stats);
        for pid in matching {
            changes.extend(self.select(pid, stats.get(&pid).map(|(_, start)| *start)));
        }
        Ok(changes)
    }

    /// A process executed a program: it may match now.
    pub fn on_exec(&mut self, pid: u32) -> Option<SelectionChange> {
        if self.selection.is_everything() || self.selected.contains_key(&pid) || !self.matches(pid) {
            return None;
        }
        let start = self.proc.stat(pid).map(|stat| stat.start_ticks);
        self.select(pid, start)
    }

    /// A new process (not a thread). The children of a selected process are selected.
    pub fn on_fork(&mut self, parent: u32, child: u32) -> Option<SelectionChange> {
        self.selected.contains_key(&parent).then(|| self.select(child, None))?
    }

    /// A process began to listen on `port`: it and the children it already has may be selected now.
    pub fn on_listen(&mut self, pid: u32, port: u16) -> Vec<SelectionChange> {
        let named = self.selection.ports.iter().any(|range| range.contains(port));
        if !named || self.selection.is_everything() {
            return Vec::new();
        }
        self.listened.insert(port);
        let mut family = vec![pid];
        if !self.selected.contains_key(&pid) {
            with_descendants(&mut family, &self.family_tree().unwrap_or_default());
        }
        family.into_iter().filter_map(|member| self.select(member, None)).collect()
    }

    pub fn on_exit(&mut self, pid: u32) -> Option<SelectionChange> {
        self.selected.remove(&pid).map(|_| SelectionChange::Deselect(pid))
    }

    #[must_use]
    pub fn is_selected(&self, pid: u32) -> bool {
        pid != self.own && (self.selection.is_everything() || self.selected.contains_key(&pid))
    }

    /// The selected processes, ascending; none when everything is selected.
    #[must_use]
    pub fn selected(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.selected.keys().copied().collect();
        pids.sort_unstable();
        pids
    }

    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Process ids that were asked for and are not there.
    #[must_use]
    pub fn missing_pids(&self) -> Vec<u32> {
        self.selection.pids.iter().copied().filter(|pid| !self.proc.exists(*pid)).collect()
    }

    /// Ports and ranges that were asked for and on which, at the last scan, nobody listened.
    #[must_use]
    pub fn silent_ports(&self) -> Vec<PortRange> {
        let silent = |range: &PortRange| self.listened.range(range.first()..=range.last()).next().is_none();
        self.selection.ports.iter().copied().filter(silent).collect()
    }

    /// Processes that matched and did not fit.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn matches(&self, pid: u32) -> bool {
        let executable = || self.proc.open(pid)?.executable();
        let by_exe = || executable().is_some_and(|exe| self.selection.matches_exe(&exe.path));
        self.selection.pids.contains(&pid) || (!self.selection.exe.is_empty() && by_exe())
    }

    fn select(&mut self, pid: u32, start: Option<u64>) -> Option<SelectionChange> {
        if pid == self.own {
            return None;
        }
        if let Some(known) = self.selected.get_mut(&pid) {
            *known = known.or(start);
            return None;
        }
        if self.selected.len() >= self.limit {
            self.dropped += 1;
            return None;
        }
        self.selected.insert(pid, start);
        Some(SelectionChange::Select(pid))
    }

    /// Those whose exit was not told: gone, or the id now belongs to a process that started at another time.
    fn drop_ended(&mut self, stats: &HashMap<u32, (u32, u64)>) -> Vec<SelectionChange> {
        let same = |pid: &u32, start: &Option<u64>| {
            stats.get(pid).is_some_and(|(_, now)| start.is_none_or(|then| then == *now))
        };
        let mut ended: Vec<u32> =
            self.selected.iter().filter(|(pid, start)| !same(pid, start)).map(|(pid, _)| *pid).collect();
        ended.sort_unstable();
        ended.into_iter().filter_map(|pid| self.on_exit(pid)).collect()
    }

    /// Parent and start time by process, without the kernel's own threads.
    fn family_tree(&self) -> io::Result<HashMap<u32, (u32, u64)>> {
        let processes = self.proc.processes()?.into_iter().filter(|(_, stat)| !stat.kernel_thread);
        Ok(processes.map(|(pid, stat)| (pid, (stat.ppid, stat.start_ticks))).collect())
    }
}

/// Appends the children of `pids`, theirs, and so on, each once, given (parent, start time) by process.
fn with_descendants(pids: &mut Vec<u32>, stats: &HashMap<u32, (u32, u64)>) {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (pid, (parent, _)) in stats {
        children.entry(*parent).or_default().push(*pid);
    }
    let mut seen: BTreeSet<u32> = pids.iter().copied().collect();
    let mut next = 0;
    while let Some(pid) = pids.get(next).copied() {
        next += 1;
        let mut born = children.remove(&pid).unwrap_or_default();
        born.sort_unstable();
        pids.extend(born.into_iter().filter(|child| seen.insert(*child)));
    }
}

#[cfg(test)]
mod tests {
    use super::SelectionChange::{Deselect, Select};
    use super::*;
    use crate::discover::fake_proc::FakeProc;

    const OWN: u32 = 900;

    fn discovery(fake: &FakeProc, selection: Selection) -> Discovery {
        Discovery::new(fake.root(), selection, OWN, 100)
    }

    fn by_exe(glob: &str) -> Selection {
        Selection { exe: vec![glob.parse().unwrap()], ..Selection::default() }
    }

    fn by_port(ports: &str) -> Selection {
        Selection { ports: vec![ports.parse().unwrap()], ..Selection::default() }
    }

    #[test]
    fn a_scan_selects_matches_and_their_descendants_and_is_silent_the_second_time() {
        let fake = FakeProc::new();
        fake.process(1, 0, "/sbin/init");
        fake.process(10, 1, "/usr/sbin/nginx");
        fake.process(11, 10, "/usr/bin/helper");
        fake.process(12, 11, "/usr/bin/deeper");
        fake.process(20, 1, "/usr/bin/node");
        let mut discovery = discovery(&fake, by_exe("nginx"));
        assert_eq!(discovery.scan().unwrap(), [Select(10), Select(11), Select(12)]);
        assert_eq!(discovery.scan().unwrap(), []);
        assert_eq!(discovery.selected(), [10, 11, 12]);
        assert!(discovery.is_selected(12) && !discovery.is_selected(20));
    }

    #[test]
    fn everything_is_a_flag_and_not_a_list() {
        let fake = FakeProc::new();
        fake.process(10, 1, "/usr/sbin/nginx");
        let mut discovery = discovery(&fake, Selection::default());
        assert_eq!(discovery.scan().unwrap(), []);
        assert_eq!(discovery.on_exec(10), None);
        assert_eq!(discovery.on_fork(10, 11), None);
        assert!(discovery.is_selected(10) && discovery.is_selected(12345) && !discovery.is_selected(OWN));
    }

    #[test]
    fn the_agent_is_never_selected_not_even_as_a_child() {
        let fake = FakeProc::new();
        fake.process(10, 1, "/bin/bash");
        fake.process(OWN, 10, "/usr/bin/honeyguide");
        let selection = Selection { pids: [OWN].into(), ..by_exe("bash") };
        let mut discovery = discovery(&fake, selection);
        assert_eq!(discovery.scan().unwrap(), [Select(10)]);
        assert_eq!(discovery.on_exec(OWN), None);
        assert_eq!(discovery.on_fork(10, OWN), None);
    }

    #[test]
    fn a_process_that_starts_later_is_picked_up_at_exec_and_its_children_at_fork() {
        let fake = FakeProc::new();
        let mut discovery = discovery(&fake, by_exe("node"));
        assert_eq!(discovery.scan().unwrap(), []);
        fake.process(30, 1, "/bin/sh");
        assert_eq!(discovery.on_exec(30), None);
        fake.process(30, 1, "/usr/bin/node");
        assert_eq!(discovery.on_exec(30), Some(Select(30)));
        assert_eq!(discovery.on_exec(30), None);
        assert_eq!(discovery.on_fork(30, 31), Some(Select(31)));
        assert_eq!(discovery.on_fork(1, 32), None);
        assert_eq!(discovery.on_exit(30), Some(Deselect(30)));
        assert_eq!(discovery.on_exit(30), None);
        assert!(discovery.is_selected(31));
    }

    #[test]
    fn a_scan_notices_exits_and_reused_ids_that_no_event_told() {
        let fake = FakeProc::new();
        fake.process(10, 1, "/usr/bin/node");
        fake.process(11, 1, "/usr/bin/node");
        let mut discovery = discovery(&fake, by_exe("node"));
        assert_eq!(discovery.scan().unwrap(), [Select(10), Select(11)]);
        fake.remove(10);
        fake.started(11, 1, "/usr/bin/node", 777);
        assert_eq!(discovery.scan().unwrap(), [Deselect(10), Deselect(11), Select(11)]);
    }

    #[test]
    fn a_port_selects_who_listens_on_it_in_any_network_namespace() {
        let fake = FakeProc::new();
        for (pid, net) in [(10, 1), (11, 1), (20, 2)] {
            fake.process(pid, 1, "/usr/bin/app");
            fake.namespace(pid, "net", net);
        }
        // One table for a namespace: that it stands with every member is the kernel's way.
        for pid in [10, 11] {
            fake.tcp(pid, &[(8080, "0A", 500), (9090, "0A", 501), (8080, "01", 502)]);
        }
        fake.tcp(20, &[(8080, "0A", 600)]);
        fake.descriptors(10, &["socket:[501]", "pipe:[500]"]);
        fake.descriptors(11, &["socket:[499]", "socket:[500]"]);
        fake.descriptors(20, &["socket:[600]"]);
        let mut discovery = discovery(&fake, by_port("8000-8099"));
        assert_eq!(discovery.scan().unwrap(), [Select(11), Select(20)]);
        assert_eq!(discovery.silent_ports(), []);
    }

    #[test]
    fn a_port_nobody_listens_on_is_silent_until_somebody_does() {
        let fake = FakeProc::new();
        fake.process(10, 1, "/usr/bin/python3");
        fake.process(11, 10, "/usr/bin/python3");
        let mut discovery = discovery(&fake, by_port("8080"));
        assert_eq!(discovery.scan().unwrap(), []);
        assert_eq!(discovery.silent_ports(), ["8080".parse().unwrap()]);
        assert_eq!(discovery.on_listen(10, 9090), []);
        assert_eq!(discovery.on_listen(10, 8080), [Select(10), Select(11)]);
        assert_eq!(discovery.silent_ports(), []);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let fake = FakeProc::new();
        fake.process(10, 1, "/usr/bin/node");
        let mut discovery = Discovery::new(fake.root(), by_exe("node"), OWN, 1);
        assert_eq!(discovery.scan().unwrap(), [Select(10)]);
        assert_eq!(discovery.on_fork(10, 11), None);
        assert_eq!(discovery.dropped(), 1);
        discovery.on_exit(10);
        assert_eq!(discovery.on_exec(10), Some(Select(10)));
    }

    #[test]
    fn deleted_executables_match_and_kernel_threads_do_not() {
        let fake = FakeProc::new();
        fake.process(10, 1, "/usr/sbin/nginx (deleted)");
        fake.kernel_thread(11, "nginx");
        let mut discovery = discovery(&fake, Selection { pids: [11, 12].into(), ..by_exe("nginx") });
        assert_eq!(discovery.scan().unwrap(), [Select(10)]);
        assert_eq!(discovery.missing_pids(), [12]);
    }

    #[test]
    fn a_loop_of_parents_ends() {
        let fake = FakeProc::new();
        fake.process(10, 11, "/usr/bin/node");
        fake.process(11, 10, "/bin/sh");
        let mut discovery = discovery(&fake, by_exe("node"));
        assert_eq!(discovery.scan().unwrap(), [Select(10), Select(11)]);
    }
}
