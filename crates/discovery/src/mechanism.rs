//! The discovery mechanisms, one file each, and the table that the manager reads.
//!
//! A new mechanism is a module here, a line in [`table`], and its section in `ferula_config::discovery`.

pub mod file;
mod static_targets;

use crate::provider::Mechanism;

/// Every mechanism that this build can run.
pub(crate) fn table() -> Vec<Mechanism> {
    vec![Mechanism::of::<static_targets::StaticTargets>(), Mechanism::of::<file::FileProvider>()]
}
