//! One target's loop: wait for the tick, fetch the page, store it, report.
//!
//! ```text
//! run ──▶ tick ──▶ fetch ──▶ store ──▶ report ──▶ tick …      stop ──▶ Stopped: state for a successor,
//!                                                                       or end_of_run: markers after two ticks
//! ```
//!
//! Always true: a scrape that has started is finished, unless the whole server shuts down; ticks that pass meanwhile
//! are skipped. Samples get the tick's time if the scrape started close enough to it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_go::sync::MutexExt;
use ferula_model::UnixNanos;
use ferula_runtime::{Interval, SharedClock, Shutdown};
use ferula_storage::Appendable;
use ferula_telemetry::{error, warn};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bad_pages::BadPages;
use crate::error::ScrapeError;
use crate::fetch::{Fetch, FetchError, Page};
use crate::metrics::{IntervalLength, Metrics};
use crate::options::JobOptions;
use crate::page_buffers::SMALL_PAGE_BYTES;
use crate::report::{Counts, ExtraReport, Report};
use crate::target::{Health, LastScrape, Target};
use crate::target_state::{ScrapeContext, TargetState};

/// A scrape that starts at most this late gets its tick's time, which keeps samples evenly spaced.
const TOLERANCE_MAX: Duration = Duration::from_millis(2);

/// What the loops of all targets share.
#[derive(Clone)]
pub struct LoopServices {
    pub store: Arc<dyn Appendable>,
    pub clock: SharedClock,
    pub metrics: Metrics,
    /// The server's shutdown. No markers are written then, because series continue after the restart.
    pub shutdown: Shutdown,
    /// Limits how many pages are parsed and stored at the same time.
    pub storing: Arc<Semaphore>,
    /// Limits how many of them are stored on a thread of the runtime, so that one is left when the log waits for the disk.
    pub storing_here: Arc<Semaphore>,
    /// Source of the hash keys of caches.
    pub seeds: Arc<AtomicU64>,
    /// Keeps pages that could not be ingested.
    pub bad_pages: BadPages,
}

impl LoopServices {
    async fn store_permit(&self) -> OwnedSemaphorePermit {
        self.storing.clone().acquire_owned().await.expect("this semaphore is never closed")
    }

    /// The state of a target that was never scraped, with its own hash key.
    pub(crate) fn new_state(&self) -> TargetState {
        // The golden-ratio step spreads neighbouring seeds far apart.
        TargetState::new(self.seeds.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed))
    }
}

/// A failure of the job rather than of the target. It replaces the scrape.
pub type JobFailure = Arc<Mutex<Option<ScrapeError>>>;

/// One target's loop.
pub struct ScrapeLoop {
    pub(crate) shared: LoopServices,
    pub(crate) target: Arc<Target>,
    pub(crate) job: Arc<JobOptions>,
    pub(crate) fetch: Arc<dyn Fetch>,
    pub(crate) state: TargetState,
    pub(crate) forced: JobFailure,
    /// Stops this loop alone.
    pub(crate) stop: Shutdown,
    /// Offsets this server's scrapes from those of its replicas.
    pub(crate) offset_seed: u64,
}

/// A stopped loop and its state.
pub struct Stopped {
    /// Its state, for a successor.
    pub state: TargetState,
    shared: LoopServices,
    target: Arc<Target>,
    job: Arc<JobOptions>,
    interval: Interval,
    scraped: bool,
}

