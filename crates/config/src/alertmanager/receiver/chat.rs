//! Chat services: Slack, Discord, Telegram, Teams, Webex, WeChat, Rocket.Chat, Mattermost.

use crate::alertmanager::global::{GlobalConfig, not_both};
use crate::alertmanager::inherit::{Inherit, inherit_http, inherit_url};
use crate::alertmanager::values::{GoDuration, HttpConfig, HttpUrl, SecretUrl};
use crate::error::Problem;
use crate::http_client::Authorization;
use crate::scalars::Secret;
use crate::section::section;

/// The address at which Slack accepts messages from bots, which can change them later.
const SLACK_POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

section! {
    /// `slack_configs`
    pub struct SlackConfig as "config.SlackConfig" read as "config.plain", checked {
        keep send_resolved: bool;
        omit http_config: Option<HttpConfig>;
        omit api_url: Option<SecretUrl>;
        omit api_url_file: String;
        omit app_token: Secret;
        omit app_token_file: String;
        omit app_url: Option<HttpUrl>;
        omit channel: String;
        omit username: String = "{{ template \"slack.default.username\" . }}".into();
        omit color: String = "{{ template \"slack.default.color\" . }}".into();
        omit title: String = "{{ template \"slack.default.title\" . }}".into();
        omit title_link: String = "{{ template \"slack.default.titlelink\" . }}".into();
        omit pretext: String = "{{ template \"slack.default.pretext\" . }}".into();
        omit text: String = "{{ template \"slack.default.text\" . }}".into();
        omit message_text: String;
        omit fields: Vec<SlackField>;
        keep short_fields: bool;
        omit footer: String = "{{ template \"slack.default.footer\" . }}".into();
        omit fallback: String = "{{ template \"slack.default.fallback\" . }}".into();
        omit callback_id: String = "{{ template \"slack.default.callbackid\" . }}".into();
        omit icon_emoji: String = "{{ template \"slack.default.iconemoji\" . }}".into();
        omit icon_url: String = "{{ template \"slack.default.iconurl\" . }}".into();
        omit image_url: String;
        omit thumb_url: String;
        keep link_names: bool;
        omit mrkdwn_in: Vec<String>;
        omit actions: Vec<SlackAction>;
        /// Changes the message of a group instead of posting another one; bots only.
        keep update_message: bool;
        keep timeout: GoDuration;
    }
}

section! {
    /// A field of an attachment.
    pub struct SlackField as "config.SlackField" read as "config.plain", checked {
        omit title: String;
        omit value: String;
        omit short: Option<bool>;
    }
}

section! {
    /// A button of an attachment.
    pub struct SlackAction as "config.SlackAction" read as "config.plain", checked {
        omit kind as "type": String;
        omit text: String;
        omit url: String;
        omit style: String;
        omit name: String;
        omit value: String;
        omit confirm: Option<SlackConfirmation>;
    }
}

section! {
    /// The question that a button asks first.
    pub struct SlackConfirmation as "config.SlackConfirmationField" read as "config.plain", checked {
        omit text: String;
        omit title: String;
        omit ok_text: String;
        omit dismiss_text: String;
    }
}

section! {
    /// `discord_configs`
    pub struct DiscordConfig as "discord.DiscordConfig" read as "discord.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit webhook_url: Option<SecretUrl>;
        omit webhook_url_file: String;
        omit content: String;
        omit title: String = "{{ template \"discord.default.title\" . }}".into();
        omit message: String = "{{ template \"discord.default.message\" . }}".into();
        omit username: String;
        omit avatar_url: String;
    }
}

section! {
    /// `msteams_configs`
    pub struct MsTeamsConfig as "msteams.MSTeamsConfig" read as "msteams.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit webhook_url: Option<SecretUrl>;
        omit webhook_url_file: String;
        omit title: String = "{{ template \"msteams.default.title\" . }}".into();
        omit summary: String = "{{ template \"msteams.default.summary\" . }}".into();
        omit text: String = "{{ template \"msteams.default.text\" . }}".into();
    }
}

section! {
    /// `msteamsv2_configs`
    pub struct MsTeamsV2Config as "config.MSTeamsV2Config" read as "config.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit webhook_url: Option<SecretUrl>;
        omit webhook_url_file: String;
        omit title: String = "{{ template \"msteamsv2.default.title\" . }}".into();
        omit text: String = "{{ template \"msteamsv2.default.text\" . }}".into();
    }
}

