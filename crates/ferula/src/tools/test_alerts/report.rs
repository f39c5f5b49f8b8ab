//! The output of `ferula test alerts`: a timeline of every rule, or JSON.

use std::io::{self, Write};
use std::time::Duration;

use ferula_go::float::format_g;
use ferula_go::quote::go_quote;
use ferula_model::UnixNanos;
use ferula_model::duration::format_millis;
use ferula_rules::backtest::{Change, Episode, Event, GroupReport, Reading, RuleReport};
use serde_json::{Map, Value, json};

/// What applies to the whole report.
pub struct About<'a> {
    /// The period.
    pub from: UnixNanos,
    /// Its end.
    pub to: UnixNanos,
    /// Recorded series that alerts read from history.
    pub readings: &'a [Reading],
    /// Recorded series that were evaluated first.
    pub evaluated: &'a [String],
}

/// Writes a timeline of every rule.
pub fn text(about: &About<'_>, groups: &[GroupReport], out: &mut dyn Write) -> io::Result<()> {
    let rules = groups.iter().map(|group| group.rules.len()).sum::<usize>();
    let fired = groups.iter().flat_map(|group| &group.rules).filter(|rule| rule.fired_count > 0).count();
    let (from, to) = (about.from.rfc3339_nanos(), about.to.rfc3339_nanos());
    writeln!(out, "{from} to {to}: {fired} of {rules} alerting rules would have fired")?;
    for group in groups {
        let every = millis(group.interval);
        writeln!(out, "\n{}, group {}, every {every}", group.file, go_quote(&group.name))?;
        for rule in &group.rules {
            rule_text(rule, out)?;
        }
    }
    Ok(())
}

fn rule_text(rule: &RuleReport, out: &mut dyn Write) -> io::Result<()> {
    match (rule.episodes_count, rule.fired_count) {
        (0, _) => writeln!(out, "  {}: never", rule.name)?,
        (began, 0) => writeln!(out, "  {}: never fired; pending {}", rule.name, times(began))?,
        (began, fired) => {
            let (fired, firing) = (times(fired), millis(rule.firing));
            writeln!(out, "  {}: fired {fired}, for {firing} in all; began {}", rule.name, times(began))?;
        }
    }
    if let Some(failures) = &rule.failures {
        let (count, all) = (failures.count, rule.evaluations);
        let (at, error) = (failures.first_at.rfc3339_millis(), &failures.first_error);
        writeln!(out, "    FAILED: {count} of {all} evaluations, the first at {at}: {error}")?;
    }
    let mut lines: Vec<(&Episode, &Event)> = rule
        .episodes
        .iter()
        .flat_map(|episode| episode.events.iter().map(move |event| (episode, event)))
        .collect();
    lines.sort_by_key(|(_, event)| event.at);
    for (episode, event) in lines {
        event_text(episode, event, out)?;
    }
    let hidden = rule.episodes_count.saturating_sub(rule.episodes.len() as u64);
    if hidden > 0 {
        writeln!(out, "    … and {hidden} more, not shown")?;
    }
    Ok(())
}

fn event_text(episode: &Episode, event: &Event, out: &mut dyn Write) -> io::Result<()> {
    let (at, change, value) = (event.at.rfc3339_millis(), event.change.as_str(), format_g(event.value));
    write!(out, "    {at}  {change:<8}  {}  value {value}", episode.labels)?;
    let since = |change| episode.moment_of(change).map(|moment| event.at.since(moment));
    if event.change.is_end() {
        let (word, since) = match since(Change::Firing) {
            Some(firing) => ("fired", Some(firing)),
            None => ("pending", since(Change::Pending)),
        };
        if let Some(nanos) = since {
            write!(out, "  {word} for {}", format_millis(nanos / 1_000_000))?;
        }
    } else {
        for (name, text) in event.annotations.iter() {
            write!(out, "  {name}={}", go_quote(text))?;
        }
    }
    writeln!(out)
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn millis(duration: Duration) -> String {
    format_millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// Writes everything as one JSON object.
pub fn json(about: &About<'_>, groups: &[GroupReport], out: &mut dyn Write) -> io::Result<()> {
    let recorded = about.readings.iter().map(|reading| {
        let source = if reading.stored { "history" } else { "missing" };
        json!({"name": reading.name, "source": source, "alerts": reading.alerts})
    });
    let evaluated = about.evaluated.iter().map(|name| json!({"name": name, "source": "evaluated"}));
    let groups: Vec<Value> = groups
        .iter()
        .map(|group| {
            json!({
                "file": group.file,
                "name": group.name,
                "interval": group.interval.as_secs_f64(),
                "rules": group.rules.iter().map(rule_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    let report = json!({
        "from": about.from.rfc3339_nanos(),
        "to": about.to.rfc3339_nanos(),
        "recorded": recorded.chain(evaluated).collect::<Vec<_>>(),
        "groups": groups,
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn rule_json(rule: &RuleReport) -> Value {
    let failures = rule.failures.as_ref().map(|failures| {
        json!({
            "count": failures.count,
            "firstAt": failures.first_at.rfc3339_nanos(),
            "firstError": failures.first_error,
        })
    });
    json!({
        "name": rule.name,
        "query": rule.query,
        "for": rule.hold.as_secs_f64(),
        "keepFiringFor": rule.keep_firing_for.as_secs_f64(),
        "evaluations": rule.evaluations,
        "failures": failures,
        "evaluatedByInstants": rule.by_instants,
        "episodeCount": rule.episodes_count,
        "firedCount": rule.fired_count,
        "firingSeconds": rule.firing.as_secs_f64(),
        "episodes": rule.episodes.iter().map(episode_json).collect::<Vec<_>>(),
    })
}

fn episode_json(episode: &Episode) -> Value {
    let events: Vec<Value> = episode.events.iter().map(event_json).collect();
    let labels: Map<String, Value> =
        episode.labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({"labels": labels, "events": events})
}

fn event_json(event: &Event) -> Value {
    let annotations: Map<String, Value> =
        event.annotations.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
    json!({
        "at": event.at.rfc3339_nanos(),
        "state": event.change.as_str(),
        // As text, because JSON has no infinities.
        "value": format_g(event.value),
        "annotations": annotations,
    })
}
