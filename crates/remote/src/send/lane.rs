//! One lane of a destination: sends its requests one after the other, each until it is accepted or refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ferula_model::Timestamp;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_telemetry::{debug, error, info, warn};
use tokio::sync::mpsc;

use super::batch::Batch;
use super::client::{SendError, WriteClient};
use super::encode::{Counts, without_older};
use super::metrics::{DestinationMetrics, TOO_OLD};
use super::progress::Progress;
use super::sharding::Rates;
use crate::snappy;
use crate::write::headers::Message;

/// State that the lanes of a destination share.
pub struct LaneContext {
    pub client: WriteClient,
    pub progress: Arc<Progress>,
    pub metrics: DestinationMetrics,
    pub clock: SharedClock,
    pub rates: Arc<Rates>,
    pub min_backoff: Duration,
    pub max_backoff: Duration,
    /// Zero means no limit.
    pub age_max: Duration,
    /// Stops sending immediately, between two attempts or within one.
    pub abort: Shutdown,
    /// The number of lanes is kept until this time, in milliseconds of the clock's elapsed time.
    pub steady_until_ms: AtomicU64,
}

impl LaneContext {
    /// Sends batches from the queue until it closes or the lane is stopped.
    pub async fn run(self: Arc<Self>, lane: usize, mut queue: mpsc::Receiver<Batch>) {
        loop {
            let batch = tokio::select! {
                batch = queue.recv() => batch,
                () = self.abort.requested() => return,
            };
            let Some(batch) = batch else { return };
            self.progress.sending(lane, batch.until);
            let (counts, until) = (batch.counts, batch.until);
            let sent = tokio::select! {
                () = self.send(batch) => true,
                () = self.abort.requested() => false,
            };
            self.metrics.pend(counts, -1.0);
            if !sent {
                return;
            }
            self.progress.acknowledged(lane, until);
        }
    }

    /// Sends a batch until it is accepted or refused.
    async fn send(&self, mut batch: Batch) {
        let begun = self.clock.elapsed();
        let mut backoff = self.min_backoff;
        let mut stored = Counts::default();
        let mut attempt = 0;
        let result = loop {
            if !self.leave_out_old(&mut batch) {
                break Ok(());
            }
            self.metrics.sent.add(batch.counts);
            let began = self.clock.elapsed();
            let result = self.client.send(batch.body.clone(), attempt).await;
            self.metrics.duration.observe_duration(self.clock.elapsed().saturating_sub(began));
            let (text, after) = match result {
                Ok(said) => break self.check_stored(&batch, said, &mut stored),
                Err(SendError::Refused { text, stored: said }) => {
                    stored.add_all(said.unwrap_or_default());
                    break Err(text);
                }
                Err(SendError::Passing { text, after, stored: said }) => {
                    stored.add_all(said.unwrap_or_default());
                    (text, after)
                }
            };
            let pause = after.unwrap_or(backoff);
            if after.is_some() {
                let duration = format!("{pause:?}");
                info!("Retrying after duration specified by Retry-After header", duration = duration);
            }
            let steady = (self.clock.elapsed() + pause * 2).as_millis() as u64;
            self.steady_until_ms.fetch_max(steady, Relaxed);
            self.clock.sleep(pause).await;
            self.metrics.retried.add(batch.counts);
            let (remote_name, url) = (&self.metrics.name, &self.metrics.url);
            warn!(
                "Failed to send batch, retrying",
                component = "remote",
                remote_name = remote_name,
                url = url,
                err = text
            );
            backoff = (pause * 2).min(self.max_backoff);
            attempt += 1;
        };
        self.metrics.bytes.add(batch.body.len() as u64);
        self.finish(&batch, result, stored, self.clock.elapsed().saturating_sub(begun));
    }

    /// Updates the counters with the outcome of a batch.
    fn finish(&self, batch: &Batch, result: Result<(), String>, stored: Counts, took: Duration) {
        self.rates.sent(batch.counts.total(), took);
        self.metrics.arrived(batch.newest);
        let Err(err) = result else { return };
        let failed = batch.counts.without(stored);
        self.metrics.failed.add(failed);
        error!(
            "non-recoverable error",
            component = "remote",
            remote_name = self.metrics.name,
            url = self.metrics.url,
            failedSampleCount = failed.samples,
            failedHistogramCount = failed.histograms,
            failedExemplarCount = failed.exemplars,
            err = err
        );
    }

    /// A successful answer of version 2 states how much was stored. Zero items mean that the message was not
    /// understood.
    fn check_stored(&self, batch: &Batch, said: Option<Counts>, stored: &mut Counts) -> Result<(), String> {
        let Some(said) = said else {
            if self.client.message() == Message::V1 {
                return Ok(());
            }
            return Err(format!(
                "sent v2 request with {} samples, {} histograms and {} exemplars; got 2xx, but without the headers that \
                 say what was written: the destination may know version 1 only",
                batch.counts.samples, batch.counts.histograms, batch.counts.exemplars
            ));
        };
        stored.add_all(said);
        if self.client.message() == Message::V1 || stored.total() >= batch.counts.total() {
            return Ok(());
        }
        debug!(
            "A destination stored only a part of a request",
            remote_name = self.metrics.name,
            written = stored.total()
        );
        Err("we got 2xx status code from the Receiver yet statistics indicate some data was not written; investigation \
             needed"
            .to_owned())
    }

    /// Removes items that have become too old from a batch; returns `false` if none is left.
    fn leave_out_old(&self, batch: &mut Batch) -> bool {
        let age_max = i64::try_from(self.age_max.as_millis()).unwrap_or(i64::MAX);
        let oldest = Timestamp::from_millis(self.clock.now().millis().saturating_sub(age_max));
        if age_max == 0 || batch.oldest >= oldest {
            return true;
        }
        let message = self.client.message();
        let unpacked = snappy::decode(&batch.body).ok();
        let Some((kept, dropped)) = unpacked.and_then(|bytes| without_older(message, &bytes, oldest)) else {
            return true;
        };
        self.metrics.drop_all(dropped, TOO_OLD);
        batch.counts = batch.counts.without(dropped);
        (batch.body, batch.oldest) = (snappy::encode(&kept).into(), oldest);
        batch.counts.total() > 0
    }
}
