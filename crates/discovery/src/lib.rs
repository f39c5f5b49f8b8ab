//! Target groups from static lists, files and services.
//!
//! ```text
//! job's sections ─▶ Manager ─▶ providers (one per distinct section, shared by jobs) ─▶ groups
//!                                                                    │ throttled
//!                                                      TargetSets by job ─▶ scraper, notifier
//! ```
//!
//! Here: finding targets, and passing on that they changed. Elsewhere: what is done with a target.
//! Always true: a provider that fails keeps the groups it found last; one that no job wants is stopped and its
//! groups are dropped; a section that cannot run stops no other.

mod api_client;
mod group;
mod json;
mod manager;
mod mechanism;
mod metrics;
#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod played;
mod provider;
mod refresh;
mod token;
mod xml;

pub use group::{ADDRESS_LABEL, GroupsError, TargetGroup};
pub use json::JsonError;
pub use manager::{Manager, TargetSets};
pub use mechanism::file;
