//! YAML as go-yaml reads and prints it: version 2 for configurations, version 3 for rule files.
//!
//! ```text
//! bytes ─ events ─► Tree (nodes with lines) ─ decode ─► typed sections ─ emit ─► text
//! ```
//!
//! Here: `events` (libyaml's parser behind a safe face), `tree` (nodes, aliases, positions), `resolve` (YAML 1.1
//! scalars), `dialect` (which of the two versions), `decode` (trees into Rust values, collecting type errors), `values`
//! (Go's plain types), `emit` (the printed form).
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
