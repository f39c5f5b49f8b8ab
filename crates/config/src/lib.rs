//! YAML files to checked, typed sections, with Prometheus' error texts.
//!
//! ```text
//! text ─ yaml ─► tree with lines ─ section tables ─► Config ─► agents
//!                                                    └── to_yaml ─► /api/v1/status/config
//! ```
//!
//! Here: every section of Prometheus' configuration file and of its rule files, with defaults, checks and
//! printed form. Elsewhere: the agents that act on sections. A section that this build cannot act on is read and
//! checked as well, and [`Config::unsupported`] lists it.
//!
//! Always true of a loaded [`Config`]: whatever a job inherits from `global` is filled in, file names are joined
//! with the directory of the file, and relabel rules are valid.

pub mod alerting;
pub mod alertmanager;
mod closest;
mod config;
pub mod discovery;
mod error;
mod files;
mod glob;
pub mod global;
pub mod http_client;
pub mod relabel;
pub mod remote;
pub mod rules;
mod scalars;
pub mod scrape;
pub mod scrape_protocols;
mod section;
mod sections;
pub mod storage;
mod support;
pub mod tracing;
pub mod unit_test;
mod url;
pub mod web;
mod yaml;

pub use closest::closest;
pub use config::{Config, ScrapeJobs};
pub use error::{ConfigError, ConfigLocation};
pub use glob::{check_pattern, glob};
pub use scalars::{ByteSize, ByteSizeError, ExternalLabels, Int64, Secret, TargetLabels, Uint64};
pub use sections::Sections;
pub use support::{Consequence, Unsupported};
pub use url::{Url, UrlError};
pub use yaml::SyntaxError;
