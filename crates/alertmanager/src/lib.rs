//! Where alerts go.
//!
//! Here: the routing tree. Elsewhere: its configuration (`ferula_config::alertmanager`). Grouping, silences, inhibition
//! and receivers are not built yet; the server sends alerts to other Alertmanagers.

mod route;

pub use route::{GroupBy, Labels, Route};
