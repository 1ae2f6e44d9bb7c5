//! The attach points.

mod process;
mod runtime;
mod sched;
mod socket;
mod tcp_state;
mod tls;
