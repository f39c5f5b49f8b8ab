//! `ferula alertmanager` as a process: compared with the real Alertmanager on the same timeline, across
//! kills, with each other's files, and inside the server.
//!
//! Tests that need the real programs look for them in the directory named by `FERULA_PEERS`.

mod bad_input;
mod common;
mod disk;
mod files;
mod inside;
mod kills;
mod metrics;
mod pair;
mod random;
mod timeline;
mod tools;
