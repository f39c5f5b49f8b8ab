//! Alerts in notifications.

use std::sync::Arc;

use ferula_model::LabelSet;

use crate::annotations::Annotations;
use crate::route::Labels;
use crate::stored_alert::StoredAlert;
use crate::time::Time;

/// An alert of a notification.
#[derive(Clone, Debug)]
pub struct Alert {
    stored: Arc<StoredAlert>,
    /// Whether it had ended when the notification was due. Otherwise its end is not shown, even if it passes while the
    /// notification is sent.
    is_over: bool,
}

impl Alert {
    /// An alert with these properties; `ends_at` is [`Time::ZERO`] while it is firing.
    pub fn new(
        labels: &Labels,
        annotations: &Labels,
        starts_at: Time,
        ends_at: Time,
        generator_url: &str,
    ) -> Self {
        let stored = StoredAlert {
            labels: LabelSet::from_pairs(labels),
            annotations: Annotations::new(annotations),
            starts_at,
            ends_at,
            updated_at: starts_at,
            generator_url: generator_url.into(),
            timeout: false,
        };
        Alert { stored: Arc::new(stored), is_over: !ends_at.is_zero() }
    }

    /// A stored alert in a notification.
    pub(crate) fn of(stored: Arc<StoredAlert>, is_over: bool) -> Self {
        Alert { stored, is_over }
    }

    /// Its other properties.
    pub fn stored(&self) -> &StoredAlert {
        &self.stored
    }

    /// Whether it had ended when the notification was due.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the notification shows it as resolved.
    pub fn is_resolved_at(&self, now: Time) -> bool {
        self.is_over && self.stored.ends_at <= now
    }
}
