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

/// What every group works with. A reload replaces it.
#[derive(Clone)]
pub struct GroupContext {
    /// Where questions go.
    pub query: Arc<dyn RuleQuery>,
    /// Where results go, and where the `for` state comes back from.
    pub storage: Arc<dyn RuleStore>,
    /// Where alerts go.
    pub alerts: Arc<dyn AlertSink>,
    /// Where it is counted.
    pub metrics: Metrics,
    /// For how long things take; never for when they are evaluated.
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
    /// How many rules beside the groups' own may run at the same time; `None` evaluates every group in order.
    pub concurrency: Option<Arc<AtomicUsize>>,
}