impl ScrapeLoop {
    /// Scrapes until the loop is stopped or the server shuts down.
    pub async fn run(mut self) -> Stopped {
        self.target.set_metadata(self.state.metadata().clone());
        let clock = self.shared.clock.clone();
        let seed = self.target.hash ^ self.offset_seed;
        let mut interval = Interval::new(clock.clone(), self.target.interval, seed);
        if self.job.features.first_scrape_now {
            interval = interval.due_now();
        }
        let observed = self.shared.metrics.interval_length(self.target.interval);
        let server_shutdown = self.shared.shutdown.clone();
        let mut last: Option<Duration> = None;
        loop {
            let moment = tokio::select! {
                biased;
                () = self.stop.requested() => break,
                moment = interval.tick() => moment,
            };
            let start = clock.elapsed();
            observe_interval(&observed, last, start);
            last = Some(start);
            let now = UnixNanos(clock.unix_nanos());
            let tolerance_max = self.job.features.timestamp_tolerance_max.unwrap_or(TOLERANCE_MAX);
            let at = aligned(now, UnixNanos(moment), self.target.interval, tolerance_max);
            tokio::select! {
                () = self.scrape(at, start) => {}
                () = server_shutdown.requested() => break,
            }
        }
        Stopped {
            state: self.state,
            shared: self.shared,
            target: self.target,
            job: self.job,
            interval,
            scraped: last.is_some(),
        }
    }

    /// Performs one scrape, from request to report. `at` becomes the time of its samples.
    async fn scrape(&mut self, at: UnixNanos, start: Duration) {
        let forced = self.forced.locked().clone();
        let page = match forced {
            Some(error) => Err(error),
            None => {
                let deadline = self.shared.clock.sleep(self.target.timeout);
                self.fetch.fetch(deadline).await.map_err(ScrapeError::Fetch)
            }
        };
        if let Err(ScrapeError::Fetch(FetchError::BodySizeLimit | FetchError::DefaultBodySizeLimit(_))) =
            &page
        {
            self.shared.metrics.exceeded_body_size.inc();
        }
        if let (Err(error @ ScrapeError::Fetch(_)), Some(log)) = (&page, &self.job.failure_log) {
            log.write(
                self.shared.clock.unix_nanos(),
                &self.job.job_name,
                &self.target.url,
                &error.to_string(),
            );
        }
        let permit = self.shared.store_permit().await;
        let spare = self.shared.new_state();
        let storing = Storing {
            shared: self.shared.clone(),
            target: self.target.clone(),
            job: self.job.clone(),
            state: std::mem::replace(&mut self.state, spare),
            at,
            start,
            _permit: permit,
        };
        match stored(storing, page, &self.shared.storing_here).await {
            Ok(state) => self.state = state,
            Err(panic) => {
                self.target.set_metadata(self.state.metadata().clone());
                let error = ScrapeError::Internal(panic);
                error!(
                    "Storing a page panicked",
                    component = "scrape manager",
                    target = self.target.url,
                    err = error
                );
                let took = self.shared.clock.elapsed().saturating_sub(start);
                self.target.report(last_scrape(at, took, &Counts::default(), Some(&error)));
            }
        }
    }
}

/// Stores a page, or fails with the text of a panic.
///
/// Storing can take long, and the log may wait for the disk: neither may delay other loops. So it is done by a thread for
/// blocking work, except for small pages while there is another thread of the runtime: for them the way to that thread and back
/// would be a large part of the cost.
async fn stored(
    storing: Storing,
    page: Result<Page, ScrapeError>,
    here: &Semaphore,
) -> Result<TargetState, String> {
    let page_bytes = page.as_ref().map_or(0, |page| page.body.len());
    if page_bytes <= SMALL_PAGE_BYTES
        && let Ok(_permit) = here.try_acquire()
    {
        let stored = catch_unwind(AssertUnwindSafe(|| storing.store(page)));
        return stored.map_err(|panic| format!("panicked with message {:?}", panic_text(&*panic)));
    }
    tokio::task::spawn_blocking(move || storing.store(page)).await.map_err(|error| error.to_string())
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown")
}

fn observe_interval(observed: &IntervalLength, last: Option<Duration>, now: Duration) {
    if let Some(last) = last {
        observed.observe(now.saturating_sub(last));
    }
}

/// The time of a scrape that starts now and was due at `moment`.
fn aligned(now: UnixNanos, moment: UnixNanos, interval: Duration, tolerance_max: Duration) -> UnixNanos {
    let tolerance = tolerance_max.min(interval / 100).as_nanos();
    let late = i128::from(now.0) - i128::from(moment.0);
    if late.unsigned_abs() <= tolerance { moment } else { now }
}

