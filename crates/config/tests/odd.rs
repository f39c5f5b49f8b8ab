//! Odd configurations of every section (wrong types, nulls, empty values, anchors, repeated keys, numbers of all kinds), and what
//! promtool 3.5 says about each; only those that later versions judge the same way.

use ferula_config::Config;
use ferula_testkit::shared;

#[test]
fn odd_configurations_are_judged_as_by_prometheus() {
    let table = shared::workspace_root().join("testdata/config/odd.tsv");
    let (mut count, mut wrong) = (0, Vec::new());
    for line in std::fs::read_to_string(table).expect("a table").lines() {
        let (config, expected) = line.split_once('\t').expect("two columns");
        let text = |json: &str| serde_json::from_str::<String>(json).expect("a JSON string");
        let (config, expected) = (text(config), text(expected));
        count += 1;
        let found = match Config::parse(&config) {
            Ok(_) if expected.is_empty() => continue,
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        // After Prometheus' words, an error names line and key, unless the words do.
        let has_place =
            expected.contains("line ") || found.contains(" (line ") || found.contains("unknown anchor");
        if expected.is_empty() || !found.starts_with(&expected) || !has_place {
            wrong.push(format!("{config}\n   instead of {expected}\n   {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 400, "{count}");
}
