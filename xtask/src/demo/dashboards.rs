//! Asks every query of the dashboards in config/grafana, over the demonstration's data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ferula_demo::condition::Condition;
use ferula_free_port::free_port;
use serde_json::Value;

use super::running::RunningDemo;
use crate::peer::percent_encode;
use crate::root::root;

/// A panel that nobody waits longer for.
const SLOWEST: Duration = Duration::from_secs(1);
/// Until all windows are filled. A busy machine may take much longer than the windows do.
const PATIENCE: Duration = Duration::from_secs(150);

/// One query of a panel.
#[derive(Debug, PartialEq)]
struct PanelQuery {
    /// Dashboard and panel.
    name: String,
    expr: String,
    /// Over a range, or at one moment.
    is_range: bool,
}

/// Fails if a query has no answer, an error, or no value, or if it is slow each time.
pub(super) fn check(ferula: &Path, directory: PathBuf, factor: u64) -> Result<String> {
    let queries = read_dashboards()?;
    let show = RunningDemo::start(ferula, directory, factor, free_port()?, 99)?;
    // Panels of errors show errors, and panels of notifications show notifications.
    show.stage.services.set_condition(Condition {
        errors: 0.05,
        failed_logins: 10.0,
        ..Condition::default()
    });
    let end = Instant::now() + PATIENCE;
    let mut open: BTreeMap<&str, (&PanelQuery, String)> =
        queries.iter().map(|query| (query.expr.as_str(), (query, "not asked".to_owned()))).collect();
    while !open.is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_secs(1));
        open.retain(|_, (query, problem)| match ask(&show, query) {
            Ok(None) => false,
            Ok(Some(text)) => {
                *problem = text;
                true
            }
            Err(error) => {
                *problem = format!("{error:#}");
                true
            }
        });
    }
    let problems: Vec<String> =
        open.values().map(|(query, problem)| format!("{}: {problem}: {}", query.name, query.expr)).collect();
    ensure!(
        problems.is_empty(),
        "{} of {} queries:\n  {}",
        problems.len(),
        queries.len(),
        problems.join("\n  ")
    );
    Ok(format!("{} queries of the panels, all with values", queries.len()))
}

/// What is wrong with the answer, if anything.
fn ask(show: &RunningDemo, query: &PanelQuery) -> Result<Option<String>> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
    let text = percent_encode(&query.expr);
    let path = match query.is_range {
        true => format!("/api/v1/query_range?query={text}&start={}&end={now}&step=1", now - 30.0),
        false => format!("/api/v1/query?query={text}&time={now}"),
    };
    let before = Instant::now();
    let data = show.ferula.api(&path)?;
    let took = before.elapsed();
    if !has_value(&data) {
        return Ok(Some("nothing to show".to_owned()));
    }
    Ok((took > SLOWEST).then(|| format!("took {:.1} s each time", took.as_secs_f64())))
}

/// Whether a result has a number or a histogram to draw.
fn has_value(data: &Value) -> bool {
    let is_number = |sample: &Value| sample[1].as_str().is_some_and(|text| text != "NaN");
    data["result"].as_array().into_iter().flatten().any(|series| {
        let values = series["values"].as_array().into_iter().flatten().chain(series.get("value"));
        values.into_iter().any(is_number)
            || series.get("histogram").is_some()
            || series["histograms"].as_array().is_some_and(|list| !list.is_empty())
    })
}

/// All queries of all dashboards, with variables that match everything.
fn read_dashboards() -> Result<Vec<PanelQuery>> {
    let directory = root().join("config/grafana/dashboards");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    ensure!(!files.is_empty(), "{} has no dashboards", directory.display());
    let mut queries = Vec::new();
    for file in files {
        let name = file.file_stem().and_then(|stem| stem.to_str()).context("a name in UTF-8")?.to_owned();
        let read = || -> Result<Vec<PanelQuery>> {
            panel_queries(&name, &serde_json::from_str(&std::fs::read_to_string(&file)?)?)
        };
        queries.extend(read().with_context(|| file.display().to_string())?);
    }
    Ok(queries)
}

fn panel_queries(dashboard: &str, json: &Value) -> Result<Vec<PanelQuery>> {
    let variables: Vec<&str> = json["templating"]["list"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    let mut queries = Vec::new();
    for panel in json["panels"].as_array().context("panels")? {
        let title = panel["title"].as_str().unwrap_or("");
        if panel["type"] != "row" {
            ensure!(
                !title.is_empty() && panel["description"].as_str().is_some_and(|text| text.len() > 10),
                "{title}: a panel says what it shows and how to read it"
            );
            ensure!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: a panel has a unit");
            ensure!(
                panel["targets"].as_array().is_some_and(|all| !all.is_empty()),
                "{title}: a panel has a query"
            );
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            let mut expr =
                target["expr"].as_str().context("an expression")?.replace("$__rate_interval", "4s");
            for variable in &variables {
                expr = expr.replace(&format!("\"${variable}\""), "\".*\"");
            }
            ensure!(!expr.contains('$'), "{title}: unknown variable in {expr}");
            let is_range = target["range"] == true;
            queries.push(PanelQuery { name: format!("{dashboard}, {title}"), expr, is_range });
        }
    }
    Ok(queries)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shipped_dashboard_can_be_read() {
        let queries = read_dashboards().expect("all are right");
        assert!(queries.len() > 80, "{}", queries.len());
    }

    #[test]
    fn panels_without_words_units_or_known_variables_are_refused() {
        let panel = |change: &dyn Fn(&mut Value)| {
            let mut panel = json!({
                "type": "stat", "title": "Errors", "description": "Share of requests that fail.",
                "fieldConfig": {"defaults": {"unit": "percentunit"}},
                "targets": [{"expr": "a{job=~\"$job\"}[$__rate_interval]", "range": true}],
            });
            change(&mut panel);
            panel_queries("d", &json!({"templating": {"list": [{"name": "job"}]}, "panels": [panel]}))
        };
        let good = panel(&|_| ()).expect("right");
        let expected = PanelQuery {
            name: "d, Errors".to_owned(),
            expr: "a{job=~\".*\"}[4s]".to_owned(),
            is_range: true,
        };
        assert_eq!(good, [expected]);
        let wrong: [&dyn Fn(&mut Value); 4] = [
            &|panel| panel["description"] = json!(""),
            &|panel| panel["fieldConfig"] = json!({}),
            &|panel| panel["targets"] = json!([]),
            &|panel| panel["targets"][0]["expr"] = json!("a{job=\"$other\"}"),
        ];
        for change in wrong {
            assert!(panel(change).is_err());
        }
    }

    #[test]
    fn only_numbers_and_histograms_are_something_to_show() {
        for (result, expected) in [
            (json!([]), false),
            (json!([{"value": [1, "NaN"]}]), false),
            (json!([{"value": [1, "0"]}]), true),
            (json!([{"values": [[1, "NaN"], [2, "3"]]}]), true),
            (json!([{"histograms": [[1, {}]]}]), true),
        ] {
            assert_eq!(has_value(&json!({"result": result})), expected, "{result}");
        }
    }
}
