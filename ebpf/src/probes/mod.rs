//! The attach points.

mod go;
mod loader;
mod off_cpu;
mod process;
mod propagation;
mod runtime;
mod rustls;
mod sampler;
mod sched;
mod socket;
mod tcp_state;
mod tls;
mod wakes;
