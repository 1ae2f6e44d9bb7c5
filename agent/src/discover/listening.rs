//! Which processes listen on the ports asked for, each in its own network namespace.

use std::collections::{BTreeSet, HashMap};

use super::{ProcRoot, Selection};

/// For each of `pids`, the ports of `selection` it listens on; processes that listen on none are left out.
///
/// The socket table is read once for a network namespace, and the file descriptors of its processes only when the
/// table has a port that was asked for: looking through every descriptor on the host costs far more than the rest.
pub(super) fn listeners(proc: &ProcRoot, pids: &[u32], selection: &Selection) -> HashMap<u32, BTreeSet<u16>> {
    let mut found = HashMap::new();
    if selection.ports.is_empty() {
        return found;
    }
    let mut namespaces: HashMap<u64, Vec<u32>> = HashMap::new();
    for pid in pids {
        if let Some(net) = proc.open(*pid).and_then(|process| process.network_namespace()) {
            namespaces.entry(net).or_default().push(*pid);
        }
    }
    for members in namespaces.values() {
        let sockets = members.iter().find_map(|pid| proc.open(*pid)?.listening_sockets()).unwrap_or_default();
        let wanted: HashMap<u64, u16> = sockets
            .into_iter()
            .filter(|(port, _)| selection.matches_port(*port))
            .map(|(port, inode)| (inode, port))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        for pid in members {
            let Some(process) = proc.open(*pid) else { continue };
            let ports: BTreeSet<u16> =
                process.socket_inodes().filter_map(|inode| wanted.get(&inode).copied()).collect();
            if !ports.is_empty() {
                found.insert(*pid, ports);
            }
        }
    }
    found
}
