//! `ferula alertmanager` as a process: beside the real Alertmanager on the same timeline, over kills, on each other's files,
//! and inside the server.
//!
//! Tests that need the real programs look for them in the directory that `FERULA_PEERS` names.

mod common;
mod inside;
mod kills;
mod timeline;
