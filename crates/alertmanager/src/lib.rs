//! The Alertmanager: receives, groups and silences alerts, and sends notifications.
//!
//! ```text
//! HTTP (the binary) ─► api ─► run ─► engine: store, inhibition, routes, groups, silences, notification log
//!                             ├─► journal: every change, before it is acknowledged
//!                             └─► receiver: attempts, each a task of its own
//! ```
//!
//! Here: everything from the receipt of an alert to the request to a notification service. Elsewhere: the
//! configuration (`ferula_config::alertmanager`), sockets and flags (the binary).

mod alert;
mod annotations;
pub mod api;
mod blocking;
pub mod engine;
mod export;
mod frame;
mod in_parallel;
mod inhibit;
mod journal;
mod local;
mod matcher_index;
pub mod notification_log;
pub mod pair;
pub mod receiver;
mod rendered;
mod route;
pub mod run;
pub mod silence;
mod stored_alert;
pub mod template;
mod time;
mod time_interval;
mod wire;

pub use alert::Alert;
pub use annotations::Annotations;
pub use engine::{Engine, EngineSettings, Setup};
pub use export::{ExportError, Exported, export};
pub use route::{GroupBy, LabelValues, Labels, Route};
pub use run::{Alertmanager, Intervals};
pub use stored_alert::StoredAlert;
pub use time::Time;
pub use time_interval::TimeIntervals;
pub use wire::WireError;
