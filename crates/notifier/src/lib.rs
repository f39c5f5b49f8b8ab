//! Queues alerts and delivers them to Alertmanagers.
//!
//! ```text
//! rules ─AlertSink─▶ Manager: external labels, relabelling ─▶ one Queue per Alertmanager ─ send loop ─▶ POST /api/v2/alerts
//!                                          discovery ─▶ the current set of Alertmanagers
//! ```
//!
//! Here: which Alertmanagers receive alerts, and a separate queue and pace for each. Elsewhere: which alerts exist
//! (`ferula-rules`), who gets called at night (Alertmanager).
//!
//! Always true: handing over alerts never blocks; a slow or unreachable Alertmanager delays only its own
//! queue. Unlike Prometheus, a batch that could not be delivered is kept and retried while its
//! queue has room. A batch that the Alertmanager refuses (4xx) is dropped.

mod alertmanager;
mod manager;
mod metrics;
mod payload;
mod queue;
mod send;

pub use alertmanager::{AddressError, check_targets};
pub use manager::{AlertmanagersSnapshot, ApplyError, Manager, Options};
