//! The queries: what dashboards, alerts and people ask, over an hour, six hours, a day, and at an instant.

/// A query and the times at which it is asked.
pub struct Query {
    pub text: &'static str,
    /// Seconds before the last sample, and the step in seconds; `None` asks at the last sample.
    pub span: Option<(i64, i64)>,
}

impl Query {
    pub fn spelled_span(&self) -> String {
        self.span.map_or_else(|| "instant".to_owned(), |(span, step)| format!("{}h/{step}s", span / 3600))
    }
}

const HOUR: Option<(i64, i64)> = Some((3600, 15));
const SIX_HOURS: Option<(i64, i64)> = Some((21_600, 60));
const DAY: Option<(i64, i64)> = Some((86_400, 120));

const fn at(span: Option<(i64, i64)>, text: &'static str) -> Query {
    Query { text, span }
}

pub const QUERIES: &[Query] = &[
    at(HOUR, "metric_family_1_total"),
    at(HOUR, "rate(metric_family_3_total[5m])"),
    at(HOUR, "sum(rate(metric_family_3_total[5m]))"),
    at(HOUR, "sum by (namespace) (rate(metric_family_6_total[5m]))"),
    at(HOUR, "topk(5, rate(metric_family_9_total[5m]))"),
    at(HOUR, "irate(metric_family_12_total[1m])"),
    at(HOUR, "histogram_quantile(0.99, sum by (le) (rate(metric_family_15_total[5m])))"),
    at(HOUR, "label_replace(metric_family_11_total, \"app\", \"$1\", \"pod\", \"(.*)-.*\")"),
    at(HOUR, "metric_family_7_total / on (instance, le) metric_family_8_total"),
    at(HOUR, "metric_family_4_total > bool 100 and metric_family_4_total < 500"),
    at(SIX_HOURS, "metric_family_1_total"),
    at(SIX_HOURS, "rate(metric_family_2_total[5m])"),
    at(SIX_HOURS, "sum by (instance) (rate(metric_family_3_total[5m]))"),
    at(SIX_HOURS, "max_over_time(metric_family_4_total[1h])"),
    at(SIX_HOURS, "avg_over_time(metric_family_4_total[10m])"),
    at(SIX_HOURS, "quantile_over_time(0.9, metric_family_7_total[30m])"),
    at(SIX_HOURS, "stddev_over_time(metric_family_7_total[30m])"),
    at(SIX_HOURS, "deriv(metric_family_7_total[10m])"),
    at(SIX_HOURS, "predict_linear(metric_family_7_total[1h], 3600)"),
    at(SIX_HOURS, "changes(metric_family_10_total[15m])"),
    at(SIX_HOURS, "resets(metric_family_12_total[15m])"),
    at(SIX_HOURS, "histogram_quantile(0.9, sum by (le) (rate({__name__=~\"metric_family_1._total\"}[5m])))"),
    at(SIX_HOURS, "sum by (container) (rate({__name__=~\"metric_family_2._total\", job=\"node\"}[5m]))"),
    at(SIX_HOURS, "avg by (node) (metric_family_5_total) - avg by (node) (metric_family_5_total offset 1h)"),
    at(SIX_HOURS, "max_over_time(sum(rate(metric_family_6_total[5m]))[30m:1m])"),
    at(SIX_HOURS, "count_values(\"value\", metric_family_8_total)"),
    at(
        SIX_HOURS,
        "group by (namespace) (metric_family_9_total) unless on (namespace) metric_family_10_total > 500",
    ),
    at(DAY, "metric_family_1_total"),
    at(DAY, "sum(rate(metric_family_3_total[5m]))"),
    at(DAY, "sum by (namespace) (rate(metric_family_1_total[5m]))"),
    at(DAY, "increase(metric_family_4_total[1h])"),
    at(DAY, "avg(metric_family_5_total)"),
    at(DAY, "quantile(0.95, metric_family_7_total)"),
    at(DAY, "min_over_time(metric_family_8_total[1h])"),
    at(DAY, "sum_over_time(metric_family_8_total[1h])"),
    at(DAY, "count({job=\"node\"})"),
    at(None, "metric_family_10_total{le=\"1\"}"),
    at(None, "count({job=\"node\"})"),
    at(None, "rate(metric_family_9_total[1d])"),
    at(None, "topk(10, rate({__name__=~\"metric_family_._total\"}[5m]))"),
    at(None, "sum by (__name__) ({namespace=\"team-3\"})"),
    at(None, "absent(metric_family_1000_total)"),
];
