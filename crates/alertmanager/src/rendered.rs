//! Notifications as they would be sent, for people who ask before.

use crate::blocking::blocking;
use crate::engine::NextNotification;
use crate::receiver::{Exchange, Record, TemplateFault};

/// A notification that is not sent.
#[derive(Debug, Default)]
pub struct RenderedNotification {
    /// Requests without answers, secrets masked.
    pub exchanges: Vec<Exchange>,
    pub faults: Vec<TemplateFault>,
    /// Why it could not be sent.
    pub error: Option<String>,
}

/// Composes notifications without sending them. It blocks: steps that ask a service are skipped, but files are read.
pub fn render(notifications: &[&NextNotification]) -> Vec<RenderedNotification> {
    blocking(async {
        let mut rendered = Vec::with_capacity(notifications.len());
        for next in notifications {
            let (record, content) = (Record::dry_run(), &next.content);
            let notification = content.notification(&record);
            let notified = next.integration.notify(&notification).await;
            let error = notified.result.err().map(|error| error.text);
            rendered.push(RenderedNotification { exchanges: record.take(), faults: notified.faults, error });
        }
        rendered
    })
}
