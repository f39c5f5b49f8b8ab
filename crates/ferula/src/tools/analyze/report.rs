//! The answer of `api/v1/ferula/usage` as a YAML document: a report in comments, then rules.

use std::fmt::Write;

use serde_json::Value as Json;

/// The answer.
pub struct Report<'a> {
    json: &'a Json,
    unread: &'a [Json],
    unread_rules: &'a [Json],
    broad: &'a [Json],
    rules: &'a str,
}

impl<'a> Report<'a> {
    /// `None` if the answer has another form.
    pub fn read(json: &'a Json) -> Option<Self> {
        let list = |key: &str| json[key].as_array().map(Vec::as_slice);
        Some(Report {
            json,
            unread: list("unread")?,
            unread_rules: list("unreadRules")?,
            broad: list("broadSelectors")?,
            rules: json["metricRelabelConfigs"].as_str()?,
        })
    }

    /// Series that the rules would not treat as they should.
    pub fn wrong(&self) -> u64 {
        self.replayed("wrong")
    }

    /// Whether the rules drop the listed metrics and nothing else.
    pub fn is_replayed_right(&self) -> bool {
        self.json["replay"]["wrong"].as_u64() == Some(0)
    }

    fn replayed(&self, key: &str) -> u64 {
        self.json["replay"][key].as_u64().unwrap_or(0)
    }

    /// The document. At most `limit` metrics are listed; the rules are always for all of them.
    pub fn yaml(&self, notes: &[String], limit: usize) -> String {
        let mut out = String::new();
        self.write(&mut out, notes, limit).expect("writing to a String cannot fail");
        out
    }

    fn write(&self, out: &mut String, notes: &[String], limit: usize) -> std::fmt::Result {
        let (json, unread) = (self.json, self.unread);
        let sum = |key: &str| unread.iter().filter_map(|metric| metric[key].as_u64()).sum::<u64>();
        writeln!(
            out,
            "# Since {}, nothing has read {} of {} metrics: {} of {} series, {} of samples.",
            text(&json["from"]),
            unread.len(),
            json["metrics"],
            sum("series"),
            json["series"],
            size(sum("bytes"))
        )?;
        for note in notes {
            writeln!(out, "# Note: {}", comment(note))?;
        }
        if !unread.is_empty() {
            writeln!(
                out,
                "#\n# {:>9} {:>10}  {:<20}  {:<24}  METRIC",
                "SERIES", "BYTES", "LAST READ", "JOBS"
            )?;
        }
        for metric in unread.iter().take(limit) {
            let last = metric["lastRead"].as_str().map_or("-", |time| time.get(..19).unwrap_or(time));
            let about = if metric["bytesAreEstimated"] == true { "~" } else { "" };
            let bytes = format!("{about}{}", size(metric["bytes"].as_u64().unwrap_or(0)));
            let (series, jobs) = (metric["series"].as_u64().unwrap_or(0), jobs(metric));
            writeln!(out, "# {series:>9} {bytes:>10}  {last:<20}  {jobs:<24}  {}", text(&metric["name"]))?;
        }
        if unread.len() > limit {
            writeln!(out, "# … and {} more; --limit=0 lists all", unread.len() - limit)?;
        }
        self.write_rules_unread(out)?;
        self.write_broad(out)?;
        writeln!(
            out,
            "#\n# Replayed over {} stored series: {} are dropped, {} are changed that should not be.",
            self.replayed("series"),
            self.replayed("dropped"),
            self.wrong()
        )?;
        match self.rules {
            "" => out.write_str("metric_relabel_configs: []\n"),
            rules => write!(out, "metric_relabel_configs:\n{rules}"),
        }
    }

    /// Rules of relabelling do not see what recording rules write.
    fn write_rules_unread(&self, out: &mut String) -> std::fmt::Result {
        if self.unread_rules.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "#\n# Recording rules whose results nothing reads; remove the rules to save these series:"
        )?;
        for rule in self.unread_rules {
            let (name, group) = (text(&rule["name"]), text(&rule["group"]));
            writeln!(out, "# {:>9}  {name}  ({group})", number(&rule["series"]))?;
        }
        Ok(())
    }

    fn write_broad(&self, out: &mut String) -> std::fmt::Result {
        if self.broad.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "#\n# Selectors without a metric's name: how many metrics they select, and how many of these nothing else reads:"
        )?;
        for broad in self.broad {
            let selector = text(&broad["selector"]);
            let (metrics, only) = (number(&broad["metrics"]), number(&broad["onlyReadSo"]));
            writeln!(out, "# {metrics:>9} {only:>9}  {selector}")?;
        }
        Ok(())
    }
}

/// A count; it is formatted with a width, which JSON values ignore.
fn number(json: &Json) -> u64 {
    json.as_u64().unwrap_or(0)
}

/// A text for a comment of one line.
fn text(json: &Json) -> String {
    comment(json.as_str().unwrap_or_default())
}

/// Names may hold any character; a line break would end the comment.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

fn jobs(metric: &Json) -> String {
    let names = metric["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> = names.iter().map(text).collect();
    match names.len() {
        0..=3 => names.join(","),
        more => format!("{},… ({more})", names[..3].join(",")),
    }
}

/// `12.3MiB`
fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{value}{unit}") } else { format!("{value:.1}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1}TiB")
}
