//! `ferula/backtest`: when an alerting rule, as configured or as edited, would have been pending and firing
//! over stored history. Nothing is written, and nothing is sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use ferula_config::rules::{Positioned, Rule, RuleGroup};
use ferula_model::duration::parse_millis;
use ferula_model::{Alert, AlertSink, TimeRange, UnixNanos};
use ferula_promql::{Engine, EngineOptions, QueryOptions};
use ferula_query::{AdmittedQuery, EvaluationTime, Origin, QueryRequest};
use ferula_rules::backtest::{self, Episode, Options, RuleReport};
use ferula_rules::{EngineQuery, Group, GroupContext, Metrics, RuleStore, check_template};
use ferula_storage::{Appendable, Appender, Queryable, Snapshot, StorageError};
use ferula_telemetry::Registry;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::answer::{self, Answer, Handled};
use crate::api::Api;
use crate::compression::Encoding;
use crate::error::{ApiError, ErrorKind};
use crate::params::Params;
use crate::request::Request;

/// Maximum number of evaluations in one backtest: three months of a rule that runs every minute.
const EVALUATIONS_MAX: i64 = 140_000;
/// Maximum number of episodes in an answer; all of them are counted.
const EPISODES_MAX: usize = 1_000;

/// `/api/v1/ferula/backtest`
pub fn backtest(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        let encoding = Encoding::of_request(&request.headers);
        let what = request.path.clone();
        let admitted = match Plan::read(&api, &request) {
            Ok(plan) => admit(&api, &request, &plan).await.map(|admitted| (plan, admitted)),
            Err(error) => Err(error),
        };
        match admitted {
            Ok((plan, (admitted, guard))) => {
                answer::answer_in_time(guard, encoding, &what, move || plan.run(&api, &admitted)).await
            }
            Err(error) => answer::answer(encoding, &what, move || Err(error)).await,
        }
    }
    .boxed()
}

/// Admits the backtest as a query, so that it is listed, limited and stopped like one.
async fn admit(
    api: &Arc<Api>,
    request: &Request,
    plan: &Plan,
) -> Result<(AdmittedQuery, ferula_query::QueryGuard), ApiError> {
    let grid = ferula_promql::Grid {
        start_ms: plan.from.timestamp().millis(),
        end_ms: plan.to.timestamp().millis(),
        step_ms: i64::try_from(plan.group.interval.as_millis()).unwrap_or(i64::MAX),
    };
    let query = QueryRequest {
        query: plan.group.rules.first().map(|rule| rule.expr.to_string()).unwrap_or_default(),
        time: EvaluationTime::Range(grid),
        options: QueryOptions::default(),
        timeout: None,
        origin: Some(Origin::Http {
            client: request.client.map(|client| client.to_string()).unwrap_or_default(),
            method: request.method.to_string(),
            path: request.path.clone(),
        }),
    };
    Ok(api.queries.admit(query).await?)
}

/// The parsed request.
struct Plan {
    group: RuleGroup,
    /// Determines, together with the group's name, when the group is evaluated.
    file: String,
    from: UnixNanos,
    to: UnixNanos,
}

impl Plan {
    fn read(api: &Api, request: &Request) -> Result<Self, ApiError> {
        request.check_form()?;
        let params = &request.params;
        let interval = match span(params, "interval")? {
            Some(interval) if !interval.is_zero() => interval,
            _ => api.loaded().config.global.evaluation_interval,
        };
        let (from, to) = (params.time("start")?, params.time("end")?);
        if to < from {
            return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
        }
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        if to.saturating_sub(from) / interval_ms > EVALUATIONS_MAX {
            let why = format!(
                "more than {EVALUATIONS_MAX} evaluations; choose a shorter range or a longer interval"
            );
            return Err(ApiError::bad_data(why));
        }
        let name = match params.first("name") {
            "" => "backtest",
            name => name,
        };
        let labels: BTreeMap<String, String> = match params.first("labels") {
            "" => BTreeMap::new(),
            text => serde_json::from_str(text).map_err(|why| ApiError::parameter("labels", why))?,
        };
        for (label, text) in &labels {
            check_template(label, text).map_err(|why| ApiError::parameter("labels", why))?;
        }
        let rule = Rule {
            alert: Positioned::new(name),
            expr: Positioned::new(params.first("expr")),
            hold: span(params, "for")?.unwrap_or_default(),
            keep_firing_for: span(params, "keep_firing_for")?.unwrap_or_default(),
            labels,
            ..Rule::default()
        };
        let group = RuleGroup {
            name: Positioned::new(params.first("group")),
            interval,
            rules: vec![rule],
            ..RuleGroup::default()
        };
        let nanos = UnixNanos::from_millis;
        Ok(Plan { group, file: params.first("file").to_owned(), from: nanos(from), to: nanos(to) })
    }

