//! Packets made by hand, and what becomes of them.
#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.

mod files;
mod fixtures;
mod headers;
mod packets;
mod random;
mod streams;
mod talk;
