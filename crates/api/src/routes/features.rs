//! `features`: what this server can do, by category, so that clients need not guess from the version.

use std::collections::BTreeMap;

use crate::answer::{Answer, Handled};
use crate::api::{Api, Settings};
use crate::request::Request;

type Categories = BTreeMap<&'static str, BTreeMap<String, bool>>;

/// `/api/v1/features`
pub fn features(api: &Api, _: &Request) -> Handled {
    let categories = categories(&api.settings);
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
        ("otlp_write_receiver", false),
        ("query_stats", true),
        ("query_warnings", true),
        ("remote_write_receiver", settings.remote_write),
        ("search", false),
        ("time_range_labels", true),
        ("time_range_series", true),
    ] {
        set("api", name, on);
    }
    for (name, on) in [("agent_mode", false), ("server_mode", true)] {
        set("prometheus", name, on);
    }
    for (name, on) in [
        ("anchored", settings.parser.extended_range_selectors),
        ("at_modifier", true),
        ("bool", true),
        ("by", true),
        ("duration_expr", settings.parser.duration_expressions),
        ("fill", settings.parser.binop_fill_modifiers),
        ("group_left", true),
        ("group_right", true),
        ("ignoring", true),
        ("negative_offset", true),
        ("offset", true),
        ("on", true),
        ("smoothed", settings.parser.extended_range_selectors),
        ("subqueries", true),
        ("without", true),
    ] {
        set("promql", name, on);
    }
    for operator in [
        "!=", "!~", "%", "*", "+", "-", "/", "<", "<=", "==", "=~", ">", ">=", "@", "^", "and", "atan2",
        "or", "unless",
    ] {
        set("promql_operators", operator, true);
    }
    for function in ferula_promql_syntax::functions::FUNCTIONS {
        let on = !function.experimental || settings.parser.experimental_functions;
        set("promql_functions", function.name, on);
    }
    all
}
