//! The texts of an integration's configuration, by the path of their keys. They may be templates.

use super::receiver::Receiver;
use super::receiver::chat::{
    DiscordConfig, MsTeamsConfig, MsTeamsV2Config, TelegramConfig, WebexConfig, WechatConfig,
};
use super::receiver::mail::EmailConfig;
use super::receiver::mattermost::MattermostConfig;
use super::receiver::on_call::{OpsgenieConfig, PagerdutyConfig, PushoverConfig, VictoropsConfig};
use super::receiver::other::{JiraConfig, SnsConfig, WebhookConfig};
use super::receiver::rocketchat::RocketchatConfig;
use super::receiver::slack::SlackConfig;
use crate::yaml::decode::Value;
use crate::yaml::emit::PrintedValue;

/// The texts of one integration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntegrationTexts {
    /// `slack`
    pub service: &'static str,
    /// Position among the receiver's integrations of that service.
    pub index: usize,
    pub texts: Vec<ConfiguredText>,
}

/// A configured or default text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredText {
    /// `title`, `fields[0].value`
    pub path: String,
    /// Secrets are masked.
    pub text: String,
    /// The key's default.
    pub default: Option<String>,
}

impl Receiver {
    /// The texts of every integration, those of one service in the order of the list.
    pub fn texts(&self) -> Vec<IntegrationTexts> {
        let mut all = Vec::new();
        add::<WebhookConfig>(&mut all, "webhook", &self.webhook_configs);
        add::<EmailConfig>(&mut all, "email", &self.email_configs);
        add::<PagerdutyConfig>(&mut all, "pagerduty", &self.pagerduty_configs);
        add::<OpsgenieConfig>(&mut all, "opsgenie", &self.opsgenie_configs);
        add::<WechatConfig>(&mut all, "wechat", &self.wechat_configs);
        add::<SlackConfig>(&mut all, "slack", &self.slack_configs);
        add::<VictoropsConfig>(&mut all, "victorops", &self.victorops_configs);
        add::<PushoverConfig>(&mut all, "pushover", &self.pushover_configs);
        add::<SnsConfig>(&mut all, "sns", &self.sns_configs);
        add::<TelegramConfig>(&mut all, "telegram", &self.telegram_configs);
        add::<DiscordConfig>(&mut all, "discord", &self.discord_configs);
        add::<WebexConfig>(&mut all, "webex", &self.webex_configs);
        add::<MsTeamsConfig>(&mut all, "msteams", &self.msteams_configs);
        add::<MsTeamsV2Config>(&mut all, "msteamsv2", &self.msteamsv2_configs);
        add::<JiraConfig>(&mut all, "jira", &self.jira_configs);
        add::<RocketchatConfig>(&mut all, "rocketchat", &self.rocketchat_configs);
        add::<MattermostConfig>(&mut all, "mattermost", &self.mattermost_configs);
        all
    }
}

fn add<T: Value + Default>(all: &mut Vec<IntegrationTexts>, service: &'static str, configs: &[Option<T>]) {
    let mut defaults = Vec::new();
    collect(&T::default().print(), String::new(), &mut defaults);
    for (index, config) in configs.iter().enumerate() {
        let Some(config) = config else { continue };
        let mut found = Vec::new();
        collect(&config.print(), String::new(), &mut found);
        let default_of = |path: &str| {
            let known = defaults.iter().find(|(known, _)| known == path);
            known.map(|(_, text): &(String, String)| text.clone())
        };
        let texts = found
            .into_iter()
            .map(|(path, text)| ConfiguredText { default: default_of(&path), path, text })
            .collect();
        all.push(IntegrationTexts { service, index, texts });
    }
}

fn collect(value: &PrintedValue, path: String, found: &mut Vec<(String, String)>) {
    match value {
        PrintedValue::Text(text) => found.push((path, text.clone())),
        PrintedValue::List { items, .. } => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{path}[{index}]"), found);
            }
        }
        PrintedValue::Map(entries) => {
            // Its content is not for people.
            for (key, item) in entries.iter().filter(|(key, _)| key != "http_config" && key != "tls_config") {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(item, path, found);
            }
        }
        PrintedValue::Null | PrintedValue::Plain(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::alertmanager::{AlertmanagerConfig, MatcherSyntax};

    #[test]
    fn texts_have_their_paths_and_defaults() {
        let yaml = "
route: {receiver: a}
receivers:
- name: a
  slack_configs: [{api_url: 'http://x/', title: t, fields: [{title: f, value: v}]}]
  webhook_configs: [{url: 'http://x/', payload: {a: {b: '{{ .X }}'}}}]
";
        let config = AlertmanagerConfig::parse(yaml, MatcherSyntax::Fallback).expect("good");
        let all = config.receivers[0].texts();
        let text = |service: &str, path: &str| {
            let integration = all.iter().find(|one| one.service == service).expect("there");
            let text = integration.texts.iter().find(|text| text.path == path).expect(path);
            (text.text.clone(), text.default.clone())
        };
        let default = "{{ template \"slack.default.title\" . }}".to_owned();
        assert_eq!(text("slack", "title"), ("t".into(), Some(default)));
        assert_eq!(text("slack", "fields[0].value"), ("v".into(), None));
        assert_eq!(text("slack", "api_url"), ("<secret>".into(), None));
        assert_eq!(text("webhook", "payload.a.b"), ("{{ .X }}".into(), None));
    }
}
