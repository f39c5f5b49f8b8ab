//! Services that get people out of bed: PagerDuty, Opsgenie, VictorOps, Pushover, incident.io.

use std::collections::BTreeMap;
use std::time::Duration;

use ferula_go::unicode;

use crate::alertmanager::global::{GlobalConfig, not_both};
use crate::alertmanager::inherit::{Inherit, inherit_http, inherit_url};
use crate::alertmanager::values::{AnyValue, GoDuration, HttpConfig, HttpUrl, TextDuration};
use crate::error::Problem;
use crate::scalars::Secret;
use crate::section::section;

section! {
    /// `pagerduty_configs`
    pub struct PagerdutyConfig as "config.PagerdutyConfig" read as "config.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit service_key: Secret;
        omit service_key_file: String;
        omit routing_key: Secret;
        omit routing_key_file: String;
        omit url: Option<HttpUrl>;
        omit client: String = "{{ template \"pagerduty.default.client\" . }}".into();
        omit client_url: String = "{{ template \"pagerduty.default.clientURL\" . }}".into();
        omit description: String = "{{ template \"pagerduty.default.description\" .}}".into();
        omit details: BTreeMap<String, AnyValue>;
        omit images: Vec<PagerdutyImage>;
        omit links: Vec<PagerdutyLink>;
        omit source: String;
        omit severity: String;
        omit class: String;
        omit component: String;
        omit group: String;
        /// Of one attempt; 0 for no limit but the flush's.
        keep timeout: GoDuration;
    }
}

section! {
    /// A link of an incident.
    pub struct PagerdutyLink as "config.PagerdutyLink" {
        omit href: String;
        omit text: String;
    }
}

section! {
    /// A picture of an incident.
    pub struct PagerdutyImage as "config.PagerdutyImage" {
        omit src: String;
        omit alt: String;
        omit href: String;
    }
}

/// Details that every incident has unless the configuration replaces them.
const PAGERDUTY_DETAILS: [(&str, &str); 4] = [
    ("firing", "{{ .Alerts.Firing | toJson }}"),
    ("resolved", "{{ .Alerts.Resolved | toJson }}"),
    ("num_firing", "{{ .Alerts.Firing | len }}"),
    ("num_resolved", "{{ .Alerts.Resolved | len }}"),
];

section! {
    /// `opsgenie_configs`
    pub struct OpsgenieConfig as "config.OpsGenieConfig" read as "config.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit api_key: Secret;
        omit api_key_file: String;
        omit api_url: Option<HttpUrl>;
        omit message: String = "{{ template \"opsgenie.default.message\" . }}".into();
        omit description: String = "{{ template \"opsgenie.default.description\" . }}".into();
        omit source: String = "{{ template \"opsgenie.default.source\" . }}".into();
        omit details: BTreeMap<String, String>;
        omit entity: String;
        omit responders: Vec<OpsgenieResponder>;
        omit actions: String;
        omit tags: String;
        omit note: String;
        omit priority: String;
        omit update_alerts: bool;
    }
}

section! {
    /// Whom Opsgenie notifies: one of `id`, `name` and `username`.
    pub struct OpsgenieResponder as "config.OpsGenieConfigResponder" {
        omit id: String;
        omit name: String;
        omit username: String;
        omit kind as "type": String;
    }
}

section! {
    /// `victorops_configs`
    pub struct VictoropsConfig as "config.VictorOpsConfig" read as "config.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit api_key: Secret;
        omit api_key_file: String;
        keep api_url: Option<HttpUrl>;
        keep routing_key: String;
        keep message_type: String = "CRITICAL".into();
        keep state_message: String = "{{ template \"victorops.default.state_message\" . }}".into();
        keep entity_display_name: String = "{{ template \"victorops.default.entity_display_name\" . }}".into();
        keep monitoring_tool: String = "{{ template \"victorops.default.monitoring_tool\" . }}".into();
        omit custom_fields: BTreeMap<String, String>;
    }
}

/// Fields of VictorOps' that custom ones must not replace.
const VICTOROPS_FIELDS: [&str; 7] = [
    "routing_key",
    "message_type",
    "state_message",
    "entity_display_name",
    "monitoring_tool",
    "entity_id",
    "entity_state",
];

section! {
    /// `pushover_configs`
    pub struct PushoverConfig as "config.PushoverConfig" read as "config.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit user_key: Secret;
        omit user_key_file: String;
        omit token: Secret;
        omit token_file: String;
        omit title: String = "{{ template \"pushover.default.title\" . }}".into();
        omit message: String = "{{ template \"pushover.default.message\" . }}".into();
        omit url: String = "{{ template \"pushover.default.url\" . }}".into();
        omit url_title: String;
        omit device: String;
        omit sound: String;
        omit priority: String = "{{ if eq .Status \"firing\" }}2{{ else }}0{{ end }}".into();
        omit retry: TextDuration = TextDuration(Duration::from_secs(60));
        omit expire: TextDuration = TextDuration(Duration::from_secs(3600));
        omit ttl: TextDuration;
        omit html: bool;
        omit monospace: bool;
    }
}

section! {
    /// `incidentio_configs`
    pub struct IncidentioConfig as "incidentio.IncidentioConfig" read as "incidentio.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        keep url: Option<HttpUrl>;
        keep url_file: String;
        omit alert_source_token: Secret;
        omit alert_source_token_file: String;
        /// Alerts of one message; 0 for no limit.
        keep max_alerts: u64;
        keep timeout: GoDuration;
    }
}

/// Whether a section has an `authorization`.
fn is_authorized(http: &Option<HttpConfig>) -> bool {
    http.as_ref().is_some_and(|http| http.0.authorization.is_some())
}

