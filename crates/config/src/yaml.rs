//! YAML as go-yaml v2 reads and prints it, which is what Prometheus' users are used to.
//!
//! ```text
//! bytes ─ events ─► Tree (nodes with lines) ─ decode ─► typed sections ─ emit ─► text
//! ```
//!
//! Here: `events` (libyaml's parser behind a safe face), `tree` (nodes, aliases, positions), `resolve` (YAML 1.1
//! scalars), `decode` (trees into Rust values, collecting type errors), `values` (Go's plain types), `emit` (the
//! printed form).
//! Elsewhere: what the keys mean.

pub(crate) mod decode;
pub(crate) mod dialect;
pub(crate) mod emit;
mod events;
pub(crate) mod resolve;
pub(crate) mod tree;
mod values;

pub use events::SyntaxError;

#[cfg(test)]
mod tests;
