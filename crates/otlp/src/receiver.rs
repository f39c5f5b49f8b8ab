//! Requests into the store: one request, one commit.

use std::sync::Mutex;
use std::time::Duration;

use ferula_config::tracing::OtlpConfig;
use ferula_go::sync::MutexExt;
use ferula_model::Timestamp;
use ferula_storage::{
    AppendError, Appendable, Appender, CommitError, Durability, HistogramSample, Lease, OutOfMemory,
    SampleBatch, SampleKind,
};
use ferula_telemetry::{Counter, CounterVec, Registry, debug, warn};

use crate::body::{BodyError, Format};
use crate::delta::Deltas;
use crate::translate::{
    Fatal, Settings, Sink, TranslateError, Translated, TranslatedValue, Translation, Warning,
};

/// Samples may be this far ahead of the clock.
const AHEAD_MILLIS_MAX: i64 = 10 * 60 * 1000;
/// A batch goes to the store when it holds this many samples.
const BATCH_SAMPLES: usize = 64 * 1024;

/// Why a request was not stored.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The body is not a request.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Metrics of it cannot be stored. Nothing of it is.
    #[error("{}", joined(.0))]
    Refused(Vec<TranslateError>),
    /// New series were left out because the store is at a limit; all others were stored.
    #[error("{count} new series left out: {limit}")]
    NewSeries { count: usize, limit: AppendError },
    /// The store could not commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

fn joined(errors: &[TranslateError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

impl From<OutOfMemory> for OtlpError {
    fn from(refused: OutOfMemory) -> Self {
        OtlpError::Body(refused.into())
    }
}

impl From<Fatal> for OtlpError {
    fn from(fatal: Fatal) -> Self {
        OtlpError::Body(match fatal {
            Fatal::Protobuf(error) => error.into(),
            Fatal::NoRoom(refused) => refused.into(),
        })
    }
}

impl OtlpError {
    /// Whether the sender must not send the same again. As in Prometheus that is so only for samples at times that the
    /// store does not take.
    pub fn is_senders(&self) -> bool {
        match self {
            OtlpError::Body(_) | OtlpError::NewSeries { .. } => true,
            OtlpError::Commit(_) => false,
            OtlpError::Refused(errors) => errors.iter().any(|error| {
                matches!(
                    error,
                    TranslateError::TooFarAhead
                        | TranslateError::TooFarApart
                        | TranslateError::Refused(
                            AppendError::OutOfOrder
                                | AppendError::OutOfBounds
                                | AppendError::DuplicateForTimestamp
                                | AppendError::TooOld
                        )
                )
            }),
        }
    }

    /// Whether there was no memory for the request.
    pub fn is_no_room(&self) -> bool {
        matches!(self, OtlpError::Body(BodyError::NoRoom(_)))
    }
}

/// What the server's flags ask of receiving.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Deltas are added up (`otlp-deltatocumulative`).
    pub adds_deltas_up: bool,
    /// Deltas are stored as they are (`otlp-native-delta-ingestion`).
    pub stores_deltas: bool,
    /// Types and units of metrics become labels (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Metadata of series goes to the store (`metadata-wal-records`).
    pub metadata: bool,
    /// Start timestamps of samples go to the store (`st-storage`, `created-timestamp-zero-ingestion`).
    pub start_timestamps: bool,
    /// How far queries look back, in milliseconds.
    pub lookback_ms: i64,
}

/// Takes requests from any number of threads.
pub struct Receiver {
    features: Features,
    deltas: Option<Mutex<Deltas>>,
    without_metadata: Counter,
    out_of_order_exemplars: Counter,
    warnings: CounterVec,
}

impl Receiver {
    /// A receiver that counts into `registry`.
    pub fn new(registry: &Registry, features: Features) -> Self {
        Receiver {
            features,
            deltas: features.adds_deltas_up.then(|| Mutex::new(Deltas::new())),
            without_metadata: registry.counter(
                "prometheus_api_otlp_appended_samples_without_metadata_total",
                "Samples of OTLP requests whose metric states neither type nor unit nor description.",
            ),
            out_of_order_exemplars: registry.counter(
                "prometheus_api_otlp_out_of_order_exemplars_total",
                "Exemplars of OTLP requests that were dropped because newer ones are stored.",
            ),
            warnings: registry.counter_vec(
                "prometheus_api_otlp_translation_warnings_total",
                "What was left out or changed while OTLP metrics became series, by category.",
                &["category"],
            ),
        }
    }

    /// Stores one request; returns when it is in the log. `elapsed` is the time of a clock that never jumps.
    ///
    /// # Errors
    /// See [`OtlpError`].
    pub fn write(
        &self,
        store: &dyn Appendable,
        section: &OtlpConfig,
        body: Body<'_>,
        now: Timestamp,
        elapsed: Duration,
    ) -> Result<(), OtlpError> {
        let message = body.format.message(body.bytes, body.encoding, body.memory)?;
        let mut settings = Settings::of(section);
        settings.stores_deltas = self.features.stores_deltas;
        settings.type_and_unit_labels = self.features.type_and_unit_labels;
        settings.lookback_ms = self.features.lookback_ms;
        let mut commit = Commit {
            receiver: self,
            appender: store.appender(),
            batch: SampleBatch::default(),
            latest_ms: now.saturating_add_millis(AHEAD_MILLIS_MAX).millis(),
            memory: body.memory,
            reserved: 0,
            left_out: None,
            first_warning: None,
        };
        let mut deltas = self.deltas.as_ref().map(|deltas| deltas.locked());
        if let Some(deltas) = &mut deltas {
            deltas.advance(elapsed);
        }
        let errors = Translation::new(&settings, &mut commit, deltas.as_deref_mut()).run(&message)?;
        drop(deltas);
        let Commit { appender, left_out, first_warning, .. } = commit;
        if let Some(first) = first_warning {
            // One line a request: its sender decides how many there are.
            warn!("Warnings translating OTLP metrics to Prometheus write request", first = first);
        }
        if !errors.is_empty() {
            return Err(OtlpError::Refused(errors));
        }
        appender.commit(Durability::Written)?;
        match left_out {
            Some((count, limit)) => Err(OtlpError::NewSeries { count, limit }),
            None => Ok(()),
        }
    }
}

/// The body of a request.
pub struct Body<'b> {
    pub format: Format,
    pub bytes: &'b [u8],
    /// The header `Content-Encoding`.
    pub encoding: &'b str,
    /// What the request may hold.
    pub memory: &'b Lease,
}

