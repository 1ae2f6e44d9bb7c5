//! The resources of all traced processes, made once for each and shared by its spans and metrics.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::Arc,
};

use super::{
    Host, Resource,
    budget::Budget,
    process::{AGENT, Process},
    service_name,
};
use crate::{attribute::Attributes, decode::Comm, discover::ProcRoot};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceOptions {
    /// Names every traced process, whatever it calls itself.
    pub service_name: Option<String>,
    /// Set on every resource. What a process was told about itself (`OTEL_RESOURCE_ATTRIBUTES`) goes before these.
    pub attributes: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceCounters {
    /// Processes that had no place.
    pub dropped: u64,
    /// Starts of programs that were not read at once, since there were too many; at first use is soon enough for most.
    pub postponed: u64,
    /// Processes that were gone when they were to be read: their resource has no more than the kernel's records say.
    pub unread: u64,
}

/// By process id. Bounded: ended processes go first, the longest-ended of them first.
///
/// A resource outlives its process for a while, since the last spans of a process are finished after it.
#[derive(Debug)]
pub struct Resources {
    proc: ProcRoot,
    host: Host,
    options: ResourceOptions,
    known: HashMap<u32, Known>,
    /// Ended processes, oldest first, each with the number of its end.
    ended: VecDeque<(u32, u64)>,
    ends: u64,
    limit: usize,
    starts: Budget,
    counters: ResourceCounters,
    unknown: Arc<Resource>,
}

#[derive(Debug, Default)]
struct Known {
    executable: Option<PathBuf>,
    resource: Option<Arc<Resource>>,
    /// What the kernel told of a process that was not read since.
    told: Option<Told>,
    /// The number of its end, which tells this process from earlier owners of its id.
    ended: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    comm: Comm,
    /// Of a process that runs what its parent ran when it was forked.
    parent: Option<u32>,
}

/// How many ended processes are remembered; they go earlier when the table is full.
const ENDED_LIMIT: usize = 4096;
/// Programs that are read when they start, a second and at once. One costs about a tenth of a millisecond, so that a host on
/// which scripts start programs all the time costs one percent of a CPU.
const STARTS: u64 = 100;
const STARTS_AT_ONCE: u64 = 500;

impl Resources {
    #[must_use]
    pub fn new(proc: ProcRoot, host: Host, options: ResourceOptions, limit: usize) -> Self {
        let mut resources = Self {
            proc,
            host,
            options,
            known: HashMap::new(),
            ended: VecDeque::new(),
            ends: 0,
            limit: limit.max(1),
            starts: Budget::new(STARTS, STARTS_AT_ONCE),
            counters: ResourceCounters::default(),
            unknown: Arc::default(),
        };
        resources.unknown = Arc::new(resources.nameless());
        resources
    }

    /// The resource of a process. Made at first sight; one that was never seen alive is called what the kernel called it,
    /// and without that has the host's attributes and `service.name` `unknown_service`.
    pub fn of(&mut self, pid: u32) -> Arc<Resource> {
        match self.known.get(&pid) {
            Some(Known { resource: Some(resource), told: None, .. }) => return Arc::clone(resource),
            Some(Known { ended: Some(_), .. }) => self.describe_as_told(pid),
            _ => self.prime(pid),
        }
        let resource = self.known.get(&pid).and_then(|known| known.resource.as_ref());
        Arc::clone(resource.unwrap_or(&self.unknown))
    }

    /// Reads the process anew, now: at the start of tracing. An unchanged process keeps its `Arc`; one that is gone keeps what was known.
    pub fn prime(&mut self, pid: u32) {
        let Some(process) = Process::read(&self.proc, pid) else { return self.describe_as_told(pid) };
        let resource = self.describe(&process);
        let Some(known) = self.place(pid) else { return };
        (known.told, known.ended, known.executable) = (None, None, process.executable);
        known.set(resource);
    }

    /// The process executed another program, or (`parent`) was forked and goes on with its parent's, at `time` in nanoseconds.
    /// It is read at once, since it may last only milliseconds; where very many start, when it is asked for.
    pub fn started(&mut self, pid: u32, parent: Option<u32>, comm: Comm, time: u64) {
        self.note(pid, parent, comm);
        if self.starts.take(time) {
            self.prime(pid);
        } else {
            self.counters.postponed += 1;
        }
    }

    /// As [`started`](Self::started), for a process nothing need be read of yet.
    pub fn note(&mut self, pid: u32, parent: Option<u32>, comm: Comm) {
        let Some(known) = self.place(pid) else { return };
        known.told = Some(Told { comm, parent });
        known.ended = None;
    }

    /// The process ended. Its resource can still be had until the place is needed or its id is used again.
    pub fn forget(&mut self, pid: u32) {
        let Some(known) = self.known.get_mut(&pid) else { return };
        if known.ended.is_some() {
            return;
        }
        self.ends += 1;
        known.ended = Some(self.ends);
        self.ended.push_back((pid, self.ends));
        if self.ended.len() > ENDED_LIMIT {
            self.evict();
        }
    }

    /// Makes room when there is none: forgets the processes whose end was not told. For now and then.
    pub fn sweep(&mut self) {
        if self.known.len() < self.limit {
            return;
        }
        let gone: Vec<u32> = self.known.keys().copied().filter(|pid| !self.proc.exists(*pid)).collect();
        for pid in gone {
            self.forget(pid);
        }
    }

    /// The agent's own resource, for its own telemetry. `pid` is the agent's in the namespace that `/proc` shows.
    #[must_use]
    pub fn agent(&self, pid: u32, service_name: &str) -> Resource {
        let mut attributes = Attributes::with_capacity(24);
        attributes.set("service.name", service_name.to_owned());
        attributes.set("service.version", env!("CARGO_PKG_VERSION"));
        self.host.describe(&mut attributes);
        if let Some(process) = Process::read(&self.proc, pid) {
            process.describe(&self.host, &mut attributes);
        }
        attributes.set("telemetry.sdk.name", AGENT);
        attributes.set("telemetry.sdk.language", "rust");
        attributes.set("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
        for (key, value) in &self.options.attributes {
            attributes.set(key.clone(), value.clone());
        }
        Resource { attributes, instrumented: false }
    }

    #[must_use]
    pub fn counters(&self) -> ResourceCounters {
        self.counters
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Least certain first, since a later value replaces an earlier one: what was found, what the operator said of all
    /// processes, what the process was told about itself, what the operator calls this one.
    fn describe(&self, process: &Process) -> Resource {
        let mut attributes = Attributes::with_capacity(24);
        attributes.set("service.name", self.derived_name(process));
        self.host.describe(&mut attributes);
        process.describe(&self.host, &mut attributes);
        for (key, value) in self.options.attributes.iter().chain(&process.told) {
            attributes.set(key.clone(), value.clone());
        }
        if let Some(name) = self.options.service_name.as_ref().or(process.told_name.as_ref()) {
            attributes.set("service.name", name.clone());
        }
        Resource { attributes, instrumented: process.instrumented }
    }

    /// A worker whose own command line says nothing belongs to the service of the parent that runs the same executable.
    fn derived_name(&self, process: &Process) -> String {
        if !process.name.weak {
            return process.name.text.clone();
        }
        let same = |parent: &&Known| parent.executable.is_some() && parent.executable == process.executable;
        let parent = process.parent.and_then(|parent| self.known.get(&parent));
        let service = parent.filter(same).and_then(|parent| parent.resource.as_ref()).map(|r| r.service());
        service.unwrap_or(&process.name.text).to_owned()
    }

    /// From the kernel's words alone; where there are none, what was known stays.
    fn describe_as_told(&mut self, pid: u32) {
        let Some(told) = self.known.get_mut(&pid).and_then(|known| known.told.take()) else { return };
        self.counters.unread += 1;
        let mut process = Process::of_record(pid, told.parent, &told.comm.text());
        let parent = told.parent.and_then(|parent| self.known.get(&parent)?.resource.as_ref());
        if let Some(parent) = parent {
            process.name.text = parent.service().to_owned();
            process.name.weak = false;
            process.instrumented = parent.instrumented;
        }
        let resource = self.describe(&process);
        if let Some(known) = self.known.get_mut(&pid) {
            known.executable = None;
            known.set(resource);
        }
    }

    /// Where a process is kept; `None` when there is no room.
    fn place(&mut self, pid: u32) -> Option<&mut Known> {
        if !self.known.contains_key(&pid) && self.known.len() >= self.limit && !self.evict() {
            self.counters.dropped += 1;
            return None;
        }
        Some(self.known.entry(pid).or_default())
    }

    fn nameless(&self) -> Resource {
        let mut attributes = Attributes::with_capacity(12);
        attributes.set("service.name", service_name::unknown(""));
        self.host.describe(&mut attributes);
        attributes.set("telemetry.distro.name", AGENT);
        attributes.set("telemetry.distro.version", env!("CARGO_PKG_VERSION"));
        for (key, value) in &self.options.attributes {
            attributes.set(key.clone(), value.clone());
        }
        if let Some(name) = &self.options.service_name {
            attributes.set("service.name", name.clone());
        }
        Resource { attributes, instrumented: false }
    }

    /// Takes out the longest-ended process; says whether there was one.
    fn evict(&mut self) -> bool {
        while let Some((pid, start)) = self.ended.pop_front() {
            if self.known.get(&pid).is_some_and(|known| known.ended == Some(start)) {
                self.known.remove(&pid);
                return true;
            }
        }
        false
    }
}

impl Known {
    fn set(&mut self, resource: Resource) {
        if self.resource.as_deref() != Some(&resource) {
            self.resource = Some(Arc::new(resource));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{attribute::Value, discover::fake_proc::FakeProc};

    const ID: &str = "6f3b9a1c0de24587a1b2c3d4e5f60718293a4b5c6d7e8f901122334455667788";

    fn host() -> Host {
        Host {
            name: Some("node-7".into()),
            id: Some("3d1219c7c4c5404aaa1f6d2a48adfda4".into()),
            boot_id: Some("0882e8b0-a775-40a6-92e0-d711855b4a33".into()),
            os_description: None,
            os_version: None,
        }
    }

    fn resources(fake: &FakeProc, options: ResourceOptions) -> Resources {
        Resources::new(fake.root(), host(), options, 3)
    }

    fn python(fake: &FakeProc, pid: u32, ppid: u32, argv: &[&str]) {
        fake.process(pid, ppid, "/usr/bin/python3.11");
        fake.argv(pid, argv);
    }

    #[test]
    fn all_attributes_of_a_process_in_a_container() {
        let fake = FakeProc::new();
        python(&fake, 10, 1, &["python3", "checkout.py", "--password=hunter2"]);
        fake.file(10, "environ", "HOME=/root\0OTEL_RESOURCE_ATTRIBUTES=service.namespace=shop,a=b%20c\0");
        fake.file(10, "cgroup", &format!("0::/system.slice/docker-{ID}.scope\n"));
        let resource = resources(&fake, ResourceOptions::default()).of(10);
        let version = env!("CARGO_PKG_VERSION");
        let expect: Vec<(&str, Value)> = vec![
            ("service.name", "checkout".into()),
            ("host.name", "node-7".into()),
            ("host.id", "3d1219c7c4c5404aaa1f6d2a48adfda4".into()),
            ("host.arch", if cfg!(target_arch = "x86_64") { "amd64".into() } else { "arm64".into() }),
            ("os.type", "linux".into()),
            ("service.instance.id", "9ef4b1e8-527c-5a85-9d03-bdf6771998da".into()),
            ("process.pid", 10_u32.into()),
            ("process.parent_pid", 1_u32.into()),
            ("process.executable.path", "/usr/bin/python3.11".into()),
            ("process.executable.name", "python3.11".into()),
            ("process.runtime.name", "cpython".into()),
            ("container.id", ID.into()),
            ("telemetry.sdk.name", "honeyguide".into()),
            ("telemetry.sdk.language", "python".into()),
            ("telemetry.sdk.version", version.into()),
            ("telemetry.distro.name", "honeyguide".into()),
            ("telemetry.distro.version", version.into()),
            ("service.namespace", "shop".into()),
            ("a", "b c".into()),
        ];
        let found: Vec<(&str, Value)> = resource.attributes.iter().map(|(k, v)| (k, v.clone())).collect();
        assert_eq!(found, expect);
    }

    #[track_caller]
    fn check_name(environ: &str, options: &ResourceOptions, expect: &str) {
        let fake = FakeProc::new();
        python(&fake, 10, 1, &["python3", "checkout.py"]);
        fake.file(10, "environ", environ);
        assert_eq!(resources(&fake, options.clone()).of(10).service(), expect, "{environ}");
    }

    #[test]
    fn who_names_a_service() {
        let none = ResourceOptions::default();
        check_name("", &none, "checkout");
        check_name("OTEL_RESOURCE_ATTRIBUTES=service.name=shop", &none, "shop");
        check_name("OTEL_SERVICE_NAME=till\0OTEL_RESOURCE_ATTRIBUTES=service.name=shop", &none, "till");
        check_name("OTEL_SERVICE_NAME=\0OTEL_RESOURCE_ATTRIBUTES=service.name=shop", &none, "shop");
        check_name("OTEL_RESOURCE_ATTRIBUTES=service.name=shop,broken", &none, "checkout");
        let told = ResourceOptions { service_name: Some("mine".into()), ..none };
        check_name("OTEL_SERVICE_NAME=till", &told, "mine");
    }

    #[test]
    fn the_operators_attributes_give_way_to_the_processes_own() {
        let fake = FakeProc::new();
        python(&fake, 10, 1, &["python3", "checkout.py"]);
        fake.file(10, "environ", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=canary\0");
        let attributes = [("deployment.environment.name", "production"), ("host.name", "rack-1")];
        let attributes = attributes.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        let resource = resources(&fake, ResourceOptions { attributes, ..ResourceOptions::default() }).of(10);
        assert_eq!(resource.attributes.text("deployment.environment.name"), Some("canary"));
        assert_eq!(resource.attributes.text("host.name"), Some("rack-1"));
    }

    #[test]
    fn a_process_keeps_one_resource_until_it_executes_another_program() {
        let fake = FakeProc::new();
        fake.process(10, 1, "/bin/dash");
        fake.argv(10, &["sh", "-c", "exec nginx"]);
        let mut resources = resources(&fake, ResourceOptions::default());
        let shell = resources.of(10);
        resources.prime(10);
        assert!(Arc::ptr_eq(&shell, &resources.of(10)));
        fake.process(10, 1, "/usr/sbin/nginx");
        resources.prime(10);
        assert_eq!(resources.of(10).service(), "nginx");
        let id = |resource: &Resource| resource.attributes.find("service.instance.id").cloned();
        assert_eq!(id(&shell), id(&resources.of(10)));
    }

    #[test]
    fn a_process_that_is_gone_keeps_its_name_for_a_while() {
        let fake = FakeProc::new();
        python(&fake, 10, 1, &["python3", "checkout.py"]);
        let mut resources = resources(&fake, ResourceOptions::default());
        resources.prime(10);
        fake.remove(10);
        resources.forget(10);
        resources.prime(10);
        assert_eq!(resources.of(10).service(), "checkout");
        assert_eq!(resources.of(11).service(), "unknown_service");
        assert_eq!(resources.of(11).attributes.text("host.name"), Some("node-7"));
    }

    fn comm(text: &str) -> Comm {
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Comm::new(bytes)
    }

    #[test]
    fn a_process_that_was_gone_too_soon_is_called_what_the_kernel_called_it() {
        let fake = FakeProc::new();
        let mut resources = resources(&fake, ResourceOptions::default());
        resources.started(10, None, comm("curl"), 0);
        resources.forget(10);
        let version = env!("CARGO_PKG_VERSION");
        let expect: Vec<(&str, Value)> = vec![
            ("service.name", "curl".into()),
            ("host.name", "node-7".into()),
            ("host.id", "3d1219c7c4c5404aaa1f6d2a48adfda4".into()),
            ("host.arch", if cfg!(target_arch = "x86_64") { "amd64".into() } else { "arm64".into() }),
            ("os.type", "linux".into()),
            ("process.pid", 10_u32.into()),
            ("process.executable.name", "curl".into()),
            ("telemetry.distro.name", "honeyguide".into()),
            ("telemetry.distro.version", version.into()),
        ];
        let resource = resources.of(10);
        let found: Vec<(&str, Value)> = resource.attributes.iter().map(|(k, v)| (k, v.clone())).collect();
        assert_eq!(found, expect);
        assert!(Arc::ptr_eq(&resource, &resources.of(10)));
        resources.started(11, None, comm("python3"), 0);
        assert_eq!(resources.of(11).service(), "unknown_service:python");
        assert_eq!(resources.of(11).attributes.text("process.executable.name"), Some("python3"));
        resources.started(12, None, Comm::default(), 0);
        assert_eq!(resources.of(12).service(), "unknown_service");
        assert_eq!(resources.of(12).attributes.find("process.executable.name"), None);
        assert_eq!(resources.counters(), ResourceCounters { unread: 3, ..ResourceCounters::default() });
    }

    #[test]
    fn another_program_that_is_gone_is_not_taken_for_the_one_before_it() {
        let fake = FakeProc::new();
        python(&fake, 10, 1, &["python3", "checkout.py"]);
        let mut resources = resources(&fake, ResourceOptions::default());
        assert_eq!(resources.of(10).service(), "checkout");
        fake.remove(10);
        resources.started(10, None, comm("curl"), 0);
        assert_eq!(resources.of(10).service(), "curl");
    }

    #[test]
    fn a_child_that_was_gone_too_soon_belongs_to_its_parents_service() {
        let fake = FakeProc::new();
        python(&fake, 10, 1, &["python3", "checkout.py"]);
        let mut resources = resources(&fake, ResourceOptions::default());
        resources.prime(10);
        resources.note(11, Some(10), comm("python3"));
        resources.forget(11);
        // Its id is another's by now, which no record told yet.
        python(&fake, 11, 1, &["python3", "other.py"]);
        assert_eq!(resources.of(11).service(), "checkout");
        assert_eq!(resources.of(11).attributes.find("process.parent_pid"), Some(&Value::Int(10)));
    }

    #[test]
    fn where_very_many_start_they_are_read_when_they_are_asked_for() {
        let fake = FakeProc::new();
        python(&fake, 10, 1, &["python3", "early.py"]);
        let mut resources = resources(&fake, ResourceOptions::default());
        for _ in 0..STARTS_AT_ONCE {
            resources.started(10, None, comm("python3"), 0);
        }
        assert_eq!(resources.counters().postponed, 0);
        python(&fake, 10, 1, &["python3", "late.py"]);
        resources.started(10, None, comm("python3"), 0);
        python(&fake, 10, 1, &["python3", "later.py"]);
        assert_eq!(resources.of(10).service(), "later");
        assert_eq!(resources.counters(), ResourceCounters { postponed: 1, ..ResourceCounters::default() });
        python(&fake, 10, 1, &["python3", "next.py"]);
        resources.started(10, None, comm("python3"), 1_000_000_000 / STARTS);
        fake.remove(10);
        assert_eq!(resources.of(10).service(), "next");
    }

    #[test]
    fn processes_whose_end_was_not_told_make_room_when_it_is_needed() {
        let fake = FakeProc::new();
        for pid in 10..14 {
            python(&fake, pid, 1, &["python3", &format!("s{pid}.py")]);
        }
        let mut resources = resources(&fake, ResourceOptions::default());
        resources.prime(10);
        resources.prime(11);
        fake.remove(10);
        resources.sweep();
        resources.prime(12);
        assert_eq!(resources.of(10).service(), "s10");
        resources.sweep();
        assert_eq!(resources.of(13).service(), "s13");
        assert_eq!((resources.len(), resources.counters().dropped), (3, 0));
        assert_eq!(resources.of(10).service(), "unknown_service");
    }

    #[test]
    fn ended_processes_make_room_and_living_ones_do_not() {
        let fake = FakeProc::new();
        for pid in 10..15 {
            python(&fake, pid, 1, &["python3", &format!("s{pid}.py")]);
        }
        let mut resources = resources(&fake, ResourceOptions::default());
        for pid in 10..13 {
            resources.prime(pid);
        }
        resources.prime(13);
        assert_eq!((resources.len(), resources.counters().dropped), (3, 1));
        assert_eq!(resources.of(13).service(), "unknown_service");
        resources.forget(11);
        resources.forget(11);
        resources.forget(10);
        assert_eq!(resources.of(14).service(), "s14");
        assert_eq!(resources.of(10).service(), "s10");
        assert_eq!((resources.len(), resources.counters().dropped), (3, 2));
    }

    #[test]
    fn a_reused_process_id_is_another_process() {
        let fake = FakeProc::new();
        python(&fake, 10, 1, &["python3", "old.py"]);
        let mut resources = resources(&fake, ResourceOptions::default());
        let old = resources.of(10);
        resources.forget(10);
        fake.started(10, 1, "/usr/bin/python3.11", 5555);
        fake.argv(10, &["python3", "new.py"]);
        resources.prime(10);
        let new = resources.of(10);
        assert_eq!(new.service(), "new");
        let id = |resource: &Resource| resource.attributes.find("service.instance.id").cloned();
        assert_ne!(id(&old), id(&new));
        // The stale end must not take the new owner out.
        assert!(!resources.evict());
        assert_eq!(resources.len(), 1);
    }

    #[test]
    fn workers_whose_command_line_says_nothing_have_their_parents_name() {
        let fake = FakeProc::new();
        python(&fake, 10, 1, &["python3", "-m", "uvicorn", "billing:app", "--workers", "2"]);
        python(&fake, 11, 10, &["python3", "-c", "from multiprocessing.spawn import spawn_main"]);
        fake.process(12, 10, "/bin/dash");
        fake.argv(12, &["sh", "-c", "x"]);
        let mut resources = resources(&fake, ResourceOptions::default());
        assert_eq!(resources.of(10).service(), "billing");
        assert_eq!(resources.of(11).service(), "billing");
        assert_eq!(resources.of(12).service(), "unknown_service:dash");
    }

    #[test]
    fn the_agent_has_a_resource_of_its_own() {
        let fake = FakeProc::new();
        fake.process(900, 1, "/usr/bin/honeyguide");
        let resource = resources(&fake, ResourceOptions::default()).agent(900, "honeyguide");
        assert_eq!(resource.service(), "honeyguide");
        assert_eq!(resource.attributes.text("telemetry.sdk.language"), Some("rust"));
        assert_eq!(resource.attributes.find("process.pid"), Some(&Value::Int(900)));
    }
}
