//! The expected and actual alerts as one document, with the differences in colour.
//!
//! The document is what `promtool test rules --diff` prints: JSON over several lines, in which missing parts are red,
//! unexpected parts are green, and changes are yellow, `"old" => "new"`.

use std::collections::BTreeMap;

use ferula_go::quote::go_quote;
use ferula_model::LabelSet;

const ADDED: Colour = "\u{1b}[0;32m";
const REMOVED: Colour = "\u{1b}[0;31m";
const CHANGED: Colour = "\u{1b}[0;33m";
const PLAIN: Colour = "";
const END: &str = "\u{1b}[0m";
const INDENT: &str = "    ";

/// Start sequence of a colour; empty for plain text.
type Colour = &'static str;

/// A JSON value without numbers.
enum Node {
    Text(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

impl Node {
    fn of_labels(labels: &LabelSet) -> Node {
        Node::Map(
            labels.iter().map(|(name, value)| (name.to_owned(), Node::Text(value.to_owned()))).collect(),
        )
    }

    fn of_alerts(alerts: &[(LabelSet, LabelSet)]) -> Node {
        let one = |(labels, annotations): &(LabelSet, LabelSet)| {
            Node::Map(BTreeMap::from([
                ("Labels".to_owned(), Node::of_labels(labels)),
                ("Annotations".to_owned(), Node::of_labels(annotations)),
            ]))
        };
        // An empty list is shown as one empty alert.
        let none = [(LabelSet::empty(), LabelSet::empty())];
        Node::List(if alerts.is_empty() { &none } else { alerts }.iter().map(one).collect())
    }
}

/// The differences between alerts, each of them labels and annotations.
pub(super) fn difference(expected: &[(LabelSet, LabelSet)], got: &[(LabelSet, LabelSet)]) -> String {
    let mut writer = Writer { out: String::new(), level: 0, colour: PLAIN };
    writer.both(&Node::of_alerts(expected), &Node::of_alerts(got));
    writer.out
}

struct Writer {
    out: String,
    level: usize,
    colour: Colour,
}

/// One entry of a list or map: its key, and the values of both sides.
type Entry<'n> = (Option<&'n str>, Option<&'n Node>, Option<&'n Node>);

impl Writer {
    fn turn(&mut self, colour: Colour) {
        if self.colour == colour {
            return;
        }
        if self.colour != PLAIN {
            self.out.push_str(END);
        }
        self.out.push_str(colour);
        self.colour = colour;
    }

    /// Ends the colour before a line break and resumes it on the next line.
    fn new_line(&mut self, last: &str) {
        self.out.push_str(last);
        if self.colour != PLAIN {
            self.out.push_str(END);
        }
        self.out.push('\n');
        self.out.push_str(&INDENT.repeat(self.level));
        self.out.push_str(self.colour);
    }

    /// Writes a value that is on both sides.
    fn both(&mut self, expected: &Node, got: &Node) {
        match (expected, got) {
            (Node::Text(a), Node::Text(b)) if a == b => self.out.push_str(&go_quote(a)),
            (Node::List(a), Node::List(b)) => {
                let count = a.len().max(b.len());
                self.entries('[', (0..count).map(|at| (None, a.get(at), b.get(at))).collect(), ']');
            }
            (Node::Map(a), Node::Map(b)) => {
                let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                let entry = |key: &'_ String| (a.get(key), b.get(key));
                let entries = keys.into_iter().map(|key| {
                    let (a, b) = entry(key);
                    (Some(key.as_str()), a, b)
                });
                self.entries('{', entries.collect(), '}');
            }
            (a, b) => {
                self.turn(CHANGED);
                self.brief(a);
                self.out.push_str(" => ");
                self.brief(b);
                self.turn(PLAIN);
            }
        }
    }

    fn entries(&mut self, open: char, entries: Vec<Entry<'_>>, close: char) {
        self.out.push(open);
        if !entries.is_empty() {
            self.level += 1;
            self.new_line("");
        }
        let count = entries.len();
        for (at, (key, a, b)) in entries.into_iter().enumerate() {
            self.turn(match (a, b) {
                (Some(_), None) => REMOVED,
                (None, Some(_)) => ADDED,
                _ => PLAIN,
            });
            if let Some(key) = key {
                self.key(key);
            }
            match (a, b) {
                (Some(a), Some(b)) => self.both(a, b),
                (Some(only), None) | (None, Some(only)) => self.whole(only),
                (None, None) => {}
            }
            self.turn(PLAIN);
            if at + 1 < count {
                self.new_line(",");
            } else {
                self.level -= 1;
                self.new_line("");
            }
        }
        self.out.push(close);
    }

    fn key(&mut self, key: &str) {
        self.out.push_str(&go_quote(key));
        self.out.push_str(": ");
    }

    /// Writes a value that is on one side only.
    fn whole(&mut self, node: &Node) {
        let (open, close, entries): (char, char, Vec<(Option<&str>, &Node)>) = match node {
            Node::Text(text) => return self.out.push_str(&go_quote(text)),
            Node::List(items) => ('[', ']', items.iter().map(|item| (None, item)).collect()),
            Node::Map(pairs) => {
                ('{', '}', pairs.iter().map(|(key, value)| (Some(key.as_str()), value)).collect())
            }
        };
        self.out.push(open);
        if !entries.is_empty() {
            self.level += 1;
            self.new_line("");
        }
        let count = entries.len();
        for (at, (key, value)) in entries.into_iter().enumerate() {
            if let Some(key) = key {
                self.key(key);
            }
            self.whole(value);
            if at + 1 < count {
                self.new_line(",");
            } else {
                self.level -= 1;
                self.new_line("");
            }
        }
        self.out.push(close);
    }

    /// Writes a value next to another one.
    fn brief(&mut self, node: &Node) {
        match node {
            Node::Text(text) => self.out.push_str(&go_quote(text)),
            Node::List(_) => self.out.push_str("[]"),
            Node::Map(_) => self.out.push_str("{}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_coloured_line_by_line() {
        let alert = |pairs: &[(&str, &str)]| (LabelSet::from_pairs(pairs.iter().copied()), LabelSet::empty());
        let expected = [alert(&[("alertname", "A"), ("gone", "1"), ("same", "x"), ("value", "old")])];
        let got = [alert(&[("alertname", "A"), ("same", "x"), ("value", "new")]), alert(&[("b", "c")])];
        let text = difference(&expected, &got).replace("\u{1b}[0m", "§").replace('\u{1b}', "^");
        let want = r#"[
    {
        "Annotations": {},
        "Labels": {
            "alertname": "A",
            ^[0;31m"gone": "1"§,
            "same": "x",
            "value": ^[0;33m"old" => "new"§
        }
    },
    ^[0;32m{§
        ^[0;32m"Annotations": {},§
        ^[0;32m"Labels": {§
            ^[0;32m"b": "c"§
        ^[0;32m}§
    ^[0;32m}§
]"#;
        assert_eq!(text, want);
    }
}