impl PagerdutyConfig {
    fn check(&mut self) -> Result<(), Problem> {
        let (routing, service) = (!self.routing_key.is_empty(), !self.service_key.is_empty());
        let (routing_file, service_file) =
            (!self.routing_key_file.is_empty(), !self.service_key_file.is_empty());
        if !(routing || service || routing_file || service_file) {
            return Err("missing service or routing key in PagerDuty config".into());
        }
        not_both("routing_key", routing, routing_file)?;
        not_both("service_key", service, service_file)?;
        if self.source.is_empty() {
            self.source.clone_from(&self.client);
        }
        for (key, value) in PAGERDUTY_DETAILS {
            self.details.entry(key.to_owned()).or_insert_with(|| AnyValue::Text(value.to_owned()));
        }
        Ok(())
    }
}

impl OpsgenieConfig {
    fn check(&mut self) -> Result<(), Problem> {
        not_both("api_key", !self.api_key.is_empty(), !self.api_key_file.is_empty())?;
        for (index, responder) in self.responders.iter().enumerate() {
            responder.check().map_err(|text| Problem::new(text).at_item("responders", index))?;
        }
        Ok(())
    }
}

impl OpsgenieResponder {
    fn check(&self) -> Result<(), String> {
        // As Go prints a struct.
        let shown = format!("{{{} {} {} {}}}", self.id, self.name, self.username, self.kind);
        if self.id.is_empty() && self.username.is_empty() && self.name.is_empty() {
            return Err(format!(
                "opsGenieConfig responder {shown} has to have at least one of id, username or name specified"
            ));
        }
        let is_template = self.kind.contains("{{");
        let kind = unicode::lower(&self.kind);
        if !is_template && !matches!(kind.as_str(), "team" | "teams" | "user" | "escalation" | "schedule") {
            let shown = format!("{{{} {} {} {kind}}}", self.id, self.name, self.username);
            return Err(format!(
                "opsGenieConfig responder {shown} type does not match valid options ^(team|teams|user|escalation|schedule)$"
            ));
        }
        Ok(())
    }
}

impl VictoropsConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.routing_key.is_empty() {
            return Err("missing Routing key in VictorOps config".into());
        }
        not_both("api_key", !self.api_key.is_empty(), !self.api_key_file.is_empty())?;
        match VICTOROPS_FIELDS.iter().find(|field| self.custom_fields.contains_key(**field)) {
            Some(field) => Err(Problem::new(format!(
                "victorOps config contains custom field {field} which cannot be used as it conflicts with the fixed/static fields"
            ))
            .at(field)
            .at("custom_fields")),
            None => Ok(()),
        }
    }
}

impl PushoverConfig {
    fn check(&mut self) -> Result<(), Problem> {
        for (key, inline, file) in
            [("user_key", &self.user_key, &self.user_key_file), ("token", &self.token, &self.token_file)]
        {
            if inline.is_empty() && file.is_empty() {
                return Err(format!("one of {key} or {key}_file must be configured").into());
            }
            not_both(key, !inline.is_empty(), !file.is_empty())?;
        }
        if self.html && self.monospace {
            return Err("at most one of monospace & html must be configured".into());
        }
        Ok(())
    }
}

impl IncidentioConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.url.is_none() && self.url_file.is_empty() {
            return Err("one of url or url_file must be configured".into());
        }
        not_both("url", self.url.is_some(), !self.url_file.is_empty())?;
        let (inline, file) = (!self.alert_source_token.is_empty(), !self.alert_source_token_file.is_empty());
        not_both("alert_source_token", inline, file)?;
        if is_authorized(&self.http_config) && (inline || file) {
            return Err("cannot specify alert_source_token or alert_source_token_file when using http_config.authorization".into());
        }
        if self.http_config.is_some() && !is_authorized(&self.http_config) && !inline && !file {
            return Err("at least one of alert_source_token, alert_source_token_file or http_config.authorization must be configured".into());
        }
        Ok(())
    }
}

/// Takes a global secret and its file, unless the integration has its own; refuses an integration with neither.
fn inherit_key(
    own: (&mut Secret, &mut String),
    global: (&Secret, &String),
    missing: &str,
) -> Result<(), Problem> {
    if own.0.is_empty() {
        *own.0 = global.0.clone();
    }
    if own.1.is_empty() {
        own.1.clone_from(global.1);
    }
    if own.0.is_empty() && own.1.is_empty() { Err(missing.into()) } else { Ok(()) }
}

impl Inherit for PagerdutyConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        inherit_url(&mut self.url, &global.pagerduty_url, "no global PagerDuty URL set")
    }
}

impl Inherit for OpsgenieConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        inherit_url(&mut self.api_url, &global.opsgenie_api_url, "no global OpsGenie URL set")?;
        self.api_url.iter_mut().for_each(HttpUrl::end_path_with_slash);
        inherit_key(
            (&mut self.api_key, &mut self.api_key_file),
            (&global.opsgenie_api_key, &global.opsgenie_api_key_file),
            "no global OpsGenie API Key set either inline or in a file",
        )
    }
}

impl Inherit for VictoropsConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        inherit_url(&mut self.api_url, &global.victorops_api_url, "no global VictorOps URL set")?;
        self.api_url.iter_mut().for_each(HttpUrl::end_path_with_slash);
        inherit_key(
            (&mut self.api_key, &mut self.api_key_file),
            (&global.victorops_api_key, &global.victorops_api_key_file),
            "no global VictorOps API Key set",
        )
    }
}

impl Inherit for PushoverConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        Ok(())
    }
}

impl Inherit for IncidentioConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        Ok(())
    }
}
