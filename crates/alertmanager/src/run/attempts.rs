//! Attempts: each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use super::state::Alertmanager;
use crate::engine::{Attempt, Attempted};
use crate::receiver::{self, FailureReason, NotifyError};

impl Alertmanager {
    /// Makes an attempt and reports its result to the engine.
    pub(super) async fn make(self: Arc<Self>, attempt: Attempt) {
        let (id, started) = (attempt.id, self.clock.elapsed());
        let left = u64::try_from(attempt.deadline.since(self.now())).unwrap_or(0);
        // A panic in a notifier counts as a failure.
        let sending = tokio::spawn(async move { send(&attempt, Duration::from_nanos(left)).await });
        let abort = AbortOnDrop(sending.abort_handle());
        let attempted = sending.await.unwrap_or_else(|panic| {
            Attempted::plain(Err(NotifyError {
                retry: false,
                reason: FailureReason::Other,
                text: panic.to_string(),
            }))
        });
        drop(abort);
        let took = self.clock.elapsed().saturating_sub(started);
        let attempted = Attempted { took, ..attempted };
        // The journal may wait for the disk.
        let _ = tokio::task::spawn_blocking(move || {
            self.change(|engine, now| engine.finished(id, attempted, now));
        })
        .await;
    }
}

/// Cancels the attempt together with the task that waits for it.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send(attempt: &Attempt, left: Duration) -> Attempted {
    let content = &attempt.content;
    let record = receiver::Record::answers();
    let notification = content.notification(&record);
    let sent = tokio::time::timeout(left, attempt.integration.notify(&notification)).await;
    let (result, faults) = match sent {
        Ok(notified) => (notified.result, notified.faults),
        Err(_) => (
            Err(NotifyError {
                retry: true,
                reason: FailureReason::ContextDeadlineExceeded,
                text: "context deadline exceeded".into(),
            }),
            Vec::new(),
        ),
    };
    let answer = record.take().pop().and_then(|exchange| exchange.answer);
    Attempted { answer, faults, ..Attempted::plain(result) }
}
