//! Target groups from static lists and files; other services follow.
//!
//! ```text
//! job's sections ─▶ Manager ─▶ providers (one per distinct section, shared by jobs) ─▶ groups
//!                                                                    │ throttled
//!                                                      TargetSets by job ─▶ scraper, notifier
//! ```
//!
//! Here: finding targets and telling when they changed. Elsewhere: what is done with a target. A provider that fails
//! keeps what it found last; one that no job wants any more is stopped and its groups are dropped. `tls` is for everyone who
//! talks to what was found.

pub mod file;
pub mod group;
pub mod manager;
mod metrics;
pub mod tls;

pub use group::TargetGroup;
pub use manager::{Manager, TargetSets};