section! {
    /// `webex_configs`
    pub struct WebexConfig as "config.WebexConfig" read as "config.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        omit api_url: Option<HttpUrl>;
        omit message: String = "{{ template \"webex.default.message\" . }}".into();
        keep room_id: String;
    }
}

section! {
    /// `wechat_configs`
    pub struct WechatConfig as "config.WechatConfig" read as "config.plain", checked {
        keep send_resolved: bool;
        omit http_config: Option<HttpConfig>;
        omit api_secret: Secret;
        omit api_secret_file: String;
        omit corp_id: String;
        omit message: String = "{{ template \"wechat.default.message\" . }}".into();
        omit api_url: Option<HttpUrl>;
        omit to_user: String = "{{ template \"wechat.default.to_user\" . }}".into();
        omit to_party: String = "{{ template \"wechat.default.to_party\" . }}".into();
        omit to_tag: String = "{{ template \"wechat.default.to_tag\" . }}".into();
        omit agent_id: String = "{{ template \"wechat.default.agent_id\" . }}".into();
        omit message_type: String;
    }
}

section! {
    /// `telegram_configs`
    pub struct TelegramConfig as "config.TelegramConfig" read as "config.plain", checked {
        keep send_resolved: bool = true;
        omit http_config: Option<HttpConfig>;
        keep api_url: Option<HttpUrl>;
        omit bot_token: Secret;
        omit bot_token_file: String;
        omit chat_id: i64;
        omit chat_id_file: String;
        omit message_thread_id: i64;
        omit message: String = "{{ template \"telegram.default.message\" . }}".into();
        omit disable_notifications: bool;
        omit parse_mode: String = "HTML".into();
    }
}

section! {
    /// `rocketchat_configs`
    pub struct RocketchatConfig as "config.RocketchatConfig" read as "config.plain", checked {
        keep send_resolved: bool;
        omit http_config: Option<HttpConfig>;
        omit api_url: Option<HttpUrl>;
        omit token_id: Option<Secret>;
        omit token_id_file: String;
        omit token: Option<Secret>;
        omit token_file: String;
        omit channel: String;
        omit color: String = "{{ if eq .Status \"firing\" }}red{{ else }}green{{ end }}".into();
        omit title: String = "{{ template \"rocketchat.default.title\" . }}".into();
        omit title_link: String = "{{ template \"rocketchat.default.titlelink\" . }}".into();
        omit text: String = "{{ template \"rocketchat.default.text\" . }}".into();
        omit fields: Vec<RocketchatField>;
        keep short_fields: bool;
        omit emoji: String = "{{ template \"rocketchat.default.emoji\" . }}".into();
        omit icon_url: String = "{{ template \"rocketchat.default.iconurl\" . }}".into();
        omit image_url: String;
        omit thumb_url: String;
        keep link_names: bool;
        omit actions: Vec<RocketchatAction>;
    }
}

section! {
    /// A field of an attachment. Alertmanager names no keys for YAML here, so they are the lower-case field names.
    pub struct RocketchatField as "config.RocketchatAttachmentField" {
        keep short: Option<bool>;
        keep title: String;
        keep value: String;
    }
}

section! {
    /// A button of an attachment; its keys have no underscores, for the same reason.
    pub struct RocketchatAction as "config.RocketchatAttachmentAction" {
        keep kind as "type": String;
        keep text: String;
        keep url: String;
        keep imageurl: String;
        keep iswebview: bool;
        keep webviewheightratio: String;
        keep msg: String;
        keep msginchatwindow: bool;
        keep msgprocessingtype: String;
    }
}

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

impl SlackConfig {
    fn check(&mut self) -> Result<(), Problem> {
        let (url, url_file) = (self.api_url.is_some(), !self.api_url_file.is_empty());
        let (token, token_file) = (!self.app_token.is_empty(), !self.app_token_file.is_empty());
        not_both("api_url", url, url_file)?;
        not_both("app_token", token, token_file)?;
        if (url || url_file) && (token || token_file) {
            return Err(
                "at most one of api_url/api_url_file & app_token/app_token_file must be configured".into()
            );
        }
        let posts = self.api_url.as_ref().is_some_and(|url| url.reveal() == SLACK_POST_MESSAGE);
        if self.update_message && !posts {
            return Err(Problem::new(
                "update_message can only be used with bot tokens. api_url must be set to https://slack.com/api/chat.postMessage",
            )
            .at("update_message"));
        }
        Ok(())
    }

