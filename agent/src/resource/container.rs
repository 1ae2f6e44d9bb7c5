//! `container.id`, from a process's cgroup path and, where that is hidden, from its mounts.

use procfs::{ProcessCGroups, process::MountInfo};

/// The id of the container a process runs in: 64 hex digits, or 32 and a number as AWS Fargate has them.
pub(super) fn container_id(
    cgroups: Option<&ProcessCGroups>,
    mounts: impl FnOnce() -> Vec<MountInfo>,
) -> Option<String> {
    let cgroups = cgroups?;
    if let Some(id) = cgroups.0.iter().find_map(|cgroup| of_path(&cgroup.pathname)) {
        return Some(id.to_owned());
    }
    // A cgroup namespace of its own hides the path: `0::/`. A process outside containers has a path that says so.
    let hidden = cgroups.0.iter().all(|cgroup| cgroup.pathname == "/");
    if !hidden {
        return None;
    }
    of_mounts(&mounts()).map(str::to_owned)
}

/// The innermost container wins.
fn of_path(path: &str) -> Option<&str> {
    path.rsplit('/').find_map(of_cgroup_name)
}

/// A directory name: `<id>`, `docker-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>.scope`, `libpod-<id>.scope`,
/// `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>`. The monitors of CRI-O and podman (`crio-conmon-…`) are not in the container.
fn of_cgroup_name(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    if is_fargate_id(name) {
        return Some(name);
    }
    let id = name.rsplit(['-', ':']).next()?;
    let before = &name[..name.len() - id.len()];
    (is_id(id) && !before.ends_with("conmon-")).then_some(id)
}

/// Container runtimes mount `/etc/hostname` and its kin from a directory named after the container.
fn of_mounts(mounts: &[MountInfo]) -> Option<&str> {
    let in_pod = mounts.iter().any(|mount| mount.root.contains("/kubelet/pods/"));
    mounts.iter().find_map(|mount| {
        let target = mount.mount_point.to_str()?;
        if !matches!(target, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf" | "/run/.containerenv") {
            return None;
        }
        // CRI-O mounts these from the pod's sandbox, which is another container.
        if in_pod && mount.root.contains("/overlay-containers/") {
            return None;
        }
        let mut parts = mount.root.split('/');
        parts.find(|part| matches!(*part, "containers" | "overlay-containers"))?;
        parts.find(|part| is_id(part))
    })
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_fargate_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && task.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && (1..=20).contains(&number.len())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::discover::fake_proc::FakeProc;

    /// As it is read of a process with these files.
    fn id(cgroup: &str, mounts: &str) -> Option<String> {
        let fake = FakeProc::new();
        fake.file(7, "cgroup", cgroup);
        fake.file(7, "mountinfo", mounts);
        let process = fake.root().open(7).unwrap();
        container_id(process.cgroups().as_ref(), || process.mounts())
    }

    const ID: &str = "6f3b9a1c0de24587a1b2c3d4e5f60718293a4b5c6d7e8f901122334455667788";

    #[track_caller]
    fn check(cgroup: &str, expect: bool) {
        let cgroup = cgroup.replace("{ID}", ID);
        let expect = expect.then(|| ID.to_owned());
        assert_eq!(id(&cgroup, ""), expect, "{cgroup}");
    }

    #[test]
    fn docker() {
        check("12:cpu,cpuacct:/docker/{ID}\n11:memory:/docker/{ID}\n0::/docker/{ID}", true);
        check("0::/system.slice/docker-{ID}.scope", true);
        check("0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope", true);
        check("0::/system.slice/docker.service", false);
        check("1:name=systemd:/docker/{ID}/system.slice/nginx.service", true);
    }

    #[test]
    fn kubernetes_with_containerd() {
        check("11:memory:/kubepods/burstable/pod2f1a4d3c-0c1c-4e9a-bc3e-1a2b3c4d5e6f/{ID}", true);
        check(
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod2f1a4d3c_0c1c_4e9a.slice/cri-containerd-{ID}.scope",
            true,
        );
        check(
            "9:pids:/system.slice/containerd.service/kubepods-burstable-pod2f1a.slice:cri-containerd:{ID}",
            true,
        );
        check("0::/../../kubepods-pod2f1a.slice/cri-containerd-{ID}.scope", true);
        check(
            "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice/cri-containerd-{ID}.scope",
            true,
        );
    }

    #[test]
    fn cri_o_and_podman_but_not_their_monitors() {
        check("0::/kubepods.slice/kubepods-pod2f1a.slice/crio-{ID}.scope", true);
        check("0::/kubepods.slice/kubepods-pod2f1a.slice/crio-{ID}.scope/container", true);
        check("0::/kubepods.slice/kubepods-pod2f1a.slice/crio-conmon-{ID}.scope", false);
        check("0::/machine.slice/libpod-{ID}.scope", true);
        check("0::/machine.slice/libpod-{ID}.scope/container", true);
        check("0::/machine.slice/libpod-conmon-{ID}.scope", false);
        check(
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
            true,
        );
        check("1:name=systemd:/libpod_parent/libpod-{ID}", true);
    }

    #[test]
    fn the_host_is_no_container() {
        check("0::/", false);
        check("0::/init.scope", false);
        check("0::/system.slice/nginx.service", false);
        check("4:memory:/process_api/1a7d1cdf18a21aa0af7ef77cc35e5902\n0::/", false);
        check("0::/user.slice/user-1000.slice/session-3.scope", false);
        assert_eq!(
            container_id(None, || unreachable!("without a cgroup nothing says it is a container")),
            None
        );
    }

    #[test]
    fn the_innermost_container_wins() {
        let outer = ID.replace('6', "7");
        check(&format!("0::/docker/{outer}/docker/{{ID}}"), true);
    }

    #[test]
    fn fargate() {
        let expect = "37f1c4c2d7a8444f8a3f9a8a6ad03f5e-1234567890";
        let cgroup = format!("1:name=systemd:/ecs/37f1c4c2d7a8444f8a3f9a8a6ad03f5e/{expect}");
        assert_eq!(id(&cgroup, "").as_deref(), Some(expect));
    }

    #[track_caller]
    fn check_mounts(mounts: &str, expect: bool) {
        let mounts = mounts.replace("{ID}", ID);
        assert_eq!(id("0::/", &mounts), expect.then(|| ID.to_owned()), "{mounts}");
    }

    #[test]
    fn mounts_tell_where_the_cgroup_does_not() {
        check_mounts(
            "611 599 254:1 /docker/containers/{ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw",
            true,
        );
        check_mounts(
            "9 8 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw",
            true,
        );
        check_mounts(
            "9 8 0:29 /containers/storage/overlay-containers/{ID}/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw",
            true,
        );
        check_mounts(
            "9 8 0:29 /containers/storage/overlay-containers/{ID}/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw\n\
             9 8 8:1 /var/lib/kubelet/pods/2f1a/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw",
            false,
        );
        check_mounts(
            "9 8 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw",
            false,
        );
        check_mounts("9 8 8:1 /containers/{ID}/data /data rw - ext4 /dev/sda1 rw", false);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(cgroup in "[-:/a-f0-9.é\n]{0,300}", mounts in ".{0,300}") {
            id(&cgroup, &mounts);
            id("0::/", &mounts);
        }
    }
}
