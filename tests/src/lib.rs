//! Drivers for the real programs that the tests trace, and for the agent that traces them.
//!
//! Every driver is a guard: what it started ends when it is dropped, and when the test process dies.
//! All of them listen on loopback or on unix sockets, on ports of their own.

pub mod agent;
pub mod apache;
pub mod apps;
pub mod capture;
pub mod certificate;
pub mod client;
pub mod compiled;
pub mod cpuprof;
pub mod debian;
pub mod flame;
pub mod gated;
pub mod guard;
pub mod haproxy;
pub mod hops;
pub mod https;
pub mod interpreters;
pub mod keyvalue;
pub mod memcached;
pub mod mysql;
pub mod netns;
pub mod nginx;
pub mod node;
pub mod otlp;
pub mod paths;
pub mod perf;
pub mod pgbouncer;
pub mod php;
pub mod port;
pub mod postgres;
pub mod privilege;
pub mod proc;
pub mod profcheck;
pub mod pyspy;
pub mod python;
pub mod redis;
pub mod scratch;
pub mod script;
pub mod shop;
pub mod sniffer;
pub mod sql;
pub mod truth;
pub mod vm;
pub mod wrk;
