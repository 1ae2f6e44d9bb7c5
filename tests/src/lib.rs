//! Drivers for the real programs that the tests trace, and for the agent that traces them.
//!
//! Every driver is a guard: what it started ends when it is dropped, and when the test process dies.

pub mod privilege;
