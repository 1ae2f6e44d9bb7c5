//! The attach points.

mod process;
mod socket;
mod tcp_state;
