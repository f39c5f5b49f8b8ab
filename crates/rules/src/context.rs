//! The environment of rules: where they read, write and send, and the settings that all groups share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use ferula_model::AlertSink;
use ferula_promql_syntax::ParserOptions;
use ferula_runtime::SharedClock;
use ferula_storage::{Appendable, Queryable};

use crate::Metrics;
use crate::query::RuleQuery;

/// A store that rules read and write.
pub trait RuleStore: Appendable + Queryable {}

impl<T: Appendable + Queryable> RuleStore for T {}

/// Settings and services that every group uses. A reload replaces them.
#[derive(Clone)]
pub struct GroupContext {
    /// Evaluates expressions.
    pub query: Arc<dyn RuleQuery>,
    /// Stores results, and provides the samples from which the `for` state is restored.
    pub storage: Arc<dyn RuleStore>,
    /// Receives the alerts.
    pub alerts: Arc<dyn AlertSink>,
    pub metrics: Metrics,
    /// Measures durations. It never determines evaluation times.
    pub clock: SharedClock,
    /// Which experimental functions expressions and templates may use.
    pub parser: ParserOptions,
    /// `global.external_labels`, for templates.
    pub external_labels: Arc<BTreeMap<String, String>>,
    /// `--web.external-url`, without a slash at its end.
    pub external_url: Arc<str>,
    /// `global.rule_query_offset`
    pub query_offset: Duration,
    /// `--rules.alert.resend-delay`
    pub resend_delay: Duration,
    /// How many rules may run concurrently, beyond one per group; `None` evaluates every group in order.
    pub concurrency: Option<Arc<AtomicUsize>>,
}
