//! `ferula alertmanager` as a process: compared with the real Alertmanager on the same timeline, across
//! kills, with each other's files, and inside the server.
//!
//! Tests that need the real programs look for them in the directory named by `FERULA_PEERS`.

mod common;
mod inside;
mod kills;
mod timeline;
