//! The contract between the kernel programs and the agent: record layouts, failure counters and the
//! names of what the agent sets before loading. Nothing here allocates, and every layout is asserted.
#![no_std]

pub mod failure;
pub mod identity;
pub mod interpreter;
pub mod propagation;
pub mod record;
pub mod sample;
pub mod tls;
pub mod unwind;
pub mod verdict;

pub use failure::Failure;
