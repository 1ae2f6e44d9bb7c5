//! The context of a call as a TCP option, for what has no headers: TLS, HTTP/2, databases.
//!
//! Each send of a selected process on a connection to another host begins a stretch of the stream, and has ids of its own.
//! The segment that carries the stretch's first byte carries them as an option, however often it is sent. The lower bits of
//! the span id say where the stretch begins, so that the receiver need not guess it from where segments happen to end.

pub mod receive;
pub mod send;

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_PARSE_HDR_OPT_CB,
    BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB, bpf_sock_ops,
};
use honeyguide_common::{
    propagation::{OFFSET_BITS, OptionOutcome},
    record::{FAMILY_INET, FAMILY_INET6},
};

use crate::maps::OPTION_OUTCOMES;

const OFFSET_MASK: u32 = (1 << OFFSET_BITS) - 1;

/// Something happens to a connection.
#[inline(always)]
pub fn connection(ops: *mut bpf_sock_ops) {
    // SAFETY: fields of the program's context.
    let (op, sk) = unsafe { ((*ops).op, (*ops).__bindgen_anon_2.sk) };
    if sk.is_null() {
        return;
    }
    if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        send::begin_connection(ops, sk);
    } else if op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB {
        receive::begin_connection(ops, sk);
    } else if op == BPF_SOCK_OPS_HDR_OPT_LEN_CB {
        send::reserve(ops, sk);
    } else if op == BPF_SOCK_OPS_WRITE_HDR_OPT_CB {
        send::write(ops, sk);
    } else if op == BPF_SOCK_OPS_PARSE_HDR_OPT_CB {
        receive::segment(ops, sk);
    }
}

/// The sequence number of a segment, and how many bytes it carries. The header's length is in words of four (RFC 9293, 3.1).
#[inline(always)]
fn extent(ops: *mut bpf_sock_ops) -> Option<(u32, u32)> {
    // SAFETY: fields of the program's context; the segment's bounds are checked before it is read.
    unsafe {
        let (start, end) =
            ((*ops).__bindgen_anon_3.skb_data as usize, (*ops).__bindgen_anon_4.skb_data_end as usize);
        if start + 20 > end {
            return None;
        }
        let header = u32::from(*((start + 12) as *const u8) >> 4) * 4;
        let sequence = u32::from_be(*((start + 4) as *const u32));
        Some((sequence, (*ops).skb_len.saturating_sub(header)))
    }
}

/// Whether both ends of a connection are one host's as far as addresses tell.
#[inline(always)]
fn stays_here(ops: *mut bpf_sock_ops) -> bool {
    // SAFETY: fields of the program's context, in network byte order.
    unsafe {
        let family = (*ops).family as u16;
        if family == FAMILY_INET {
            return (*ops).remote_ip4 == (*ops).local_ip4 || u32::from_be((*ops).remote_ip4) >> 24 == 127;
        }
        if family != FAMILY_INET6 {
            return true;
        }
        // Copied word by word: the context is no memory.
        let remote = [(*ops).remote_ip6[0], (*ops).remote_ip6[1], (*ops).remote_ip6[2], (*ops).remote_ip6[3]];
        let local = [(*ops).local_ip6[0], (*ops).local_ip6[1], (*ops).local_ip6[2], (*ops).local_ip6[3]];
        let same =
            remote[0] == local[0] && remote[1] == local[1] && remote[2] == local[2] && remote[3] == local[3];
        let loopback = remote[0] | remote[1] | remote[2] == 0 && u32::from_be(remote[3]) == 1;
        let mapped = remote[0] == 0
            && remote[1] == 0
            && u32::from_be(remote[2]) == 0xffff
            && u32::from_be(remote[3]) >> 24 == 127;
        same || loopback || mapped
    }
}

#[inline(always)]
fn count(outcome: OptionOutcome) {
    if let Some(counter) = OPTION_OUTCOMES.get_ptr_mut(outcome as u32) {
        // SAFETY: a per-CPU slot of a map that lives as long as the program.
        unsafe { *counter += 1 };
    }
}