/// A page whose new series the store refused is still good, but users of the targets page must see it.
fn last_scrape(at: UnixNanos, took: Duration, counts: &Counts, error: Option<&ScrapeError>) -> LastScrape {
    let partly = counts.refused_new.as_ref();
    LastScrape {
        health: if error.is_none() { Health::Up } else { Health::Down },
        error: match (error, partly) {
            (Some(error), _) => error.to_string(),
            (None, Some((count, limit))) => format!("{count} samples of new series were not stored: {limit}"),
            (None, None) => String::new(),
        },
        at_unix_nanos: Some(at.0),
        took,
    }
}

fn scrape_context<'a>(job: &'a JobOptions, target: &'a Target, metrics: &'a Metrics) -> ScrapeContext<'a> {
    let page = target.page_options(job.features);
    ScrapeContext { job, page, target: &target.public_labels, metrics, url: &target.url }
}

/// A scrape being stored.
struct Storing {
    shared: LoopServices,
    target: Arc<Target>,
    job: Arc<JobOptions>,
    state: TargetState,
    at: UnixNanos,
    start: Duration,
    /// Held until the page is stored, even if the loop does not wait for that.
    _permit: OwnedSemaphorePermit,
}

impl Storing {
    fn store(mut self, page: Result<Page, ScrapeError>) -> TargetState {
        let body_bytes = match &page {
            Ok(page) => page.body.len() as f64,
            Err(ScrapeError::Fetch(FetchError::BodySizeLimit | FetchError::DefaultBodySizeLimit(_))) => -1.0,
            Err(_) => 0.0,
        };
        let (target, job, clock) = (&self.target, &self.job, &self.shared.clock);
        let context = scrape_context(job, target, &self.shared.metrics);
        let extra = job.extra_metrics.then_some(ExtraReport {
            timeout: target.timeout,
            sample_limit: job.sample_limit,
            body_bytes,
        });
        let (error, committed) = self.state.store(
            &*self.shared.store,
            &context,
            self.at.timestamp(),
            page.as_ref(),
            |counts, error| {
                let took = clock.elapsed().saturating_sub(self.start);
                target.report(last_scrape(self.at, took, &counts, error));
                Report::new(error.is_none(), took, counts, extra)
            },
        );
        if let (Ok(page), Some(error)) = (&page, error.filter(ScrapeError::is_of_page)) {
            self.shared.bad_pages.keep(&job.job_name, &target.url, self.at, page, &error);
        }
        let took = clock.elapsed().saturating_sub(self.start);
        self.shared.metrics.scrape_duration.observe_duration(took);
        if let Err(error) = committed {
            error!("Scrape commit failed", component = "scrape manager", target = target.url, err = error);
        }
        self.state
    }
}

impl Stopped {
    /// Ends the target's series, unless it was never scraped. Waits for the first missed tick and one more, in case
    /// another loop takes over the target, then writes markers at the time of the first.
    pub async fn end_of_run(mut self) {
        if !self.scraped {
            return;
        }
        let shutdown = self.shared.shutdown.clone();
        let clock = self.shared.clock.clone();
        let wait = async {
            let first = self.interval.tick().await;
            self.interval.tick().await;
            clock.sleep(self.target.interval / 10).await;
            first
        };
        let first = tokio::select! {
            biased;
            () = shutdown.requested() => return,
            first = wait => first,
        };
        let permit = self.shared.store_permit().await;
        let stored = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let context = scrape_context(&self.job, &self.target, &self.shared.metrics);
            self.state
                .store_end(&*self.shared.store, &context, UnixNanos(first).timestamp())
                .map_err(|error| (error, self.target.clone()))
        });
        match stored.await {
            Ok(Ok(())) => {}
            Ok(Err((error, target))) => {
                warn!("Stale commit failed", component = "scrape manager", target = target.url, err = error);
            }
            Err(panic) => {
                error!("Storing staleness markers panicked", component = "scrape manager", err = panic)
            }
        }
    }
}

#[cfg(test)]
mod tests;
