//! Jira: searches for the group's issue, creates or updates it, and performs transitions.

use std::collections::BTreeMap;

use ferula_config::alertmanager::receiver::other::JiraConfig;
use ferula_go::quote::go_quote;
use ferula_http_client::Method;
use ferula_http_client::header::{ACCEPT_LANGUAGE, CONTENT_TYPE};

use super::address::join_path;
use super::exchange::{Call, Service};
use super::fields::Fields;
use super::group_key::hashed;
use super::json::{Object, any, array, quoted};
use super::truncate::to_runes;
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const SUMMARY_RUNES_MAX: usize = 255;
const DESCRIPTION_RUNES_MAX: usize = 32_767;

pub(super) struct Jira {
    pub config: JiraConfig,
    pub service: Service,
}

/// The fields of an existing issue that are read.
#[derive(serde::Deserialize)]
struct Issue {
    #[serde(default)]
    key: String,
    fields: Option<IssueFields>,
}

#[derive(serde::Deserialize)]
struct IssueFields {
    status: Option<Status>,
}

#[derive(serde::Deserialize)]
struct Status {
    #[serde(rename = "statusCategory", default)]
    category: Category,
}

#[derive(Default, serde::Deserialize)]
struct Category {
    #[serde(default)]
    key: String,
}

impl Jira {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let templates = &self.service.templates;
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let label = format!("ALERT{{{}}}", hashed(notification.group_key));
        let found = self.search(notification, &label, data.is_firing(), &mut fields).await;
        let found = found.map_err(|error| error.prefixed("failed to look up existing issues: "))?;
        let (method, path) = match &found {
            // Resolved alerts do not create an issue.
            None if !data.is_firing() => return Ok(Sent::default()),
            None => (Method::POST, "issue".to_owned()),
            Some(issue) => (Method::PUT, format!("issue/{}", issue.key)),
        };
        let body = self.issue(&label, found.is_some(), &mut fields)?;
        let sent = self.request(notification, method.clone(), &self.url(&path), body).await;
        sent.map_err(|error| {
            error.prefixed(&format!("failed to {method} request to {}: ", go_quote(&path)))
        })?;
        if let Some(issue) = found {
            self.transition(notification, &issue, data.is_firing()).await?;
        }
        Ok(Sent::default())
    }

    fn base(&self) -> &str {
        self.config.api_url.as_ref().map_or("", |url| url.as_str())
    }

    fn url(&self, path: &str) -> String {
        join_path(self.base(), path)
    }

    async fn search(
        &self,
        notification: &Notification<'_>,
        label: &str,
        is_firing: bool,
        fields: &mut Fields<'_>,
    ) -> Result<Option<Issue>, NotifyError> {
        let config = &self.config;
        let mut query = String::new();
        if !config.wont_fix_resolution.is_empty() {
            let resolution = go_quote(&config.wont_fix_resolution);
            query.push_str(&format!("(resolution is EMPTY or resolution != {resolution}) and "));
        }
        let minutes = config.reopen_duration.as_secs() / 60;
        if is_firing && !config.reopen_transition.is_empty() && minutes > 0 {
            query.push_str(&format!("(resolutiondate is EMPTY OR resolutiondate >= -{minutes}m) and "));
        } else {
            query.push_str("statusCategory != Done and ");
        }
        let project = fields.checked(&config.project, "invalid project template or value: ")?;
        query.push_str(&format!(
            "project={} and labels={} order by status ASC,resolutiondate DESC",
            go_quote(&project),
            go_quote(label)
        ));
        let body = Object::new()
            .raw("fields", array(&[quoted("status")]))
            .text("jql", &query)
            .raw("maxResults", 2)
            .message();
        let answer = self.request(notification, Method::POST, &self.search_url(), body).await;
        let answer = answer.map_err(|error| error.prefixed("HTTP request to JIRA API: "))?;
        #[derive(serde::Deserialize)]
        struct ResponseBody {
            #[serde(default)]
            issues: Option<Vec<Issue>>,
        }
        let written: ResponseBody =
            serde_json::from_str(&answer).map_err(|error| NotifyError::fatal(error.to_string()))?;
        Ok(written.issues.unwrap_or_default().into_iter().next())
    }

    /// Jira Cloud has a different search endpoint from Data Center.
    fn search_url(&self) -> String {
        let host = ferula_go::url::Url::parse(self.base()).map(|url| url.host()).unwrap_or_default();
        let is_cloud = match self.config.api_type.as_str() {
            "cloud" => true,
            "auto" => host.ends_with("atlassian.net"),
            _ => false,
        };
        match is_cloud {
            true => self.url("/search/jql").replacen("/rest/api/2/", "/rest/api/3/", 1),
            false => self.url("/search"),
        }
    }

    fn issue(&self, label: &str, exists: bool, fields: &mut Fields<'_>) -> Result<String, NotifyError> {
        let config = &self.config;
        let summary = fields.checked(&config.summary.template, "summary template: ")?;
        let project = fields.checked(&config.project, "project template: ")?;
        let kind = fields.checked(&config.issue_type, "issue_type template: ")?;
        let mut own = BTreeMap::new();
        for (key, value) in &config.fields {
            own.insert(key.clone(), any(&fields.any(value)));
            fields.check("fields template: ")?;
        }
        let summary = to_runes(summary, SUMMARY_RUNES_MAX);
        let description = fields.checked(&config.description.template, "description template: ")?;
        let description = to_runes(description, DESCRIPTION_RUNES_MAX);
        let description = self.description(description, fields.stands_in())?;
        let mut labels = vec![label.to_owned()];
        for (index, template) in config.labels.iter().enumerate() {
            labels.push(fields.checked(template, &format!("labels[{index}] template: "))?);
        }
        labels.sort_unstable();
        let priority = fields.checked(&config.priority, "priority template: ")?;
        fields.check("")?;
        let updates = |may: Option<bool>| !exists || may.unwrap_or(true);
        let mut all = BTreeMap::from([
            ("issuetype".to_owned(), Object::new().filled("name", &kind).finish()),
            ("labels".to_owned(), array(&labels.iter().map(|label| quoted(label)).collect::<Vec<_>>())),
            ("project".to_owned(), Object::new().text("key", &project).finish()),
        ]);
        if updates(config.summary.enable_update) {
            all.insert("summary".to_owned(), quoted(&summary));
        }
        if let Some(description) = description.filter(|_| updates(config.description.enable_update)) {
            all.insert("description".to_owned(), description);
        }
        if !priority.is_empty() {
            all.insert("priority".to_owned(), Object::new().filled("name", &priority).finish());
        }
        all.extend(own);
        let all = all.iter().fold(Object::new(), |object, (key, json)| object.raw(key, json));
        Ok(Object::new().raw("fields", all.finish()).message())
    }

    /// Plain text for version 2 of the API, a JSON document for version 3.
    fn description(&self, text: String, wraps_text: bool) -> Result<Option<String>, NotifyError> {
        let path = ferula_go::url::Url::parse(self.base()).map(|url| url.path()).unwrap_or_default();
        if !path.trim_end_matches('/').ends_with("/3") {
            return Ok((!text.is_empty()).then(|| quoted(&text)));
        }
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Ok(Some(compact(text))),
            // The replacement of a failed template is plain text.
            Err(_) if wraps_text => Ok(Some(document_of(text))),
            Err(_) => Err(NotifyError::fatal("description template: invalid JSON for API v3")),
        }
    }

    async fn transition(
        &self,
        notification: &Notification<'_>,
        issue: &Issue,
        is_firing: bool,
    ) -> Result<(), NotifyError> {
        let status = issue.fields.as_ref().and_then(|fields| fields.status.as_ref());
        let Some(status) = status.filter(|_| !issue.key.is_empty()) else { return Ok(()) };
        let is_done = status.category.key == "done";
        let wanted = if is_firing { &self.config.reopen_transition } else { &self.config.resolve_transition };
        if is_done != is_firing || wanted.is_empty() {
            return Ok(());
        }
        let url = self.url(&format!("issue/{}/transitions", issue.key));
        let answer = self.request(notification, Method::GET, &url, String::new()).await?;
        #[derive(serde::Deserialize)]
        struct ResponseBody {
            #[serde(default)]
            transitions: Vec<Transition>,
        }
        #[derive(serde::Deserialize)]
        struct Transition {
            #[serde(default)]
            id: String,
            #[serde(default)]
            name: String,
        }
        let written: ResponseBody =
            serde_json::from_str(&answer).map_err(|error| NotifyError::fatal(error.to_string()))?;
        let known = written.transitions.into_iter().find(|transition| transition.name == *wanted);
        let Some(known) = known else {
            return Err(NotifyError::fatal(format!(
                "can't find transition {wanted} for issue {}",
                issue.key
            )));
        };
        let body = Object::new().raw("transition", Object::new().filled("id", &known.id).finish()).message();
        self.request(notification, Method::POST, &url, body).await.map(drop)
    }

    async fn request(
        &self,
        notification: &Notification<'_>,
        method: Method,
        url: &str,
        body: String,
    ) -> Result<String, NotifyError> {
        let call = Call::new(method, url)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT_LANGUAGE, "en")
            .body(body)
            .dry_answer("{}");
        // As in Alertmanager, a failed connection is not retried.
        let answer = self.service.send(notification.record, call).await;
        let answer = answer.map_err(|error| NotifyError { retry: false, ..error })?;
        answer.check(&[429])?;
        Ok(answer.body)
    }
}

/// Plain text as a document of version 3: a paragraph for each line.
fn document_of(text: &str) -> String {
    let paragraphs: Vec<String> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let content = Object::new().text("type", "text").text("text", line).finish();
            Object::new().text("type", "paragraph").raw("content", array(&[content])).finish()
        })
        .collect();
    Object::new().text("type", "doc").raw("version", 1).raw("content", array(&paragraphs)).finish()
}

/// JSON as Go embeds a raw value: without spaces, and with HTML escaped.
fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_text, mut is_escaped) = (false, false);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            ' ' | '\n' | '\r' | '\t' if !in_text => {}
            c => out.push(c),
        }
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = in_text,
            '"' => in_text = !in_text,
            _ => {}
        }
    }
    out
}

impl Notifier for Jira {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
