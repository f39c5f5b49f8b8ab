//! Absent, null and empty values differ: `empty_keys.tsv` records for every key of every section how the real
//! programs treat null and an empty text, list and map.
//!
//! The keys are read from the sources, so a new one fails here until its answers are recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};
use ferula_config::{Config, ConfigError};
use ferula_testkit::shared::workspace_root;

/// Sections that only ferula has.
const OURS: [&str; 1] = ["IncludedFile"];

/// One section of the recording.
struct Section {
    name: String,
    /// A configuration with `@` instead of the section's keys.
    template: String,
    /// Required keys, as `key: value`.
    required: Vec<String>,
    /// Key, value, outcome.
    rows: Vec<[String; 3]>,
    /// Not in the recorded build.
    left_out: bool,
}

/// Lines with a default that 3.14 prints and 3.5 does not, or the other way round.
const NEWER_LINES: [&str; 12] = [
    "storage:",
    "tsdb:",
    "outofordertimewindow: 0",
    "otlp:",
    "metric_name_validation_scheme: utf8",
    "label_name_underscore_sanitization: true",
    "label_name_preserve_multiple_underscores: true",
    "replacement: \"\"",
    "separator: \"\"",
    "regex: \"\"",
    "regex: null",
    "scrape_native_histograms: false",
];
/// Outcomes that changed between 3.5 and 3.14: key, values, and how the outcome of 3.14 begins.
const CHANGED: [(&str, &[&str], &str); 9] = [
    ("Ec2SdConfig.region", &["null", "''"], "[\"+    region: \\\"\\\"\""),
    ("LightsailSdConfig.region", &["null", "''"], "[\"+    region: \\\"\\\"\""),
    ("SelectorConfig.role", &["null"], "! \"pod role supports only pod, node selectors"),
    (
        "RemoteWriteConfig.protobuf_message",
        &["null", "''"],
        "! \"invalid protobuf_message value: unknown type",
    ),
    ("RemoteWriteConfig.queue_config", &["null"], "! \"remote write queue max_shards must be positive"),
    ("QueueConfig.capacity", &["null"], "! \"remote write queue capacity must be positive"),
    ("QueueConfig.max_shards", &["null"], "! \"remote write queue max_shards must be positive"),
    ("QueueConfig.min_shards", &["null"], "! \"remote write queue min_shards must be positive"),
    ("QueueConfig.max_backoff", &["null"], "! \"remote write queue max_backoff must not be less"),
];

fn read(file: &str) -> Vec<Section> {
    let text = std::fs::read_to_string(workspace_root().join("testdata").join(file)).expect("the recording");
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let cells: Vec<&str> = line.trim_start_matches("== ").split('\t').collect();
        if line.starts_with("== ") {
            let required = cells[2].split("; ").filter(|key| !key.is_empty()).map(str::to_owned).collect();
            let (name, template) = (cells[0].to_owned(), cells[1].to_owned());
            sections.push(Section { name, template, required, rows: Vec::new(), left_out: false });
            continue;
        }
        let section = sections.last_mut().expect("a section comes first");
        match cells[..] {
            [key, value, outcome] => section.rows.push([key, value, outcome].map(str::to_owned)),
            [key, "not known"] => section.rows.push([key, "null", "crash"].map(str::to_owned)),
            _ => section.left_out = true,
        }
    }
    sections
}

/// The keys of each section, as the sources list them: `kind name as "key": Type = default;` within `section!`.
fn keys_in_sources(directory: &Path, found: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in std::fs::read_dir(directory).expect("sources").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            // Alertmanager's sections are recorded from another program.
            if !entry.ends_with("alertmanager") {
                keys_in_sources(&entry, found);
            }
            continue;
        }
        // Its own file beside its directory.
        if entry.ends_with("src/alertmanager.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&entry).expect("a source file");
        let mut section = None;
        for line in text.lines().map(str::trim) {
            let words: Vec<&str> = line.split([' ', ':']).filter(|word| !word.is_empty()).collect();
            match words[..] {
                [.., "struct", name, "as", _, "{"]
                | [.., "struct", name, "as", _, "checked", "{"]
                | [.., "struct", name, "as", _, "read", "as", _, "{"]
                | [.., "struct", name, "as", _, "read", "as", _, "checked", "{"] => {
                    // Within a macro the name is a variable.
                    section = Some(name.to_owned()).filter(|name| !name.starts_with('$'));
                    if let Some(name) = &section {
                        found.entry(name.clone()).or_default();
                    }
                }
                ["omit" | "keep" | "path" | "keep_path", field, ref rest @ ..] => {
                    let Some(name) = &section else { continue };
                    let key = match rest {
                        ["as", quoted, ..] => quoted.trim_matches('"'),
                        _ => field,
                    };
                    found.get_mut(name).expect("it was begun").insert(key.to_owned());
                }
                ["}"] => section = None,
                _ => {}
            }
        }
    }
}

/// A configuration with the section's required keys, and one more or one replaced.
fn yaml(section: &Section, key: Option<(&str, &str)>) -> String {
    let mut keys: Vec<String> = section.required.clone();
    if let Some((key, value)) = key {
        keys.retain(|required| !required.starts_with(&format!("{key}:")));
        keys.push(format!("{key}: {value}"));
    }
    section.template.replace('@', &keys.join(", ")) + "\n"
}

