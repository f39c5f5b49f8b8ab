//! The queue of alerts on its way to Alertmanagers.
//!
//! ```text
//! rules ─AlertSink─▶ Manager: external labels, relabelling ─▶ one Queue per Alertmanager ─ send loop ─▶ POST /api/v2/alerts
//!                                          discovery ─▶ which Alertmanagers there are
//! ```
//!
//! Here: finding out whom to tell, and telling everyone at their own pace. Elsewhere: which alerts there are
//! (`ferula-rules`), who gets called at night (Alertmanager).
//!
//! Always true: handing over alerts never waits; an Alertmanager that is slow or down holds up its own queue and no
//! other. Unlike Prometheus, a batch that an Alertmanager could not take is kept and tried again, as long as its
//! queue has room; what it refused (4xx) is dropped.

mod alertmanager;
mod manager;
mod metrics;
mod payload;
mod queue;
mod send;

pub use alertmanager::{AddressError, check_targets};
pub use manager::{AlertmanagersSnapshot, ApplyError, Manager, Options};
