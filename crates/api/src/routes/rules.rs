//! `rules`, `alerts` and `alertmanagers`.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use ferula_go::float::format_e;
use ferula_go::number::{parse_bool, parse_int32};
use ferula_go::quote::go_quote;
use ferula_go::unicode;
use ferula_model::alert::ZERO_TIME;
use ferula_model::{Matcher, UnixNanos};
use ferula_rules::{AlertSnapshot, AlertingSnapshot, GroupSnapshot, Health, RecordingSnapshot, RuleSnapshot};

use super::matcher_sets;
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::json::JsonWriter;
use crate::params::Params;
use crate::request::Request;

/// `/api/v1/rules`
pub fn rules(api: &Api, request: &Request) -> Handled {
    request.check_form()?;
    let filter = Filter::of(&request.params)?;
    let (groups, next) = filter.page(api.alerting.groups())?;
    let with_alerts = !filter.exclude_alerts;
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("groups");
        json.begin_array();
        for group in &groups {
            write_group(json, group, with_alerts);
        }
        json.end_array();
        if let Some(next) = next {
            json.field("groupNextToken", &next);
        }
        json.end_object();
    }))
}

/// Which groups and rules were requested.
struct Filter {
    rule_names: BTreeSet<String>,
    group_names: BTreeSet<String>,
    files: BTreeSet<String>,
    matcher_sets: Vec<Vec<Matcher>>,
    alerting: bool,
    recording: bool,
    exclude_alerts: bool,
    /// The maximum number of groups, and the token of the first one.
    page: Option<(usize, String)>,
}

impl Filter {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let set = |name: &str| params.all(name).map(str::to_owned).collect();
        let matcher_sets = matcher_sets(params).map_err(|error| ApiError::bad_data(error.to_string()))?;
        let kind = unicode::lower(params.first_in_url("type"));
        if !matches!(kind.as_str(), "" | "alert" | "record") {
            return Err(ApiError::parameter("type", format!("not supported value {}", go_quote(&kind))));
        }
        let exclude = unicode::lower(params.first_in_url("exclude_alerts"));
        let exclude_alerts = !exclude.is_empty()
            && parse_bool(&exclude).map_err(|why| {
                ApiError::parameter("exclude_alerts", format!("error converting exclude_alerts: {why}"))
            })?;
        Ok(Filter {
            rule_names: set("rule_name[]"),
            group_names: set("rule_group[]"),
            files: set("file[]"),
            matcher_sets,
            alerting: kind != "record",
            recording: kind != "alert",
            exclude_alerts,
            page: page_params(params)?,
        })
    }

    /// The groups and rules that pass the filter, and the token of the next page, if any.
    fn page(&self, groups: Vec<GroupSnapshot>) -> Result<(Vec<GroupSnapshot>, Option<String>), ApiError> {
        let (limit, first) = self.page.clone().unwrap_or((usize::MAX, String::new()));
        let mut page = Vec::new();
        let mut found = first.is_empty();
        for mut group in groups {
            let token = token(&group);
            found = found || token == first;
            let named = self.group_names.is_empty() || self.group_names.contains(&group.name);
            if !found || !named || !(self.files.is_empty() || self.files.contains(&group.file)) {
                continue;
            }
            group.rules.retain(|rule| self.passes(rule));
            if group.rules.is_empty() {
                continue;
            }
            if page.len() == limit {
                return Ok((page, Some(token)));
            }
            page.push(group);
        }
        if !found {
            let why = format!("invalid group_next_token '{first}'. were rule groups changed?");
            return Err(ApiError::parameter("group_next_token", why));
        }
        Ok((page, None))
    }

    fn passes(&self, rule: &RuleSnapshot) -> bool {
        let (name, labels, wanted) = match rule {
            RuleSnapshot::Alerting(rule) => (&rule.name, &rule.labels, self.alerting),
            RuleSnapshot::Recording(rule) => (&rule.name, &rule.labels, self.recording),
        };
        let value = |matcher: &Matcher| labels.get(&*matcher.name).map_or("", String::as_str);
        let fits = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches(value(matcher)));
        wanted
            && (self.rule_names.is_empty() || self.rule_names.contains(name))
            && (self.matcher_sets.is_empty() || self.matcher_sets.iter().any(fits))
    }
}