/// The error's text without the place that is added to it, and without the Go type that a value does not fit.
fn cause(error: &ConfigError) -> String {
    let text = error.to_string();
    let text = match error.place() {
        Some(place) => text.replace(&format!(" (line {}: {})", place.line, place.path), ""),
        None => text,
    };
    without_types(&text)
}

/// `cannot unmarshal !!seq into config.plain`: whether a value fits is compared, not how Go calls what it should fit.
/// Values below a secret are never shown here.
fn without_types(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(" into ") {
        Some((value, _)) if line.contains("cannot unmarshal") => value.replace("<secret>", ""),
        _ => line.trim_end().to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Lines that are only in the first or only in the second, in order.
fn changes(from: &str, to: &str, ignored: &[&str]) -> String {
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    // The first key of an item has a dash, whichever it is.
    let (from, to) = (from.replace("- ", "  "), to.replace("- ", "  "));
    from.lines().for_each(|line| *counts.entry(line).or_default() -= 1);
    to.lines().for_each(|line| *counts.entry(line).or_default() += 1);
    let mut changes = Vec::new();
    for (line, count) in
        counts.into_iter().filter(|(line, _)| !ignored.contains(&line.trim_start_matches([' ', '-'])))
    {
        let sign = if count < 0 { '-' } else { '+' };
        changes.extend((0..count.abs()).map(|_| format!("{sign}{line}")));
    }
    changes.sort();
    if changes.is_empty() { "=".to_owned() } else { serde_json::to_string(&changes).expect("texts") }
}

/// Compares every row; returns what differs.
fn compare(file: &str, ignored: &[&str], print: impl Fn(&str) -> Result<String, ConfigError>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for section in read(file).into_iter().filter(|section| !section.left_out) {
        let base = print(&yaml(&section, None)).unwrap_or_else(|error| panic!("{}: {error}", section.name));
        for [key, value, expected] in &section.rows {
            rows += 1;
            let outcome = match print(&yaml(&section, Some((key, value)))) {
                Ok(printed) => changes(&base, &printed, ignored),
                Err(error) => format!("! {}", serde_json::to_string(&cause(&error)).expect("a text")),
            };
            // Without what the two versions print differently.
            let expected = match serde_json::from_str::<Vec<String>>(expected) {
                Ok(lines) => {
                    let (less, more): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.starts_with('-'));
                    let text = |lines: Vec<&String>| {
                        lines.iter().map(|line| format!("{}\n", &line[1..])).collect::<String>()
                    };
                    changes(&text(less), &text(more), ignored)
                }
                Err(_) => match expected.strip_prefix("! ") {
                    Some(text) => {
                        let text: String = serde_json::from_str(text).expect("a text");
                        format!("! {}", serde_json::to_string(&without_types(&text)).expect("a text"))
                    }
                    None => expected.clone(),
                },
            };
            let name = format!("{}.{key}", section.name);
            let changed = CHANGED.iter().any(|(changed, values, now)| {
                *changed == name && values.contains(&value.as_str()) && outcome.starts_with(now)
            });
            if expected != "crash" && outcome != expected && !changed {
                wrong.push(format!(
                    "{}.{key} = {value}:\n  {outcome}\n  instead of\n  {expected}",
                    section.name
                ));
            }
        }
    }
    assert!(rows > 1000, "{rows} rows");
    wrong
}

#[test]
fn empty_keys_mean_what_they_mean_in_prometheus() {
    let wrong = compare("config/empty_keys.tsv", &NEWER_LINES, |yaml| {
        Config::parse(yaml).map(|config| config.to_yaml())
    });
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn empty_keys_mean_what_they_mean_in_alertmanager() {
    let print =
        |yaml: &str| AlertmanagerConfig::parse(yaml, MatcherSyntax::Fallback).map(|config| config.to_yaml());
    let wrong = compare("alertmanager/empty_keys.tsv", &[], print);
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_key_of_every_section_is_recorded() {
    for (directory, files) in [
        ("src", &["config/empty_keys.tsv", "promtool/empty_keys.tsv"][..]),
        ("src/alertmanager", &["alertmanager/empty_keys.tsv"]),
    ] {
        let mut sources = BTreeMap::new();
        keys_in_sources(&workspace_root().join("crates/config").join(directory), &mut sources);
        let mut recorded: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for section in files.iter().flat_map(|file| read(file)) {
            let name = section.name.split('#').next().expect("a name").to_owned();
            let keys = recorded.entry(name.clone()).or_default();
            keys.extend(section.rows.into_iter().map(|[key, ..]| key));
            if section.left_out {
                keys.extend(sources.get(&name).cloned().unwrap_or_default());
            }
        }
        assert!(sources.len() > 30, "{} sections", sources.len());
        let mut missing = Vec::new();
        for (section, keys) in sources.iter().filter(|(section, _)| !OURS.contains(&section.as_str())) {
            let known = recorded.get(section);
            let unknown = keys.iter().filter(|key| known.is_none_or(|known| !known.contains(*key)));
            missing.extend(unknown.map(|key| format!("{section}.{key}")));
        }
        assert!(missing.is_empty(), "without a recorded answer: {missing:?}");
    }
}
