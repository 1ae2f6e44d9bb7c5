//! One process, as its resource needs it. The command line and the environment are looked at and not kept:
//! they hold secrets, so `process.command_args` is never set.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{
    Host, Runtime,
    container::container_id,
    instrumented,
    service_name::{self, Launch, Name, VARIABLES},
};
use crate::{attribute::Attributes, discover::ProcRoot, resource::parse_attributes};

/// What was read of a process while it was there, or else what the kernel's records say of it.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: Option<u32>,
    pub(super) start_ticks: Option<u64>,
    pub(super) executable: Option<PathBuf>,
    pub(super) comm: String,
    pub(super) name: Name,
    /// `OTEL_SERVICE_NAME`, else `service.name` of `OTEL_RESOURCE_ATTRIBUTES`: what the program was told it is.
    pub(super) told_name: Option<String>,
    /// The other attributes of `OTEL_RESOURCE_ATTRIBUTES`.
    pub(super) told: Vec<(String, String)>,
    pub(super) container: Option<String>,
    /// It runs under OpenTelemetry's automatic instrumentation.
    pub(super) instrumented: bool,
}

/// The namespace the conventions give for `service.instance.id`.
const INSTANCE_NAMESPACE: Uuid = Uuid::from_u128(0x4d63_009a_8d0f_11ee_aad7_4c79_6ed8_e320);

impl Process {
    /// `None` when the process is gone.
    pub(super) fn read(proc: &ProcRoot, pid: u32) -> Option<Self> {
        let process = proc.open(pid)?;
        let stat = process.stat()?;
        let executable = process.executable().map(|executable| executable.path);
        let environ =
            process.environ(|name| VARIABLES.contains(&name) || instrumented::VARIABLES.contains(&name));
        let argv = process.argv();
        let directory = process.working_directory();
        let launch = Launch {
            executable: executable.as_deref(),
            comm: &stat.comm,
            argv: &argv,
            directory: directory.as_deref(),
            environ: &environ,
        };
        let name = service_name::derive(&launch);
        let instrumented = instrumented::is(&launch, executable.as_deref().and_then(runtime));
        let variable = |key: &str| {
            environ
                .iter()
                .find(|(name, value)| name == key && !value.is_empty())
                .map(|(_, value)| value.as_str())
        };
        let mut told = variable("OTEL_RESOURCE_ATTRIBUTES")
            .and_then(|text| parse_attributes(text).ok())
            .unwrap_or_default();
        let in_attributes =
            told.iter().position(|(key, _)| key == "service.name").map(|at| told.remove(at).1);
        let told_name = variable("OTEL_SERVICE_NAME")
            .map(str::to_owned)
            .or(in_attributes)
            .filter(|name| !name.trim().is_empty());
        let container = container_id(process.cgroups().as_ref(), || process.mounts());
        Some(Self {
            pid,
            parent: Some(stat.ppid),
            start_ticks: Some(stat.start_ticks),
            executable,
            comm: stat.comm,
            name,
            told_name,
            told,
            container,
            instrumented,
        })
    }

    /// A process that was gone before it could be read.
    pub(super) fn of_record(pid: u32, parent: Option<u32>, comm: &str) -> Self {
        let launch = Launch { executable: None, comm, argv: &[], directory: None, environ: &[] };
        Self {
            pid,
            parent,
            start_ticks: None,
            executable: None,
            comm: comm.to_owned(),
            name: service_name::derive(&launch),
            told_name: None,
            told: Vec::new(),
            container: None,
            instrumented: false,
        }
    }

    /// `service.instance.id`, `process.*`, `container.id`, `telemetry.*`.
    pub(super) fn describe(&self, host: &Host, attributes: &mut Attributes) {
        if let Some(start) = self.start_ticks {
            attributes.set("service.instance.id", self.instance_id(host, start).hyphenated().to_string());
        }
        attributes.set("process.pid", self.pid);
        if let Some(parent) = self.parent {
            attributes.set("process.parent_pid", parent);
        }
        let file = self
            .executable
            .as_deref()
            .and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned());
        let runtime = self.executable.as_deref().and_then(runtime);
        if let Some(path) = &self.executable {
            attributes.set("process.executable.path", path.to_string_lossy().into_owned());
        }
        let file = file.unwrap_or_else(|| self.comm.clone());
        if !file.is_empty() {
            attributes.set("process.executable.name", file);
        }
        if let Some(name) = runtime.and_then(Runtime::name) {
            attributes.set("process.runtime.name", name);
        }
        if let Some(id) = &self.container {
            attributes.set("container.id", id.clone());
        }
        // The three `telemetry.sdk` attributes stand together or not at all, and the language must be known.
        if let Some(language) = runtime.and_then(Runtime::language) {
            attributes.set("telemetry.sdk.name", AGENT);
            attributes.set("telemetry.sdk.language", language);
            attributes.set("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
        }
        attributes.set("telemetry.distro.name", AGENT);
        attributes.set("telemetry.distro.version", env!("CARGO_PKG_VERSION"));
    }

    /// The same for the same process, whoever computes it and how often: machine, boot, process id and start time.
    fn instance_id(&self, host: &Host, start: u64) -> Uuid {
        let machine = host.id.as_deref().or(host.name.as_deref()).unwrap_or_default();
        let boot = host.boot_id.as_deref().unwrap_or_default();
        let unique = format!("{machine}/{boot}/{}/{start}", self.pid);
        Uuid::new_v5(&INSTANCE_NAMESPACE, unique.as_bytes())
    }
}

fn runtime(executable: &Path) -> Option<Runtime> {
    Runtime::of_executable(&executable.file_name()?.to_string_lossy())
}

pub(super) const AGENT: &str = "honeyguide";
