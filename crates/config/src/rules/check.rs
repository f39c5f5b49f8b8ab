//! The checks of a rule file that was read.

use ferula_model::labels::{METRIC_NAME, NameScheme};
use ferula_promql_syntax::parse;

use super::error::{FileFault, Position, RuleFault};
use super::file::{Positioned, Rule, RuleFileOptions, RuleGroup};

/// Everything that is wrong with the groups of a file.
pub(super) fn check_groups(groups: &[RuleGroup], options: &RuleFileOptions<'_>) -> Vec<FileFault> {
    let mut faults = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let at = group.name.position();
        if group.name.is_empty() {
            faults.push(FileFault::UnnamedGroup { at });
        }
        if groups[..index].iter().any(|earlier| earlier.name == group.name) {
            faults.push(FileFault::RepeatedGroup { at, name: group.name.to_string() });
        }
        let bad_labels = group.labels.keys().filter(|name| !is_rule_label(name, options.names));
        faults.extend(bad_labels.cloned().map(FileFault::GroupLabel));
        for (index, rule) in group.rules.iter().enumerate() {
            faults.extend(check_rule(rule, options).into_iter().map(|(at, fault)| FileFault::Rule {
                at,
                group: group.name.to_string(),
                number: index + 1,
                name: rule.name().to_owned(),
                fault,
            }));
        }
    }
    faults
}

fn is_rule_label(name: &str, names: NameScheme) -> bool {
    names.is_label_name(name) && name != METRIC_NAME
}

/// What is wrong with a rule, with the places that are printed in front.
fn check_rule(rule: &Rule, options: &RuleFileOptions<'_>) -> Vec<(Vec<Position>, RuleFault)> {
    let written = [&rule.record, &rule.alert, &rule.expr].into_iter().find(|text| text.line() > 0);
    // What is missing has no place; the rule's first text stands in for it.
    let at = |text: &Positioned| {
        let shown = if text.line() > 0 { text } else { written.unwrap_or(text) };
        shown.position()
    };
    let both = || vec![at(&rule.record), at(&rule.alert)];
    let mut faults = Vec::new();
    match (rule.record.is_empty(), rule.alert.is_empty()) {
        (false, false) => faults.push((both(), RuleFault::RecordAndAlert)),
        (true, true) => faults.push((both(), RuleFault::NoName)),
        _ => {}
    }
    if rule.expr.is_empty() {
        faults.push((vec![at(&rule.expr)], RuleFault::NoExpr));
    } else if let Err(errors) = parse(&rule.expr, &options.parser) {
        faults.push((vec![at(&rule.expr)], RuleFault::Expr(errors)));
    }
    if !rule.record.is_empty() {
        let recording = check_recording(rule, options.names);
        faults.extend(recording.into_iter().map(|fault| (vec![at(&rule.record)], fault)));
    }
    let labels = rule.labels.keys().filter(|name| !is_rule_label(name, options.names));
    let annotations = rule.annotations.keys().filter(|name| !options.names.is_label_name(name));
    let unplaced = (labels.cloned().map(RuleFault::LabelName))
        .chain(annotations.cloned().map(RuleFault::AnnotationName))
        .chain(check_templates(rule, options));
    faults.extend(unplaced.map(|fault| (Vec::new(), fault)));
    faults
}

fn check_recording(rule: &Rule, names: NameScheme) -> Vec<RuleFault> {
    let of_alerts = [
        (!rule.annotations.is_empty(), "annotations"),
        (!rule.hold.is_zero(), "for"),
        (!rule.keep_firing_for.is_zero(), "keep_firing_for"),
    ];
    let given = of_alerts.into_iter().filter(|(given, _)| *given);
    let mut faults: Vec<RuleFault> = given.map(|(_, field)| RuleFault::FieldOfAlerts(field)).collect();
    if !names.is_metric_name(&rule.record) {
        faults.push(RuleFault::RecordName(rule.record.to_string()));
    }
    if rule.record.contains(['{', '}']) {
        faults.push(RuleFault::BracesInName(rule.record.to_string()));
    }
    faults
}

fn check_templates(rule: &Rule, options: &RuleFileOptions<'_>) -> Vec<RuleFault> {
    if !rule.is_alert() {
        return Vec::new();
    }
    let name = format!("__alert_{}", rule.alert);
    let labels = rule.labels.iter().map(|entry| ("label", entry));
    let annotations = rule.annotations.iter().map(|entry| ("annotation", entry));
    labels
        .chain(annotations)
        .filter_map(|(field, (key, text))| {
            let error = (options.check_template)(&name, text).err()?;
            Some(RuleFault::Template { field, key: key.clone(), error })
        })
        .collect()
}