    fn has_token(&self) -> bool {
        !self.app_token.is_empty() || !self.app_token_file.is_empty()
    }
}

impl SlackField {
    fn check(&mut self) -> Result<(), Problem> {
        match (self.title.is_empty(), self.value.is_empty()) {
            (true, _) => Err("missing title in Slack field configuration".into()),
            (_, true) => Err("missing value in Slack field configuration".into()),
            _ => Ok(()),
        }
    }
}

impl SlackAction {
    fn check(&mut self) -> Result<(), Problem> {
        if self.kind.is_empty() {
            return Err("missing type in Slack action configuration".into());
        }
        if self.text.is_empty() {
            return Err("missing text in Slack action configuration".into());
        }
        if !self.url.is_empty() {
            // A button that opens a page sends nothing.
            self.name.clear();
            self.value.clear();
            self.confirm = None;
        } else if self.name.is_empty() {
            return Err("missing name or url in Slack action configuration".into());
        }
        Ok(())
    }
}

impl SlackConfirmation {
    fn check(&mut self) -> Result<(), Problem> {
        match self.text.is_empty() {
            true => Err("missing text in Slack confirmation configuration".into()),
            false => Ok(()),
        }
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

/// The address of a webhook must be given in one of two ways.
fn check_webhook(url: &Option<SecretUrl>, file: &str) -> Result<(), Problem> {
    if url.is_none() && file.is_empty() {
        return Err("one of webhook_url or webhook_url_file must be configured".into());
    }
    not_both("webhook_url", url.is_some(), !file.is_empty())
}

impl DiscordConfig {
    fn check(&mut self) -> Result<(), Problem> {
        check_webhook(&self.webhook_url, &self.webhook_url_file)
    }
}

impl MsTeamsConfig {
    fn check(&mut self) -> Result<(), Problem> {
        check_webhook(&self.webhook_url, &self.webhook_url_file)
    }
}

impl MsTeamsV2Config {
    fn check(&mut self) -> Result<(), Problem> {
        check_webhook(&self.webhook_url, &self.webhook_url_file)
    }
}

impl WebexConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.room_id.is_empty() {
            return Err("missing room_id on webex_config".into());
        }
        if self.http_config.as_ref().is_none_or(|http| http.0.authorization.is_none()) {
            return Err("missing webex_configs.http_config.authorization".into());
        }
        Ok(())
    }
}

impl WechatConfig {
    fn check(&mut self) -> Result<(), Problem> {
        if self.message_type.is_empty() {
            self.message_type = "text".into();
        }
        if !matches!(self.message_type.as_str(), "text" | "markdown") {
            return Err(Problem::new(format!(
                "weChat message type {} does not match valid options ^(text|markdown)$",
                ferula_go::quote::go_quote(&self.message_type)
            ))
            .at("message_type"));
        }
        not_both("api_secret", !self.api_secret.is_empty(), !self.api_secret_file.is_empty())
    }
}

impl TelegramConfig {
    fn check(&mut self) -> Result<(), Problem> {
        not_both("bot_token", !self.bot_token.is_empty(), !self.bot_token_file.is_empty())?;
        if self.chat_id == 0 && self.chat_id_file.is_empty() {
            return Err("missing chat_id or chat_id_file on telegram_config".into());
        }
        not_both("chat_id", self.chat_id != 0, !self.chat_id_file.is_empty())?;
        if !matches!(self.parse_mode.as_str(), "" | "Markdown" | "MarkdownV2" | "HTML") {
            return Err(Problem::new(
                "unknown parse_mode on telegram_config, must be Markdown, MarkdownV2, HTML or empty string",
            )
            .at("parse_mode"));
        }
        Ok(())
    }
}

impl RocketchatConfig {
    fn check(&mut self) -> Result<(), Problem> {
        not_both("token", self.token.is_some(), !self.token_file.is_empty())?;
        not_both("token_id", self.token_id.is_some(), !self.token_id_file.is_empty())
    }
}

impl MattermostConfig {
    fn check(&mut self) -> Result<(), Problem> {
        not_both("webhook_url", self.webhook_url.is_some(), !self.webhook_url_file.is_empty())
    }
}

