//! Webhooks, Jira and SNS.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::alerting::SigV4Config;
use crate::alertmanager::global::{GlobalConfig, not_both};
use crate::alertmanager::inherit::{Inherit, inherit_http, inherit_url};
use crate::alertmanager::values::{AnyValue, GoDuration, HttpConfig, HttpUrl, SecretTemplateUrl};
use crate::error::Problem;
use crate::section::{Section, section};
use crate::yaml::decode::{Decoder, Value};
use crate::yaml::emit::PrintedValue;
use crate::yaml::tree::{NodeId, NodeKind};

section! {
    /// `webhook_configs`
    pub struct WebhookConfig as "webhook.WebhookConfig" read as "webhook.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit url: SecretTemplateUrl;
        keep url_file: String;
        /// Alerts of one message; 0 for no limit.
        keep max_alerts: u64;
        /// Of one attempt; 0 for no limit but the flush's.
        keep timeout: GoDuration;
        /// A body in place of the usual one; its texts are templates.
        omit payload: AnyValue;
    }
}

section! {
    /// `jira_configs`
    pub struct JiraConfig as "jira.JiraConfig" read as "jira.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit api_url: Option<HttpUrl>;
        omit api_type: String = "auto".into();
        omit project: String;
        omit summary: JiraField = JiraField::of("{{ template \"jira.default.summary\" . }}");
        omit description: JiraField = JiraField::of("{{ template \"jira.default.description\" . }}");
        omit labels: Vec<String>;
        omit priority: String = "{{ template \"jira.default.priority\" . }}".into();
        omit issue_type: String;
        omit reopen_transition: String;
        omit resolve_transition: String;
        omit wont_fix_resolution: String;
        omit reopen_duration: Duration;
        omit fields: BTreeMap<String, AnyValue>;
    }
}

section! {
    /// The long form of a field: whether an issue that exists gets it again.
    struct WrittenJiraField as "jira.JiraFieldConfig" read as "jira.plain" {
        omit template: String;
        omit enable_update: Option<bool>;
    }
}

/// A templated field of an issue; in the file a text, or a mapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JiraField {
    pub template: String,
    /// Whether updates of an issue change the field too. They do by default.
    pub enable_update: Option<bool>,
}

impl JiraField {
    fn of(template: &str) -> Self {
        JiraField { template: template.to_owned(), enable_update: None }
    }
}

impl Value for JiraField {
    fn zero() -> Self {
        JiraField::default()
    }

    fn decode(&mut self, id: NodeId, d: &mut Decoder<'_>) -> Result<(), Problem> {
        if let NodeKind::Scalar(_) = d.node(id).kind {
            return self.template.decode(id, d);
        }
        let mut written =
            WrittenJiraField { template: self.template.clone(), enable_update: self.enable_update };
        let before = d.errors();
        // Omitted keys keep the field's default.
        d.fields(id, WrittenJiraField::GO_READ_TYPE, &mut |key, value, d| written.set(key, value, d))?;
        if d.errors() == before {
            *self = JiraField { template: written.template, enable_update: written.enable_update };
        }
        Ok(())
    }

    fn go_type() -> String {
        WrittenJiraField::go_type()
    }

    fn is_zero(&self) -> bool {
        self.template.is_empty() && self.enable_update.is_none()
    }

    fn print(&self) -> PrintedValue {
        WrittenJiraField { template: self.template.clone(), enable_update: self.enable_update }.print()
    }
}

section! {
    /// `sns_configs`
    pub struct SnsConfig as "config.SNSConfig" read as "config.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit api_url: String;
        keep sigv4: SigV4Config;
        omit topic_arn: String;
        omit phone_number: String;
        omit target_arn: String;
        omit subject: String = "{{ template \"sns.default.subject\" . }}".into();
        omit message: String = "{{ template \"sns.default.message\" . }}".into();
        omit attributes: BTreeMap<String, String>;
        /// Of `http_config`, only TLS and proxy count: the rest belongs to the library that signs.
        omit use_aws_http_client: bool;
    }
}

impl WebhookConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.url.is_empty() && self.url_file.is_empty() {
            return Err("one of url or url_file must be configured".into());
        }
        not_both("url", !self.url.is_empty(), !self.url_file.is_empty())
    }
}

impl JiraConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.project.is_empty() {
            return Err("missing project in jira_config".into());
        }
        if self.issue_type.is_empty() {
            return Err("missing issue_type in jira_config".into());
        }
        if !matches!(self.api_type.as_str(), "auto" | "cloud" | "datacenter") {
            let text = "unknown api_type on jira_config, must be auto, cloud or datacenter";
            return Err(Problem::new(text).at("api_type"));
        }
        Ok(())
    }
}

impl SnsConfig {
    fn check(&mut self) -> Result<(), Problem> {
        // An odd number of them: one, or all three, as Alertmanager has it.
        let missing = [&self.target_arn, &self.topic_arn, &self.phone_number];
        if missing.iter().filter(|text| text.is_empty()).count() % 2 == 1 {
            return Err("must provide either a Target ARN, Topic ARN, or Phone Number for SNS config".into());
        }
        Ok(())
    }
}

impl Inherit for WebhookConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        Ok(())
    }
}

impl Inherit for JiraConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        inherit_url(&mut self.api_url, &global.jira_api_url, "no global Jira Cloud URL set")
    }
}

impl Inherit for SnsConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        Ok(())
    }
}
