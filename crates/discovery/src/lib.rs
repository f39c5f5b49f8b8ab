//! Target groups from static lists, files and services.
//!
//! ```text
//! job's sections ─▶ Manager ─▶ providers (one per distinct section, shared by jobs) ─▶ groups
//!                                                                    │ throttled
//!                                                      TargetSets by job ─▶ scraper, notifier
//! ```
//!
//! Here: finding targets, and reporting changes. Elsewhere: what is done with a target. Always true: a
//! provider that fails keeps its last groups; a provider that no job uses is stopped and its groups are
//! dropped; a section that cannot run does not affect the others.

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
#[cfg(test)]
mod played_services;
mod provider;
mod refresh;
mod token;
mod xml;

pub use group::{ADDRESS_LABEL, GroupsError, TargetGroup};
pub use json::JsonError;
pub use manager::{Manager, TargetSets};
pub use mechanism::file;
