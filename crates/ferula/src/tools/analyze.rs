//! `ferula analyze usage`: metrics that nothing reads, and rules that drop them.
//!
//! ```text
//! rule files ─┐
//! dashboards ─┴─▶ selectors ─▶ api/v1/ferula/usage of the server ─▶ report and rules, as one YAML document
//! ```

mod grafana;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ferula_config::rules::{RuleFileOptions, load_rules};
use ferula_model::Matcher;
use ferula_model::labels::{METRIC_NAME, NameScheme};
use ferula_promql_syntax::{ParserOptions, parse};
use ferula_query::reads::{name_of, selector_text};
use ferula_rules::check_template;

use super::args::{Args, Argument, Command, Flag, ValueKind, argument, flag, group};
use super::http;
use super::output::{finish, print};
use super::query::api::Api;

const SERVER: Argument =
    argument("server", ValueKind::Url, "The server whose metrics to look at.").required();
const DAYS: Flag =
    flag("days", ValueKind::Number, "How many days back reads and samples count.").default("30");
const RULES: Flag = flag(
    "rules",
    ValueKind::Texts,
    "A rule file, or a pattern of files, that reads from the server. The server's own rules always count. May be repeated.",
);
const DASHBOARDS: Flag = flag(
    "dashboards",
    ValueKind::Texts,
    "A Grafana dashboard (JSON), or a directory of them. May be repeated.",
);
const IGNORE_BROAD: Flag = flag(
    "ignore-broad-selectors",
    ValueKind::Switch,
    "Do not count selectors without a metric's name, such as {job=\"x\"}, as reads.",
);
const LIMIT: Flag = flag("limit", ValueKind::Number, "How many metrics to list; 0 lists all.").default("100");

/// `analyze`
pub const COMMAND: Command = group(
    "analyze",
    "Find out what a server stores in vain.",
    &[Command::new(
        "usage",
        "List the metrics that no query, rule or dashboard has read, by series and bytes, with rules for \
         metric_relabel_configs that drop them. The output is YAML; the list is in its comments.",
        |args| finish(usage(args)),
    )
    .flags(&[DAYS, RULES, DASHBOARDS, IGNORE_BROAD, LIMIT, http::CONFIG_FILE])
    .arguments(&[SERVER])
    .ours()],
);

/// Larger dashboards are refused.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What files read.
#[derive(Default)]
struct FileReads {
    /// Texts of selectors.
    selectors: BTreeSet<String>,
    /// What the report should say about the files.
    notes: Vec<String>,
}

fn usage(args: &Args) -> Result<()> {
    let mut reads = FileReads::default();
    for pattern in args.all(RULES) {
        reads.add_rules(pattern)?;
    }
    for path in args.all(DASHBOARDS) {
        reads.add_dashboards(Path::new(path))?;
    }
    let mut form = vec![("days", args.text(DAYS).to_owned())];
    if args.has(IGNORE_BROAD) {
        form.push(("broad_selectors", "ignore".to_owned()));
    }
    form.extend(reads.selectors.into_iter().map(|text| ("read[]", text)));
    let api = Api::new(args, args.required(SERVER), &BTreeMap::new())?;
    let (answer, mut notes) = api.usage(&form).map_err(|error| {
        let detail = error.detail.trim().to_owned();
        let error = anyhow::Error::from(error);
        if detail.is_empty() { error } else { error.context(detail) }
    })?;
    notes.extend(reads.notes);
    let limit = match args.number(LIMIT) {
        0 => usize::MAX,
        limit => usize::try_from(limit).context("--limit is negative")?,
    };
    let report = report::Report::read(&answer).context("the server's answer has another form")?;
    print(&report.yaml(&notes, limit))?;
    ensure!(report.is_replayed_right(), "the rules change {} other series; do not use them", report.wrong());
    Ok(())
}

impl FileReads {
    fn add(&mut self, matchers: &[Matcher]) {
        self.selectors.insert(match name_of(matchers) {
            Some(name) => name_selector(name),
            None => selector_text(matchers),
        });
    }

    /// Adds the expressions of rule files. In templates that run queries, every word may be the name of a metric.
    fn add_rules(&mut self, pattern: &str) -> Result<()> {
        let files = ferula_config::glob(pattern);
        ensure!(!files.is_empty(), "--rules={pattern}: no such file");
        let options = RuleFileOptions {
            names: NameScheme::Utf8,
            // Files of other servers may have more.
            ignore_unknown_fields: true,
            parser: all_features(),
            check_template: &check_template,
        };
        for file in files {
            let loaded = load_rules(Path::new(&file), &options);
            let loaded = loaded.map_err(|errors| anyhow::anyhow!("{file}:\n{errors}"))?;
            for rule in loaded.groups.iter().flat_map(|group| &group.rules) {
                let expr = parse(&rule.expr, &all_features()).with_context(|| file.clone())?;
                expr.read_selectors().iter().for_each(|matchers| self.add(matchers));
                let templates = rule.labels.values().chain(rule.annotations.values());
                for text in templates.filter(|text| text.contains("query")) {
                    self.selectors.extend(grafana::words(text).map(name_selector));
                }
            }
        }
        Ok(())
    }

    fn add_dashboards(&mut self, path: &Path) -> Result<()> {
        for file in json_files(path)? {
            let bytes = file.metadata().with_context(|| file.display().to_string())?.len();
            ensure!(bytes <= FILE_BYTES_MAX, "{}: larger than {FILE_BYTES_MAX} bytes", file.display());
            let text = std::fs::read(&file).with_context(|| file.display().to_string())?;
            let json = serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
            let expressions = grafana::expressions(&json);
            if expressions.is_empty() {
                self.notes.push(format!("{}: no queries found", file.display()));
            }
            for expression in expressions {
                let read = grafana::read(&expression, &all_features());
                read.selectors.iter().for_each(|matchers| self.add(matchers));
                self.selectors.extend(read.words.iter().map(|word| name_selector(word)));
                if let Some(note) = read.note {
                    self.notes.push(format!("{}: {note}: {expression}", file.display()));
                }
            }
        }
        Ok(())
    }
}

fn name_selector(name: &str) -> String {
    selector_text(&[Matcher::equal(METRIC_NAME, name)])
}

/// Expressions of others may use anything.
fn all_features() -> ParserOptions {
    ParserOptions {
        experimental_functions: true,
        duration_expressions: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
    }
}

/// A file, or the `*.json` of a directory, sorted.
fn json_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| path.display().to_string())? {
        let file = entry?.path();
        if file.extension().is_some_and(|end| end == "json") {
            files.push(file);
        }
    }
    if files.is_empty() {
        bail!("{}: no *.json in it", path.display());
    }
    files.sort();
    Ok(files)
}