    fn run(self, api: &Api, admitted: &AdmittedQuery) -> Handled {
        let history = Arc::new(History {
            queryable: api.store.queryable.clone(),
            appendable: api.store.appendable.clone(),
            stopped: admitted.stopped(),
        });
        let engine = EngineOptions { ..api.queries.engine().options().clone() };
        let loaded = api.loaded();
        let global = &loaded.config.global;
        let context = GroupContext {
            query: Arc::new(EngineQuery::new(Engine::new(engine.clone()), history.clone())),
            storage: history.clone() as Arc<dyn RuleStore>,
            alerts: Arc::new(NoAlertmanager),
            metrics: Metrics::new(&Registry::new()),
            clock: api.site.clock.clone(),
            parser: api.site.settings.parser,
            external_labels: Arc::new(global.external_labels.0.clone()),
            external_url: api.site.settings.external_url.to_string().into(),
            query_offset: global.rule_query_offset,
            resend_delay: Duration::ZERO,
            concurrency: None,
        };
        let group =
            Group::from_file(&self.group, &self.file, global.evaluation_interval, true, Arc::new(context))
                .map_err(|why| ApiError::parameter("expr", why))?;
        let options = Options {
            storage: &*history,
            engine,
            from: self.from,
            to: self.to,
            threads: 1,
            episodes_max: EPISODES_MAX,
            runs: &|_| true,
            progress: &|_| {},
        };
        let reports = backtest::run(&[group], &options);
        if (history.stopped)() {
            return Err(ApiError::new(ErrorKind::Canceled, "the backtest was stopped or timed out"));
        }
        let report = reports.into_iter().flat_map(|group| group.rules).next();
        let report = report.ok_or_else(|| ApiError::internal("the rule was not replayed"))?;
        let text = report_json(&report).to_string();
        Ok(Answer::json(move |json| json.raw(&text)))
    }
}

/// A duration parameter; `None` if it is missing.
fn span(params: &Params, name: &str) -> Result<Option<Duration>, ApiError> {
    match params.first(name) {
        "" => Ok(None),
        text => match parse_millis(text) {
            Ok(millis) => Ok(Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))),
            Err(why) => Err(ApiError::parameter(name, why)),
        },
    }
}

fn report_json(report: &RuleReport) -> Value {
    let failures = report.failures.as_ref().map(|failures| {
        json!({ "count": failures.count, "firstAt": seconds(failures.first_at), "firstError": failures.first_error })
    });
    json!({
        "name": report.name,
        "query": report.query,
        "evaluations": report.evaluations,
        "failures": failures,
        "episodesCount": report.episodes_count,
        "firedCount": report.fired_count,
        "firingSeconds": report.firing.as_secs_f64(),
        "episodes": report.episodes.iter().map(episode_json).collect::<Vec<_>>(),
    })
}

fn episode_json(episode: &Episode) -> Value {
    let labels: serde_json::Map<String, Value> =
        episode.labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let event = |event: &backtest::Event| {
        // A string, because JSON has neither NaN nor infinities.
        let value = ferula_go::float::format_g(event.value);
        json!({ "at": seconds(event.at), "change": event.change.as_str(), "value": value })
    };
    json!({ "labels": labels, "events": episode.events.iter().map(event).collect::<Vec<_>>() })
}

fn seconds(at: UnixNanos) -> f64 {
    at.timestamp().millis() as f64 / 1000.0
}

/// The store, until the backtest is stopped; after that, every query fails immediately.
struct History {
    queryable: Arc<dyn Queryable>,
    appendable: Arc<dyn Appendable>,
    stopped: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Queryable for History {
    fn snapshot(&self, range: TimeRange) -> Result<Box<dyn Snapshot + '_>, StorageError> {
        if (self.stopped)() {
            return Err(StorageError::Stopped);
        }
        self.queryable.snapshot(range)
    }
}

/// Rule groups need a store that can be written; a backtest never writes.
impl Appendable for History {
    fn appender(&self) -> Box<dyn Appender + '_> {
        self.appendable.appender()
    }
}

/// Discards all alerts.
struct NoAlertmanager;

impl AlertSink for NoAlertmanager {
    fn send(&self, _: Vec<Alert>) {}
}
