//! HTTP: routes, parameters, JSON, status codes.
//!
//! ```text
//! server ─▶ router (readiness, CORS, counting) ─▶ request ─▶ routes/* ─▶ answer ─▶ json ─▶ compression ─▶ client
//!                                                   │ thin: extract, call one thing below
//!                                                   └─▶ ferula-query (places, time, log) ─▶ promql ─▶ storage
//! ```
//!
//! Here: everything that a client of Prometheus' HTTP API sees. Elsewhere: how anything is computed. Error statuses
//! are chosen in `status`, redirects are written in `redirect`. Handlers run on threads that may block, but for small
//! queries. Answers are written in chunks, so the text of a large result is never held as a whole. A client that disconnects stops its
//! query.

pub mod answer;
pub mod api;
pub mod compression;
pub mod cors;
pub mod error;
mod federation_metrics;
mod global_url;
mod http_metrics;
pub mod json;
mod name_cache;
mod notification_metrics;
pub mod page_answer;
pub mod params;
mod raw_query;
mod read_gate;
pub mod readiness;
mod redirect;
pub mod request;
mod router;
mod routes;
pub mod server;
mod service;
mod settings;
mod site;
mod status;
mod store;
pub mod web_access;
mod web_ui;
mod write_timeout;

pub use api::{AlertingSource, Api, LoadedConfig, TargetSource};
pub use readiness::Stage;
pub use router::router;
pub use service::Service;
pub use settings::{BuildInfo, ExternalUrl, Settings};
pub use site::{Lifecycle, Site, WalReplay};
pub use store::{AgentAdmin, DbAdmin, HeadStats, Store, StoreAdmin};
pub use web_ui::{Asset, Shell, WebUi};
