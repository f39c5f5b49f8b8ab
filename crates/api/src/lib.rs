//! HTTP: routes, parameters, JSON, status codes.
//!
//! ```text
//! server ─▶ router (readiness, CORS, counting) ─▶ request ─▶ routes/* ─▶ answer ─▶ json ─▶ compression ─▶ client
//!                                                   │ thin: extract, call one thing below
//!                                                   └─▶ query (places, time, log) ─▶ promql ─▶ storage
//! ```
//!
//! Here: everything that a client of Prometheus' HTTP API sees. Elsewhere: how anything is computed. A status code is
//! chosen in `error` (the API) or beside the few answers in plain text. Handlers run on threads that may block; an
//! answer is written in chunks, so a large result is never text as a whole; a client that goes away stops its query.

pub mod alerting;
pub mod answer;
pub mod api;
pub mod compression;
pub mod cors;
pub mod error;
mod escaping;
mod http_metrics;
pub mod json;
pub mod params;
pub mod query;
mod raw_query;
pub mod readiness;
pub mod request;
mod router;
mod routes;
pub mod server;
mod store;
pub mod targets;

pub use api::{Api, BuildInfo, ExternalUrl, HeadStats, Lifecycle, Settings, Store, StoreAdmin, WalReplay};
pub use readiness::Stage;
pub use router::router;
pub use store::DbAdmin;