/// One request on its way into the store.
struct Commit<'c> {
    receiver: &'c Receiver,
    appender: Box<dyn Appender + 'c>,
    batch: SampleBatch,
    latest_ms: i64,
    memory: &'c Lease,
    /// Bytes that points may take.
    reserved: usize,
    /// How many series were left out, and why the first was.
    left_out: Option<(usize, AppendError)>,
    first_warning: Option<String>,
}

impl Sink for Commit<'_> {
    fn push(&mut self, sample: Translated<'_>) -> Result<(), TranslateError> {
        if sample.at_ms > self.latest_ms {
            return Err(TranslateError::TooFarAhead);
        }
        let series = match self.appender.resolve(sample.labels) {
            Ok(series) => series,
            Err(limit) if limit.is_limit() => {
                self.left_out.get_or_insert((0, limit)).0 += 1;
                return Ok(());
            }
            Err(error) => return Err(TranslateError::Refused(error)),
        };
        let start = if self.receiver.features.start_timestamps { sample.start_ms } else { 0 };
        let (at, start) = (Timestamp::from_millis(sample.at_ms), Timestamp::from_millis(start));
        match sample.value {
            TranslatedValue::Float(value) => {
                self.batch.push_float_with_start(series, at, value, start);
            }
            TranslatedValue::Histogram(value) => self.batch.histograms.push(HistogramSample {
                series,
                timestamp: at,
                start_timestamp: start,
                value,
            }),
        }
        self.batch.exemplars.extend(sample.exemplars.into_iter().map(|exemplar| (series, exemplar)));
        if sample.metadata == &Default::default() {
            self.receiver.without_metadata.inc();
        } else if self.receiver.features.metadata {
            self.batch.metadata.push((series, sample.metadata.clone()));
        }
        if self.batch.refs.len() + self.batch.histograms.len() >= BATCH_SAMPLES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TranslateError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let outcome = self.appender.append(&mut self.batch);
        let mut first = None;
        for refusal in outcome.refused {
            if refusal.kind != SampleKind::Exemplar {
                first.get_or_insert(refusal.error);
                continue;
            }
            if refusal.error == AppendError::OutOfOrderExemplar {
                self.receiver.out_of_order_exemplars.inc();
            }
            debug!("Error while adding exemplar", err = refusal.error);
        }
        first.map_or(Ok(()), |error| Err(TranslateError::Refused(error)))
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        if bytes > self.reserved {
            self.memory.grow(bytes - self.reserved)?;
            self.reserved = bytes;
        }
        Ok(())
    }

    fn warn(&mut self, warning: Warning, text: std::fmt::Arguments<'_>) {
        self.receiver.warnings.with(&[warning.as_str()]).inc();
        self.first_warning.get_or_insert_with(|| text.to_string());
    }
}

#[cfg(test)]
mod tests;
