//! Where alerts go.
//!
//! Here: alerts, the routing tree, silences, inhibition, time intervals, the notification log, receivers. Elsewhere: the
//! configuration of all of them (`ferula_config::alertmanager`).

mod alert;
pub mod engine;
mod inhibit;
mod matcher_index;
pub mod notification_log;
pub mod receiver;
mod route;
pub mod silence;
mod stored_alert;
mod time_interval;
mod wire;

pub use alert::{Alert, Time, fingerprint};
pub use engine::{Engine, EngineSettings, Setup};
pub use route::{GroupBy, LabelValues, Labels, Route};
pub use stored_alert::StoredAlert;
pub use wire::WireError;
