//! Where alerts go.
//!
//! Here: alerts, the routing tree, receivers. Elsewhere: the configuration of both (`ferula_config::alertmanager`).

mod alert;
pub mod receiver;
mod route;

pub use alert::{Alert, Time, fingerprint};
pub use route::{GroupBy, Labels, Route};
