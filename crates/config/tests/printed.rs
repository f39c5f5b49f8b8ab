//! How a loaded configuration is printed: `testdata/config/printed.txt` records what the real Prometheus prints.
//!
//! So each case shows the defaults of a section, what is inherited, how values are written, the order of the keys,
//! and that no secret is shown.

use ferula_config::Config;
use ferula_testkit::shared::workspace_root;

/// Lines with a default that either 3.14 or 3.5 prints, but not both. The recorded answers are those of 3.5.
const CHANGED_LINES: [&str; 13] = [
    "scrape_native_histograms: false",
    "extra_scrape_metrics: false",
    "metric_name_validation_scheme: utf8",
    "metric_name_escaping_scheme: allow-utf-8",
    "label_name_underscore_sanitization: true",
    "label_name_preserve_multiple_underscores: true",
    "namespace: false",
    "role: droplets",
    "deployment: false",
    "job: false",
    "cronjob: false",
    "replacement: \"\"",
    "separator: \"\"",
];

/// The formats that 3.5 asks for by default in its global section. 3.14 leaves the choice to each job.
const DEFAULT_PROTOCOLS: &str = "  scrape_protocols:
  - OpenMetricsText1.0.0
  - OpenMetricsText0.0.1
  - PrometheusText1.0.0
  - PrometheusText0.0.4
";

/// The lines without what the two versions print differently.
fn lines(printed: &str) -> Vec<String> {
    let (global, rest) = printed.split_once("\nruntime:").expect("every configuration has the section");
    let global = format!("{global}\n").replace(DEFAULT_PROTOCOLS, "");
    // An empty regex was printed as none.
    let text = format!("{global}runtime:{rest}").replace(" regex: null", " regex: \"\"");
    text.lines().filter(|line| !CHANGED_LINES.contains(&line.trim())).map(str::to_owned).collect()
}

/// Without a section and what is indented below it.
fn without_section(printed: &str, key: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in printed.lines() {
        inside = line == format!("{key}:") || inside && line.starts_with(' ');
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn every_configuration_prints_as_by_prometheus() {
    let text = std::fs::read_to_string(workspace_root().join("testdata/config/printed.txt")).unwrap();
    let (mut cases, mut wrong) = (0, Vec::new());
    for case in text.split("\n== ").skip(1) {
        let (name, rest) = case.split_once('\n').expect("a name on a line of its own");
        let (yaml, expected) = rest.split_once("\n=>\n").expect("what is printed behind an arrow");
        let printed = match Config::parse(&format!("{yaml}\n")) {
            Ok(config) => config.to_yaml(),
            Err(error) => panic!("{name}: {error}"),
        };
        cases += 1;
        // 3.14 always has a section on storage, which shows the defaults of newer keys.
        let has_storage = expected.contains("\nstorage:");
        let printed = if has_storage { printed } else { without_section(&printed, "storage") };
        let (found, expected) = (lines(&printed), lines(expected));
        if let Some(at) = (0..found.len().max(expected.len())).find(|at| found.get(*at) != expected.get(*at))
        {
            wrong.push(format!("{name}, line {at}: {:?} instead of {:?}", found.get(at), expected.get(at)));
        }
    }
    assert!(cases >= 45, "{cases} cases");
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
}