impl Inherit for SlackConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_url(&mut self.app_url, &global.slack_app_url, "no global Slack App URL set")?;
        let authorized = self.http_config.as_ref().is_some_and(|http| http.0.authorization.is_some());
        // A receiver with a webhook or credentials of its own has no use for the global token.
        if !self.has_token() && !authorized && self.api_url.is_none() {
            self.app_token = global.slack_app_token.clone();
            self.app_token_file.clone_from(&global.slack_app_token_file);
        }
        if self.api_url.is_none() && self.api_url_file.is_empty() {
            self.api_url.clone_from(&global.slack_api_url);
            self.api_url_file.clone_from(&global.slack_api_url_file);
        }
        if self.api_url.is_none() && self.api_url_file.is_empty() && !self.has_token() {
            return Err("no Slack API URL nor App token set either inline or in a file".into());
        }
        inherit_http(&mut self.http_config, global);
        if !self.has_token() {
            return Ok(());
        }
        let http = &mut self.http_config.get_or_insert_default().0;
        if http.authorization.is_some() {
            return Err("http authorization can't be set when using Slack App tokens".into());
        }
        http.authorization = Some(Authorization {
            kind: "Bearer".into(),
            credentials: self.app_token.clone(),
            credentials_file: self.app_token_file.clone(),
            ..Authorization::default()
        });
        self.api_url = self.app_url.as_ref().map(SecretUrl::of);
        Ok(())
    }
}

impl Inherit for DiscordConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        Ok(())
    }
}

impl Inherit for MsTeamsConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        Ok(())
    }
}

impl Inherit for MsTeamsV2Config {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        Ok(())
    }
}

impl Inherit for WebexConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        inherit_url(&mut self.api_url, &global.webex_api_url, "no global Webex URL set")
    }
}

impl Inherit for WechatConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        inherit_url(&mut self.api_url, &global.wechat_api_url, "no global Wechat URL set")?;
        if self.api_secret.is_empty() && self.api_secret_file.is_empty() {
            if global.wechat_api_secret.is_empty() && global.wechat_api_secret_file.is_empty() {
                return Err("no global Wechat Api Secret set either inline or in a file".into());
            }
            self.api_secret = global.wechat_api_secret.clone();
            self.api_secret_file.clone_from(&global.wechat_api_secret_file);
        }
        if self.corp_id.is_empty() {
            self.corp_id.clone_from(&global.wechat_api_corp_id);
        }
        if self.corp_id.is_empty() {
            return Err("no global Wechat CorpID set".into());
        }
        self.api_url.iter_mut().for_each(HttpUrl::end_path_with_slash);
        Ok(())
    }
}

impl Inherit for TelegramConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        if self.api_url.is_none() {
            self.api_url.clone_from(&global.telegram_api_url);
        }
        if self.bot_token.is_empty() && self.bot_token_file.is_empty() {
            if global.telegram_bot_token.is_empty() && global.telegram_bot_token_file.is_empty() {
                return Err("missing bot_token or bot_token_file on telegram_config".into());
            }
            self.bot_token = global.telegram_bot_token.clone();
            self.bot_token_file.clone_from(&global.telegram_bot_token_file);
        }
        Ok(())
    }
}

impl Inherit for RocketchatConfig {
    fn inherit(&mut self, global: &GlobalConfig) -> Result<(), Problem> {
        inherit_http(&mut self.http_config, global);
        if self.api_url.is_none() {
            self.api_url.clone_from(&global.rocketchat_api_url);
        }
        for (own, file, global, global_file, missing) in [
            (
                &mut self.token_id,
                &mut self.token_id_file,
                &global.rocketchat_token_id,
                &global.rocketchat_token_id_file,
                "no global Rocketchat TokenID set either inline or in a file",
            ),
            (
                &mut self.token,
                &mut self.token_file,
                &global.rocketchat_token,
                &global.rocketchat_token_file,
                "no global Rocketchat Token set either inline or in a file",
            ),
        ] {
            if own.is_none() {
                own.clone_from(global);
            }
            if file.is_empty() {
                file.clone_from(global_file);
            }
            if own.is_none() && file.is_empty() {
                return Err(missing.into());
            }
        }
        Ok(())
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
