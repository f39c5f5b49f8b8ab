//! `features`: the server's capabilities by category, so clients need not infer them from the version.

use std::collections::BTreeMap;

use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::request::Request;
use crate::settings::Settings;

type Categories = BTreeMap<&'static str, BTreeMap<String, bool>>;

/// `/api/v1/features`
pub fn features(api: &Api, _: &Request) -> Handled {
    let categories = categories(&api.site.settings);
    Ok(Answer::json(move |json| {
        json.begin_object();
        for (category, entries) in &categories {
            json.key(category);
            json.begin_object();
            for (name, on) in entries {
                // Operators such as `>=` stay readable: names are not escaped as HTML here.
                json.plain_key(name);
                json.bool(*on);
            }
            json.end_object();
        }
        json.end_object();
    }))
}

fn categories(settings: &Settings) -> Categories {
    let mut all = Categories::new();
    let mut set = |category, name: &str, on| {
        all.entry(category).or_default().insert(name.to_owned(), on);
    };
    for (name, on) in [
        ("admin", settings.admin),
        ("exclude_alerts", true),
        ("label_values_match", true),
        ("lifecycle", settings.lifecycle),
        ("otlp_write_receiver", settings.otlp),
        ("query_stats", true),
        ("query_warnings", true),
        ("remote_write_receiver", settings.remote_write),
        ("search", settings.search_api),
        ("search_fuzz_alg_jarowinkler", true),
        ("search_fuzz_alg_subsequence", true),
        ("time_range_labels", true),
        ("time_range_series", true),
    ] {
        set("api", name, on);
    }
    let flag = |name: &str| settings.features.iter().any(|feature| feature == name);
    for (category, name, on) in [
        ("otlp_receiver", "delta_conversion", flag("otlp-deltatocumulative")),
        ("otlp_receiver", "native_delta_ingestion", flag("otlp-native-delta-ingestion")),
        ("prometheus", "agent_mode", settings.agent),
        ("prometheus", "auto_reload_config", settings.auto_reload),
        ("prometheus", "server_mode", !settings.agent),
        ("rules", "concurrent_rule_eval", flag("concurrent-rule-eval")),
        ("rules", "keep_firing_for", true),
        ("rules", "query_offset", true),
        ("scrape", "extra_scrape_metrics", true),
        ("scrape", "start_timestamp_zero_ingestion", flag("created-timestamp-zero-ingestion")),
        ("scrape", "type_and_unit_labels", flag("type-and-unit-labels")),
        ("service_discovery_providers", "file", true),
        ("service_discovery_providers", "static", true),
        ("tsdb", "delayed_compaction", false),
        ("tsdb", "exemplar_storage", flag("exemplar-storage")),
        ("tsdb", "histograms_st_encoding", flag("histograms-st-encoding")),
        ("tsdb", "isolation", true),
        ("tsdb", "native_histograms", true),
        ("tsdb", "st_storage", flag("st-storage")),
        ("tsdb", "use_uncached_io", false),
        ("tsdb", "xor2_encoding", true),
        ("ferula", "active_queries", true),
        ("ferula", "backtest", true),
        ("ferula", "changed_flags", true),
        ("ferula", "editor", true),
        ("ferula", "explain", true),
        ("ferula", "graph", true),
        ("ferula", "metrics", true),
        ("ferula", "queries_stop", true),
        ("ferula", "raw", true),
        ("ferula", "relabel", true),
        ("ferula", "scrape_preview", true),
        ("ferula", "top_queries", true),
        ("ferula", "tree", true),
        ("ui", "ui_v2", false),
        ("ui", "ui_v3", false),
    ] {
        set(category, name, on);
    }
    if flag("metadata-wal-records") {
        set("tsdb", "metadata_wal_records", true);
    }
    for function in ferula_template::prometheus::function_names() {
        set("templating_functions", function, true);
    }
    for (name, on) in [
        ("anchored", settings.parser.extended_range_selectors),
        ("at_modifier", true),
        ("bool", true),
        ("by", true),
        ("delayed_name_removal", flag("promql-delayed-name-removal")),
        ("duration_expr", settings.parser.duration_expressions),
        ("fill", settings.parser.binop_fill_modifiers),
        ("fill_left", settings.parser.binop_fill_modifiers),
        ("fill_right", settings.parser.binop_fill_modifiers),
        ("group_left", true),
        ("group_right", true),
        ("ignoring", true),
        ("negative_offset", true),
        ("offset", true),
        ("on", true),
        ("per_query_lookback_delta", true),
        ("per_step_stats", flag("promql-per-step-stats")),
        ("smoothed", settings.parser.extended_range_selectors),
        ("subqueries", true),
        ("type_and_unit_labels", flag("type-and-unit-labels")),
        ("without", true),
    ] {
        set("promql", name, on);
    }
    for operator in [
        "!=",
        "!~",
        "%",
        "*",
        "+",
        "-",
        "/",
        "<",
        "</",
        "<=",
        "==",
        "=~",
        ">",
        ">/",
        ">=",
        "@",
        "^",
        "and",
        "atan2",
        "avg",
        "bottomk",
        "count",
        "count_values",
        "group",
        "max",
        "min",
        "or",
        "quantile",
        "stddev",
        "stdvar",
        "sum",
        "topk",
        "unless",
    ] {
        set("promql_operators", operator, true);
    }
    for aggregator in ["limit_ratio", "limitk"] {
        set("promql_operators", aggregator, settings.parser.experimental_functions);
    }
    for function in ferula_promql_syntax::functions::FUNCTIONS {
        let on = !function.experimental || settings.parser.experimental_functions;
        set("promql_functions", function.name, on);
    }
    all
}