fn page_params(params: &Params) -> Result<Option<(usize, String)>, ApiError> {
    let (limit, token) = (params.first_in_url("group_limit"), params.first_in_url("group_next_token"));
    if limit.is_empty() {
        if token.is_empty() {
            return Ok(None);
        }
        let why = "group_limit needs to be present in order to paginate over the groups";
        return Err(ApiError::parameter("group_next_token", why));
    }
    let number = parse_int32(limit).map_err(|why| {
        ApiError::parameter("group_limit", format!("group_limit needs to be a valid number: {why}"))
    })?;
    match usize::try_from(number) {
        Ok(number) if number > 0 => Ok(Some((number, token.to_owned()))),
        _ => Err(ApiError::parameter("group_limit", "group_limit needs to be greater than 0")),
    }
}

/// A URL-safe name for a group. Clients must treat it as opaque.
fn token(group: &GroupSnapshot) -> String {
    let mut hasher = DefaultHasher::new();
    (&group.file, &group.name).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn write_group(json: &mut JsonWriter<'_>, group: &GroupSnapshot, with_alerts: bool) {
    json.begin_object();
    json.field("name", &group.name);
    json.field("file", &group.file);
    json.key("rules");
    json.begin_array();
    for rule in &group.rules {
        match rule {
            RuleSnapshot::Alerting(rule) => write_alerting(json, rule, with_alerts),
            RuleSnapshot::Recording(rule) => write_recording(json, rule),
        }
    }
    json.end_array();
    json.key("interval");
    json.number(group.interval.as_secs_f64());
    json.key("limit");
    json.uint(group.limit as u64);
    json.key("evaluationTime");
    json.number(group.evaluation_time.as_secs_f64());
    json.field("lastEvaluation", &time(group.last_evaluation));
    json.end_object();
}

fn write_alerting(json: &mut JsonWriter<'_>, rule: &AlertingSnapshot, with_alerts: bool) {
    json.begin_object();
    json.field("state", rule.state.as_str());
    json.field("name", &rule.name);
    json.field("query", &rule.query);
    json.key("duration");
    json.number(rule.hold.as_secs_f64());
    json.key("keepFiringFor");
    json.number(rule.keep_firing_for.as_secs_f64());
    json.key("labels");
    json.label_pairs(rule.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    json.key("annotations");
    json.label_pairs(rule.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    json.key("alerts");
    if with_alerts {
        write_alerts(json, &rule.alerts);
    } else {
        json.null();
    }
    write_health(json, rule.health, &rule.last_error, rule.evaluation_time, rule.last_evaluation);
    json.field("type", "alerting");
    json.end_object();
}

fn write_recording(json: &mut JsonWriter<'_>, rule: &RecordingSnapshot) {
    json.begin_object();
    json.field("name", &rule.name);
    json.field("query", &rule.query);
    json.key("labels");
    json.label_pairs(rule.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    write_health(json, rule.health, &rule.last_error, rule.evaluation_time, rule.last_evaluation);
    json.field("type", "recording");
    json.end_object();
}

fn write_health(
    json: &mut JsonWriter<'_>,
    health: Health,
    last_error: &str,
    took: std::time::Duration,
    last: Option<UnixNanos>,
) {
    json.field("health", health.as_str());
    if !last_error.is_empty() {
        json.field("lastError", last_error);
    }
    json.key("evaluationTime");
    json.number(took.as_secs_f64());
    json.field("lastEvaluation", &time(last));
}

fn write_alerts(json: &mut JsonWriter<'_>, alerts: &[AlertSnapshot]) {
    json.begin_array();
    for alert in alerts {
        write_alert(json, alert);
    }
    json.end_array();
}

fn write_alert(json: &mut JsonWriter<'_>, alert: &AlertSnapshot) {
    json.begin_object();
    json.key("labels");
    json.labels(&alert.labels);
    json.key("annotations");
    json.label_pairs(alert.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    json.field("state", alert.state.as_str());
    json.field("activeAt", &alert.active_at.rfc3339_nanos());
    if let Some(since) = alert.keep_firing_since {
        json.field("keepFiringSince", &since.rfc3339_nanos());
    }
    json.field("value", &format_e(alert.value));
    json.end_object();
}

fn time(moment: Option<UnixNanos>) -> String {
    moment.map_or_else(|| ZERO_TIME.to_owned(), UnixNanos::rfc3339_nanos)
}

/// `/api/v1/alerts`
pub fn alerts(api: &Api, _: &Request) -> Handled {
    let of_rule = |rule: RuleSnapshot| match rule {
        RuleSnapshot::Alerting(rule) => rule.alerts,
        RuleSnapshot::Recording(_) => Vec::new(),
    };
    let groups = api.alerting.groups();
    let alerts: Vec<AlertSnapshot> =
        groups.into_iter().flat_map(|group| group.rules).flat_map(of_rule).collect();
    Ok(Answer::json(move |json| {
        json.begin_object();
        json.key("alerts");
        write_alerts(json, &alerts);
        json.end_object();
    }))
}

/// `/api/v1/alertmanagers`
pub fn alertmanagers(api: &Api, _: &Request) -> Handled {
    let found = api.alerting.alertmanagers();
    Ok(Answer::json(move |json| {
        json.begin_object();
        for (key, urls) in [("activeAlertmanagers", found.active), ("droppedAlertmanagers", found.dropped)] {
            json.key(key);
            json.begin_array();
            for url in urls {
                json.begin_object();
                json.field("url", &url);
                json.end_object();
            }
            json.end_array();
        }
        json.end_object();
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ferula_model::LabelSet;

    use super::*;

    fn group(name: &str, rules: &[(&str, &[(&str, &str)])]) -> GroupSnapshot {
        let rule = |(name, labels): &(&str, &[(&str, &str)])| {
            RuleSnapshot::Recording(RecordingSnapshot {
                name: (*name).to_owned(),
                query: "up".to_owned(),
                labels: LabelSet::from_pairs(labels.iter().copied())
                    .iter()
                    .map(|(n, v)| (n.to_owned(), v.to_owned()))
                    .collect(),
                health: Health::Good,
                last_error: String::new(),
                evaluation_time: Duration::ZERO,
                last_evaluation: None,
            })
        };
        GroupSnapshot {
            name: name.to_owned(),
            file: "f".to_owned(),
            interval: Duration::from_secs(60),
            limit: 0,
            evaluation_time: Duration::ZERO,
            last_evaluation: None,
            rules: rules.iter().map(rule).collect(),
        }
    }

    fn page(url: &str) -> (Vec<String>, Option<String>) {
        let groups = vec![
            group("a", &[("r1", &[("team", "x")]), ("r2", &[])]),
            group("b", &[("r1", &[])]),
            group("c", &[("r3", &[("team", "y")])]),
        ];
        let filter = Filter::of(&Params::new(url, b"")).unwrap_or_else(|_| panic!("{url}"));
        let (groups, next) = filter.page(groups).unwrap_or_else(|_| panic!("{url}"));
        let shown = |group: &GroupSnapshot| format!("{}:{}", group.name, group.rules.len());
        (groups.iter().map(shown).collect(), next)
    }

    #[test]
    fn groups_are_filtered_and_paged() {
        assert_eq!(page("").0, ["a:2", "b:1", "c:1"]);
        assert_eq!(page("rule_name[]=r1").0, ["a:1", "b:1"]);
        assert_eq!(page("rule_group[]=b&rule_group[]=c").0, ["b:1", "c:1"]);
        assert_eq!(page("match[]={team=\"x\"}&match[]={team=\"y\"}").0, ["a:1", "c:1"]);
        assert_eq!(page("type=alert").0, Vec::<String>::new());
        let (first, next) = page("group_limit=2");
        assert_eq!(first, ["a:2", "b:1"]);
        let next = next.expect("there is more");
        assert_eq!(page(&format!("group_limit=2&group_next_token={next}")), (vec!["c:1".to_owned()], None));
    }
}
