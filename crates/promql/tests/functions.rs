//! Every function of the language has code behind it that answers with the type that its row states.

use ferula_model::Timestamp;
use ferula_promql::{Engine, EngineOptions, Features, Grid, QueryControl, QueryOptions, QueryValue};
use ferula_promql_syntax::ast::ValueType;
use ferula_promql_syntax::functions::{FUNCTIONS, Function};
use ferula_testkit::MemStorage;

/// Calls with as few and with as many arguments as the row allows (one more for those without an end).
fn calls(function: &Function) -> Vec<String> {
    let argument = |of: &ValueType| match of {
        ValueType::Vector => "m",
        ValueType::Matrix => "m[5m]",
        ValueType::Scalar => "0.5",
        ValueType::String => "\"job\"",
    };
    let mut arguments: Vec<&str> = function.args.iter().map(argument).collect();
    let mut calls = Vec::new();
    if function.name == "info" {
        arguments = vec!["m", "{data=\"x\"}"];
    }
    if function.variadic != 0 {
        calls.push(format!("{}({})", function.name, arguments[..arguments.len() - 1].join(", ")));
        let more = usize::try_from(function.variadic).unwrap_or(2) - 1;
        let last = arguments[arguments.len() - 1];
        calls.push(format!("{}({})", function.name, [arguments, vec![last; more]].concat().join(", ")));
    } else {
        calls.push(format!("{}({})", function.name, arguments.join(", ")));
    }
    calls
}

#[test]
fn every_function_of_the_language_answers() {
    let store = MemStorage::new();
    store.put(&[("__name__", "m"), ("job", "a")], &[(0, 1.0), (15_000, 3.0), (30_000, 2.0)]);
    let features = Features { experimental_functions: true, ..Features::default() };
    let engine = Engine::new(EngineOptions { features, ..EngineOptions::default() });
    let (options, control) = (QueryOptions::default(), QueryControl::new());
    let grid = Grid { start_ms: 0, end_ms: 60_000, step_ms: 15_000 };
    for function in FUNCTIONS {
        for call in calls(function) {
            let instant =
                engine.instant(&store, &call, Timestamp::from_millis(30_000), &options, &control).result;
            match (&instant, function.returns) {
                (Ok(QueryValue::Scalar { .. }), ValueType::Scalar) => {}
                (Ok(QueryValue::Vector(_)), ValueType::Vector) => {}
                other => panic!("{call}: {other:?}"),
            }
            let range = engine.range(&store, &call, grid, &options, &control).result;
            assert!(matches!(range, Ok(QueryValue::Matrix(_))), "{call}: {range:?}");
        }
    }
}

#[test]
fn values_with_equal_numbers_and_other_text_sort_however_many_there_are() {
    let store = MemStorage::new();
    for series in 0..60 {
        let value = format!("{}{}", "0".repeat(series % 5), series % 3);
        store.put(&[("__name__", "m"), ("a", &value), ("i", &series.to_string())], &[(0, 1.0)]);
        let le =
            if series % 3 == 0 { "NaN".to_owned() } else { format!("{}{series}", "0".repeat(series % 5)) };
        store.put(&[("__name__", "m_bucket"), ("le", &le), ("i", &series.to_string())], &[(0, 1.0)]);
    }
    let features = Features { experimental_functions: true, ..Features::default() };
    let engine = Engine::new(EngineOptions { features, ..EngineOptions::default() });
    let (options, control) = (QueryOptions::default(), QueryControl::new());
    for (query, count) in [
        ("sort_by_label(m, \"a\")", 60),
        ("sort_by_label_desc(m, \"a\", \"i\")", 60),
        ("histogram_quantile(0.5, sum by (le) (m_bucket))", 1),
    ] {
        let result = engine.instant(&store, query, Timestamp::from_millis(0), &options, &control).result;
        match result {
            Ok(QueryValue::Vector(vector)) => assert_eq!(vector.len(), count, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }
}
