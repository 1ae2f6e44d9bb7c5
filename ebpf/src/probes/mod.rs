//! The attach points.

mod process;
mod runtime;
mod sampler;
mod sched;
mod socket;
mod tcp_state;
mod tls;
