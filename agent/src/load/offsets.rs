//! Kernel structure offsets, by the names of the globals they are handed to.

use anyhow::Result;

use super::btf::Btf;

/// Global in the kernel programs, structure, member. The names are those of `ebpf/src/offsets.rs`.
const FIELDS: &[(&str, &str, &str)] = &[
    ("OFF_SOCKET_SK", "socket", "sk"),
    ("OFF_FAMILY", "sock_common", "skc_family"),
    ("OFF_LOCAL_PORT", "sock_common", "skc_num"),
    ("OFF_REMOTE_PORT", "sock_common", "skc_dport"),
    ("OFF_LOCAL_V4", "sock_common", "skc_rcv_saddr"),
    ("OFF_REMOTE_V4", "sock_common", "skc_daddr"),
    ("OFF_LOCAL_V6", "sock_common", "skc_v6_rcv_saddr"),
    ("OFF_REMOTE_V6", "sock_common", "skc_v6_daddr"),
    ("OFF_NET", "sock_common", "skc_net.net"),
    ("OFF_NET_INUM", "net", "ns.inum"),
    ("OFF_TYPE", "sock", "sk_type"),
    ("OFF_PROTOCOL", "sock", "sk_protocol"),
    ("OFF_ERROR", "sock", "sk_err"),
    ("OFF_SHUTDOWN", "sock", "sk_shutdown"),
    ("OFF_WRITE_SEQ", "tcp_sock", "write_seq"),
    ("OFF_COPIED_SEQ", "tcp_sock", "copied_seq"),
    ("OFF_RCV_NXT", "tcp_sock", "rcv_nxt"),
    ("OFF_SND_UNA", "tcp_sock", "snd_una"),
    ("OFF_SND_NXT", "tcp_sock", "snd_nxt"),
    ("OFF_BYTES_RECEIVED", "tcp_sock", "bytes_received"),
    ("OFF_BYTES_ACKED", "tcp_sock", "bytes_acked"),
    ("OFF_UNIX_PEER", "unix_sock", "peer"),
    ("OFF_UNIX_ADDR", "unix_sock", "addr"),
    ("OFF_UNIX_LEN", "unix_address", "len"),
    ("OFF_UNIX_NAME", "unix_address", "name"),
    ("OFF_TASK_FLAGS", "task_struct", "flags"),
    ("OFF_TASK_TGID", "task_struct", "tgid"),
    ("OFF_TASK_COMM", "task_struct", "comm"),
    ("OFF_TASK_PID", "task_struct", "pid"),
    ("OFF_TASK_STATE", "task_struct", "__state"),
    ("OFF_TASK_RAN", "task_struct", "se.sum_exec_runtime"),
    ("OFF_TASK_RAN_BEFORE", "task_struct", "se.prev_sum_exec_runtime"),
    ("OFF_TASK_MM", "task_struct", "mm"),
    ("OFF_MM_EXEC_VM", "mm_struct", "exec_vm"),
    ("OFF_TASK_FS", "task_struct", "thread.fsbase"),
    ("OFF_TASK_STACK", "task_struct", "stack"),
];

/// The same, for TCP options alone: 0 where one is missing, and then they are refused.
const OPTION_FIELDS: &[(&str, &str, &str)] = &[
    ("OFF_SOCK_OWNED", "sock", "sk_lock.owned"),
    ("OFF_SOCK_OPS_SKB", "bpf_sock_ops_kern", "skb"),
    ("OFF_SKB_CB", "sk_buff", "cb"),
    ("OFF_TCP_CB_SEQ", "tcp_skb_cb", "seq"),
];

/// Looks every offset up.
///
/// # Errors
/// Where this kernel has no such member: nothing is guessed.
pub(super) fn resolve(btf: &Btf) -> Result<Vec<(&'static str, u32)>> {
    let options = OPTION_FIELDS
        .iter()
        .map(|&(global, structure, member)| Ok((global, btf.offset(structure, member).unwrap_or(0))));
    let all = FIELDS.iter().map(|&(global, structure, member)| Ok((global, btf.offset(structure, member)?)));
    all.chain(options).collect()
}

/// Whether there is everything that TCP options look at.
///
/// # Errors
/// Where this kernel has no such member.
pub(super) fn of_options(btf: &Btf) -> Result<()> {
    OPTION_FIELDS.iter().try_for_each(|&(_, structure, member)| btf.offset(structure, member).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_side_has_a_global_for_every_field() {
        let source = include_str!("../../../ebpf/src/offsets.rs");
        let declared: Vec<_> = source
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("OFF_"))
            .map(|line| line.trim_end_matches(','))
            .collect();
        let resolved: Vec<_> = FIELDS.iter().chain(OPTION_FIELDS).map(|(global, ..)| *global).collect();
        assert_eq!(declared, resolved);
    }
}
