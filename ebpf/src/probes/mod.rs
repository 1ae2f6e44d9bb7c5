//! The attach points.

mod process;
mod sched;
mod socket;
mod tcp_state;
mod tls;
