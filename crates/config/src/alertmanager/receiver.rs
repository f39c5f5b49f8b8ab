//! Receivers: who is notified, and through which services. There is a file for each family of services.

pub mod chat;
pub mod mail;
pub mod mattermost;
pub mod on_call;
pub mod other;
pub mod rocketchat;
pub mod slack;

use std::collections::BTreeMap;

use ferula_go::quote::go_quote;

use self::chat::{DiscordConfig, MsTeamsConfig, MsTeamsV2Config, TelegramConfig, WebexConfig, WechatConfig};
use self::mail::EmailConfig;
use self::mattermost::MattermostConfig;
use self::on_call::{IncidentioConfig, OpsgenieConfig, PagerdutyConfig, PushoverConfig, VictoropsConfig};
use self::other::{JiraConfig, SnsConfig, WebhookConfig};
use self::rocketchat::RocketchatConfig;
use self::slack::SlackConfig;
use super::global::GlobalConfig;
use super::inherit::Inherit;
use crate::error::Problem;
use crate::section::section;

section! {
    /// A receiver: its name and its integrations.
    pub struct Receiver as "config.Receiver" read as "config.plain", checked {
        keep name: String;
        /// Labels that API queries can match; `name` is always among them.
        omit labels: BTreeMap<String, String>;
        omit discord_configs: Vec<Option<DiscordConfig>>;
        omit email_configs: Vec<Option<EmailConfig>>;
        omit incidentio_configs: Vec<Option<IncidentioConfig>>;
        omit pagerduty_configs: Vec<Option<PagerdutyConfig>>;
        omit slack_configs: Vec<Option<SlackConfig>>;
        omit webhook_configs: Vec<Option<WebhookConfig>>;
        omit opsgenie_configs: Vec<Option<OpsgenieConfig>>;
        omit wechat_configs: Vec<Option<WechatConfig>>;
        omit pushover_configs: Vec<Option<PushoverConfig>>;
        omit victorops_configs: Vec<Option<VictoropsConfig>>;
        omit sns_configs: Vec<Option<SnsConfig>>;
        omit telegram_configs: Vec<Option<TelegramConfig>>;
        omit webex_configs: Vec<Option<WebexConfig>>;
        omit msteams_configs: Vec<Option<MsTeamsConfig>>;
        omit msteamsv2_configs: Vec<Option<MsTeamsV2Config>>;
        omit jira_configs: Vec<Option<JiraConfig>>;
        omit rocketchat_configs: Vec<Option<RocketchatConfig>>;
        omit mattermost_configs: Vec<Option<MattermostConfig>>;
    }
}

impl Receiver {
    fn check(&mut self) -> Result<(), Problem> {
        if self.name.is_empty() {
            return Err(Problem::new("missing name in receiver"));
        }
        if let Some(name) = self.labels.get("name").filter(|name| **name != self.name) {
            let text = format!(
                "receiver label \"name\" must match receiver name {}, got {}",
                go_quote(&self.name),
                go_quote(name)
            );
            return Err(Problem::new(text).at("name").at("labels"));
        }
        self.labels.insert("name".into(), self.name.clone());
        Ok(())
    }

    /// Fills in what integrations have from `global`, in the order in which Alertmanager does; returns what is missing.
    pub(super) fn inherit(&mut self, global: &GlobalConfig) -> Vec<Problem> {
        let mut found = Vec::new();
        inherit(&mut self.webhook_configs, "webhook", global, &mut found);
        inherit(&mut self.email_configs, "email", global, &mut found);
        inherit(&mut self.slack_configs, "slack", global, &mut found);
        inherit(&mut self.pushover_configs, "pushover", global, &mut found);
        inherit(&mut self.pagerduty_configs, "pagerduty", global, &mut found);
        inherit(&mut self.incidentio_configs, "incidentio", global, &mut found);
        inherit(&mut self.opsgenie_configs, "opsgenie", global, &mut found);
        inherit(&mut self.wechat_configs, "wechat", global, &mut found);
        inherit(&mut self.victorops_configs, "victorops", global, &mut found);
        inherit(&mut self.sns_configs, "sns", global, &mut found);
        inherit(&mut self.telegram_configs, "telegram", global, &mut found);
        inherit(&mut self.discord_configs, "discord", global, &mut found);
        inherit(&mut self.webex_configs, "webex", global, &mut found);
        inherit(&mut self.msteams_configs, "msteams", global, &mut found);
        inherit(&mut self.msteamsv2_configs, "msteamsv2", global, &mut found);
        inherit(&mut self.jira_configs, "jira", global, &mut found);
        inherit(&mut self.rocketchat_configs, "rocketchat", global, &mut found);
        inherit(&mut self.mattermost_configs, "mattermost", global, &mut found);
        found
    }
}

fn inherit<T: Inherit>(
    configs: &mut [Option<T>],
    service: &str,
    global: &GlobalConfig,
    found: &mut Vec<Problem>,
) {
    let key = format!("{service}_configs");
    for (index, config) in configs.iter_mut().enumerate() {
        let inherited = match config {
            Some(config) => config.inherit(global),
            // For four services Alertmanager ends in a nil pointer here; the others are refused in these words.
            None => Err(Problem::new(format!("missing {service} config"))),
        };
        found.extend(inherited.err().map(|problem| problem.at_item(&key, index)));
    }
}
