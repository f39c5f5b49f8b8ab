//! Rules and Alertmanagers as the API shows them: snapshots, read through a trait so that tests need neither.

use ferula_notifier::AlertmanagersSnapshot;
use ferula_rules::GroupSnapshot;

/// Where the API learns about rules and Alertmanagers.
pub trait AlertingSource: Send + Sync {
    /// All groups, by file and name.
    fn groups(&self) -> Vec<GroupSnapshot>;

    /// The Alertmanagers that alerts are sent to.
    fn alertmanagers(&self) -> AlertmanagersSnapshot;
}
