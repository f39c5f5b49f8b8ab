//! Finds the rules of a group that may run at the same time: those that do not read each other's results.

use ferula_model::labels::METRIC_NAME;

use crate::alerting::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use crate::rule::Rule;

/// Rule indices in batches. Rules of one batch may run concurrently; batches run one after the other. Empty
/// if it is unknown which rule reads what: then the rules run one by one, in order.
pub(crate) fn batches(rules: &[Rule]) -> Vec<Vec<usize>> {
    let Some(edges) = edges(rules) else { return Vec::new() };
    let reads = |index: usize| edges.iter().any(|(_, reader)| *reader == index);
    let is_read = |index: usize| edges.iter().any(|(writer, _)| *writer == index);
    let (mut first, mut middle, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..rules.len() {
        match (reads(index), is_read(index)) {
            (false, _) => first.push(index),
            (true, true) => middle.push(vec![index]),
            (true, false) => last.push(index),
        }
    }
    let mut all = Vec::new();
    all.extend((!first.is_empty()).then_some(first));
    all.append(&mut middle);
    all.extend((!last.is_empty()).then_some(last));
    all
}

/// Pairs of a rule and a later rule that reads its result; `None` if a selector could match any series.
fn edges(rules: &[Rule]) -> Option<Vec<(usize, usize)>> {
    let mut edges = Vec::new();
    for (reader, rule) in rules.iter().enumerate() {
        for matchers in rule.expr.selectors() {
            let name = matchers.iter().find(|matcher| &*matcher.name == METRIC_NAME)?;
            let alerts = name.matches(ALERTS) || name.matches(ALERTS_FOR_STATE);
            let alert_name = matchers.iter().find(|matcher| &*matcher.name == ALERT_NAME);
            for (writer, other) in rules[..reader].iter().enumerate() {
                let by_alert = alerts
                    && other.alerting.is_some()
                    && alert_name.is_none_or(|matcher| matcher.matches(&other.name));
                if name.matches(&other.name) || by_alert {
                    edges.push((writer, reader));
                }
            }
        }
    }
    Some(edges)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ferula_config::rules::{Positioned, Rule as FileRule};
    use ferula_promql_syntax::{ParserOptions, parse};

    use super::*;

    /// Parses rules written as `name = expression`; a name in capitals is an alert.
    fn rules(texts: &[&str]) -> Vec<Rule> {
        let rule = |text: &&str| {
            let (name, expr) = text.split_once(" = ").unwrap();
            let mut rule = FileRule { expr: Positioned::new(expr), ..FileRule::default() };
            if name == name.to_uppercase() {
                rule.alert = Positioned::new(name);
            } else {
                rule.record = Positioned::new(name);
            }
            Rule::new(&rule, &BTreeMap::new(), parse(expr, &ParserOptions::default()).unwrap(), true)
        };
        texts.iter().map(rule).collect()
    }

    #[test]
    fn readers_wait_for_writers() {
        let group = rules(&["a = x", "b = a + 1", "c = sum(b)", "d = y", "e = rate(a[5m])"]);
        assert_eq!(batches(&group), [vec![0, 3], vec![1], vec![2, 4]]);
    }

    #[test]
    fn alerts_are_read_through_their_series() {
        let group = rules(&["A = x > 1", "B = y > 1", r#"c = count(ALERTS{alertname="A"})"#, "d = ALERTS"]);
        assert_eq!(batches(&group), [vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn a_selector_without_a_name_forbids_all() {
        assert!(batches(&rules(&["a = x", r#"b = count({job="x"})"#])).is_empty());
        // A rule that reads the result of a later one sees the value of the previous evaluation.
        assert_eq!(batches(&rules(&["a = b", "b = x"])), [vec![0, 1]]);
    }
}
