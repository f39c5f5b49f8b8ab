//! The output of commands: tables, dates, JSON.

use anyhow::Result;
use ferula_alertmanager::Time;
use ferula_go::calendar;
use ferula_go::json::push_html_string;
use serde_json::Value;

use super::settings::{self, DATE_FORMAT, OUTPUT};
use crate::tools::args::Args;

/// `--output`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Simple,
    Extended,
    Json,
}

/// The requested format.
pub fn format(args: &Args) -> Format {
    match settings::value(args, OUTPUT).as_deref() {
        Some("extended") => Format::Extended,
        Some("json") => Format::Json,
        _ => Format::Simple,
    }
}

/// Columns as wide as their widest cell plus two spaces, including the last one.
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with this header.
    pub fn new(head: &[&str]) -> Self {
        Table(vec![head.iter().map(|text| (*text).to_owned()).collect()])
    }

    /// Adds a line.
    pub fn row(&mut self, cells: Vec<String>) {
        self.0.push(cells);
    }

    /// The table as text.
    pub fn draw(&self) -> String {
        let columns = self.0.first().map_or(0, Vec::len);
        let width =
            |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 2;
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.0 {
            for (cell, width) in row.iter().zip(&widths) {
                out.push_str(cell);
                out.push_str(&" ".repeat(width - cell.chars().count()));
            }
            out.push('\n');
        }
        out
    }
}

/// Names with their values, in two columns.
pub fn two_columns(pairs: &[(&str, &str)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    pairs.iter().map(|(name, value)| format!("{name:width$}{value}\n")).collect()
}

/// A time from the API, formatted by `--date.format`.
pub fn date(args: &Args, value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let layout = settings::value(args, DATE_FORMAT).unwrap_or_default();
    Time::parse_rfc3339(text).map_or_else(String::new, |time| calendar::format_zoned(&time.zoned(), &layout))
}

/// The text value of a key.
pub fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Sorts by a point in time.
pub fn sort_by_time(items: &mut [Value], key: &str) {
    items.sort_by_key(|item| item[key].as_str().and_then(Time::parse_rfc3339).map(Time::unix_nanos));
}

/// One line of JSON, as Go writes it.
pub fn print_json(value: &Value) {
    let mut out = String::new();
    write_json(&mut out, value);
    println!("{out}");
}

fn write_json(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => push_html_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                write_json(out, item);
            }
            out.push(']');
        }
        Value::Object(pairs) => {
            out.push('{');
            for (at, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                push_html_string(out, key);
                out.push(':');
                write_json(out, value);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// The items of a list.
pub fn items(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        other => anyhow::bail!("not a list: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["ID", "Comment"]);
        table.row(vec!["äöü".into(), String::new()]);
        assert_eq!(table.draw(), "ID   Comment  \näöü           \n");
    }

    #[test]
    fn json_is_escaped_as_in_go() {
        let mut out = String::new();
        write_json(&mut out, &serde_json::json!({"b": ["<", 1, null], "a": true}));
        assert_eq!(out, r#"{"b":["\u003c",1,null],"a":true}"#);
    }
}
