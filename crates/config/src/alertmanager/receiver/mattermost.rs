//! Mattermost: messages with attachments, properties and a priority.

use crate::alertmanager::global::{GlobalConfig, not_both};
use crate::alertmanager::inherit::{Inherit, inherit_http};
use crate::alertmanager::values::{HttpConfig, SecretUrl};
use crate::error::Problem;
use crate::section::section;

section! {
    /// `mattermost_configs`
    pub struct MattermostConfig as "mattermost.MattermostConfig" read as "mattermost.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit webhook_url: Option<SecretUrl>;
        omit webhook_url_file: String;
        omit channel: String;
        omit username: String = "{{ template \"mattermost.default.username\" . }}".into();
        omit text: String = "{{ template \"mattermost.default.text\" . }}".into();
        omit fallback: String = "{{ template \"mattermost.default.fallback\" . }}".into();
        omit color: String = "{{ template \"mattermost.default.color\" . }}".into();
        omit pretext: String;
        omit author_name: String;
        omit author_link: String;
        omit author_icon: String;
        omit title: String = "{{ template \"mattermost.default.title\" . }}".into();
        omit title_link: String = "{{ template \"mattermost.default.titlelink\" . }}".into();
        omit fields: Vec<MattermostField>;
        omit thumb_url: String;
        omit footer: String;
        omit footer_icon: String;
        omit image_url: String;
        omit icon_url: String;
        omit icon_emoji: String;
        omit attachments: Vec<MattermostAttachment>;
        omit kind as "type": String;
        omit props: Option<MattermostProps>;
        omit priority: Option<MattermostPriority>;
    }
}

section! {
    /// A field of an attachment.
    pub struct MattermostField as "mattermost.MattermostField" read as "mattermost.plain", checked {
        omit title: String;
        omit value: String;
        omit short: Option<bool>;
    }
}

section! {
    /// A further attachment.
    pub struct MattermostAttachment as "mattermost.MattermostAttachment" {
        omit fallback: String;
        omit color: String;
        omit pretext: String;
        omit text: String;
        omit author_name: String;
        omit author_link: String;
        omit author_icon: String;
        omit title: String;
        omit title_link: String;
        omit fields: Vec<MattermostField>;
        omit thumb_url: String;
        omit footer: String;
        omit footer_icon: String;
        omit image_url: String;
    }
}

section! {
    /// Extra properties of a post.
    pub struct MattermostProps as "mattermost.MattermostProps" {
        omit card: String;
    }
}

section! {
    /// The priority of a post.
    pub struct MattermostPriority as "mattermost.MattermostPriority" {
        omit priority: String;
        omit requested_ack: bool;
        omit persistent_notifications: bool;
    }
}

impl MattermostField {
    fn check(&mut self) -> Result<(), Problem> {
        match (self.title.is_empty(), self.value.is_empty()) {
            (true, _) => Err("missing title in Mattermost field configuration".into()),
            (_, true) => Err("missing value in Mattermost field configuration".into()),
            _ => Ok(()),
        }
    }
}

impl MattermostConfig {
    fn check(&mut self) -> Result<(), Problem> {
        not_both("webhook_url", self.webhook_url.is_some(), !self.webhook_url_file.is_empty())
    }
}

impl Inherit for MattermostConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        if self.webhook_url.is_none() && self.webhook_url_file.is_empty() {
            if global.mattermost_webhook_url.is_none() && global.mattermost_webhook_url_file.is_empty() {
                return Err("missing webhook_url or webhook_url_file on mattermost_config".into());
            }
            self.webhook_url.clone_from(&global.mattermost_webhook_url);
            self.webhook_url_file.clone_from(&global.mattermost_webhook_url_file);
        }
        Ok(())
    }
}
