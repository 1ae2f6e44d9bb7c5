//! Where fields are in the running kernel's structures: the agent reads them from BTF before loading.

use aya_ebpf::Global;

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $($(#[$doc])* #[unsafe(no_mangle)] pub static $name: Global<u32> = Global::new(0);)+
    };
}

offsets! {
    /// `socket.sk`
    OFF_SOCKET_SK,
    /// `sock_common.skc_family`
    OFF_FAMILY,
    /// `sock_common.skc_num`: the local port, host byte order
    OFF_LOCAL_PORT,
    /// `sock_common.skc_dport`: network byte order
    OFF_REMOTE_PORT,
    /// `sock_common.skc_rcv_saddr`
    OFF_LOCAL_V4,
    /// `sock_common.skc_daddr`
    OFF_REMOTE_V4,
    /// `sock_common.skc_v6_rcv_saddr`
    OFF_LOCAL_V6,
    /// `sock_common.skc_v6_daddr`
    OFF_REMOTE_V6,
    /// `sock_common.skc_net`
    OFF_NET,
    /// `net.ns.inum`
    OFF_NET_INUM,
    /// `sock.sk_type`: 16 bits since 5.6
    OFF_TYPE,
    /// `sock.sk_protocol`: 16 bits since 5.6
    OFF_PROTOCOL,
    /// `sock.sk_err`
    OFF_ERROR,
    /// `sock.sk_shutdown`: a byte since 5.6
    OFF_SHUTDOWN,
    /// `tcp_sock.write_seq`
    OFF_WRITE_SEQ,
    /// `tcp_sock.copied_seq`
    OFF_COPIED_SEQ,
    /// `tcp_sock.rcv_nxt`
    OFF_RCV_NXT,
    /// `tcp_sock.snd_una`
    OFF_SND_UNA,
    /// `tcp_sock.snd_nxt`
    OFF_SND_NXT,
    /// `tcp_sock.bytes_received`
    OFF_BYTES_RECEIVED,
    /// `tcp_sock.bytes_acked`
    OFF_BYTES_ACKED,
    /// `unix_sock.peer`
    OFF_UNIX_PEER,
    /// `unix_sock.addr`
    OFF_UNIX_ADDR,
    /// `unix_address.len`
    OFF_UNIX_LEN,
    /// `unix_address.name`: a `sockaddr_un`
    OFF_UNIX_NAME,
    /// `task_struct.flags`
    OFF_TASK_FLAGS,
    /// `task_struct.tgid`
    OFF_TASK_TGID,
    /// `task_struct.comm`
    OFF_TASK_COMM,
    /// `task_struct.pid`: the thread's id
    OFF_TASK_PID,
    /// `task_struct.__state`
    OFF_TASK_STATE,
    /// `task_struct.se.sum_exec_runtime`: nanoseconds on a CPU, as of the last tick or switch
    OFF_TASK_RAN,
    /// `task_struct.se.prev_sum_exec_runtime`: the same when the scheduler last picked it
    OFF_TASK_RAN_BEFORE,
    /// `task_struct.mm`
    OFF_TASK_MM,
    /// `mm_struct.exec_vm`: pages of executable memory
    OFF_MM_EXEC_VM,
    /// `task_struct.thread.fsbase`: the user's thread pointer
    OFF_TASK_FS,
    /// `task_struct.stack`: its lowest address
    OFF_TASK_STACK,
    /// `sock.sk_lock.owned`: somebody is in a call on the socket
    OFF_SOCK_OWNED,
    /// `bpf_sock_ops_kern.skb`: what a program on socket operations has as its context
    OFF_SOCK_OPS_SKB,
    /// `sk_buff.cb`
    OFF_SKB_CB,
    /// `tcp_skb_cb.seq`
    OFF_TCP_CB_SEQ,
}
