//! The machine: `host.*` and `os.*`, read once.

use std::{env::consts::ARCH, fs, path::Path};

use crate::{attribute::Attributes, discover::ProcRoot};

/// What all resources of one machine have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    pub name: Option<String>,
    /// `machine-id(5)`.
    pub id: Option<String>,
    /// Changes with every boot; makes process ids unique over time.
    pub boot_id: Option<String>,
    /// `PRETTY_NAME` of `os-release(5)` and the kernel's release.
    pub os_description: Option<String>,
    pub os_version: Option<String>,
}

impl Host {
    /// The machine whose `/proc` this is, which need not be what the agent's own `/etc` describes: in a container that shares the host's process
    /// ids, process 1 is the host's and its root directory the host's root. `root` is where to look when that is not allowed; `/` as a rule.
    #[must_use]
    pub fn read(proc: &ProcRoot, root: &Path) -> Self {
        let of_init = proc.path().join("1/root");
        let etc = |file: &str| {
            let read = |root: &Path| fs::read_to_string(root.join("etc").join(file)).ok();
            read(&of_init).or_else(|| read(root)).filter(|text| !text.trim().is_empty())
        };
        let release = etc("os-release");
        let release = |key: &str| release_value(release.as_deref()?, key);
        let kernel = proc.kernel_text("sys/kernel/osrelease").filter(|text| !text.is_empty());
        let description = match (release("PRETTY_NAME"), kernel) {
            (Some(name), Some(kernel)) => Some(format!("{name}, Linux {kernel}")),
            (Some(name), None) => Some(name),
            (None, Some(kernel)) => Some(format!("Linux {kernel}")),
            (None, None) => None,
        };
        Self {
            name: host_name(proc, etc("hostname")),
            id: etc("machine-id").map(|text| text.trim().to_owned()).filter(|id| id != "uninitialized"),
            boot_id: proc.kernel_text("sys/kernel/random/boot_id"),
            os_description: description,
            os_version: release("VERSION_ID"),
        }
    }

    pub(super) fn describe(&self, attributes: &mut Attributes) {
        let mut set = |key: &'static str, value: &Option<String>| {
            if let Some(value) = value {
                attributes.set(key, value.clone());
            }
        };
        set("host.name", &self.name);
        set("host.id", &self.id);
        set("os.description", &self.os_description);
        set("os.version", &self.os_version);
        attributes.set("host.arch", arch(ARCH));
        attributes.set("os.type", "linux");
    }
}

/// The kernel's name for the machine, unless the agent has a UTS namespace of its own: then what the host's `/etc/hostname` says.
fn host_name(proc: &ProcRoot, etc: Option<String>) -> Option<String> {
    let uts = |process: &str| fs::read_link(proc.path().join(process).join("ns/uts")).ok();
    let elsewhere = matches!((uts("self"), uts("1")), (Some(own), Some(init)) if own != init);
    let kernel = proc.kernel_text("sys/kernel/hostname").filter(|name| !name.is_empty() && name != "(none)");
    let etc = etc.map(|name| name.trim().to_owned());
    if elsewhere { etc.or(kernel) } else { kernel.or(etc) }
}

/// The value of one `KEY=value` or `KEY="value"` line.
fn release_value(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

/// The conventions' names (`host.arch`) for Rust's.
fn arch(rust: &'static str) -> &'static str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc" => "ppc32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::fake_proc::FakeProc;

    fn fake() -> FakeProc {
        let fake = FakeProc::new();
        fake.kernel_file("sys/kernel/hostname", "node-7\n");
        fake.kernel_file("sys/kernel/osrelease", "6.12.9-cloud-amd64\n");
        fake.kernel_file("sys/kernel/random/boot_id", "0882e8b0-a775-40a6-92e0-d711855b4a33\n");
        fake.kernel_file("1/root/etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n");
        fake.kernel_file("1/root/etc/hostname", "node-7.example\n");
        fake.kernel_file(
            "1/root/etc/os-release",
            "NAME=Debian\nPRETTY_NAME=\"Debian 12\"\nVERSION_ID=\"12\"\n",
        );
        fake
    }

    #[test]
    fn the_host_is_the_one_process_1_lives_on() {
        let fake = fake();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir(elsewhere.path().join("etc")).unwrap();
        fs::write(elsewhere.path().join("etc/machine-id"), "0000\n").unwrap();
        let expect = Host {
            name: Some("node-7".into()),
            id: Some("3d1219c7c4c5404aaa1f6d2a48adfda4".into()),
            boot_id: Some("0882e8b0-a775-40a6-92e0-d711855b4a33".into()),
            os_description: Some("Debian 12, Linux 6.12.9-cloud-amd64".into()),
            os_version: Some("12".into()),
        };
        assert_eq!(Host::read(&fake.root(), elsewhere.path()), expect);
    }

    #[test]
    fn another_uts_namespace_does_not_name_the_host() {
        let fake = fake();
        fake.namespace(1, "uts", 1);
        fake.kernel_file("self/ns/keep", "");
        std::os::unix::fs::symlink("uts:[2]", fake.root().path().join("self/ns/uts")).unwrap();
        assert_eq!(Host::read(&fake.root(), Path::new("/nowhere")).name.as_deref(), Some("node-7.example"));
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        assert_eq!(Host::read(&FakeProc::new().root(), Path::new("/nowhere")), Host::default());
        let mut attributes = Attributes::default();
        Host::default().describe(&mut attributes);
        assert_eq!(attributes.len(), 2);
        assert_eq!(attributes.text("os.type"), Some("linux"));
    }

    #[test]
    fn architectures_have_the_conventions_names() {
        assert_eq!((arch("x86_64"), arch("aarch64"), arch("s390x")), ("amd64", "arm64", "s390x"));
    }
}
