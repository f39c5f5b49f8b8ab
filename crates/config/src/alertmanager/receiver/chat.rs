//! The chat services whose sections are flat: Discord, Telegram, Teams, Webex, WeChat. Elsewhere: Slack, Mattermost,
//! Rocket.Chat, which have sections of their own inside.

use crate::alertmanager::global::{GlobalConfig, not_both};
use crate::alertmanager::inherit::{Inherit, inherit_http, inherit_url};
use crate::alertmanager::values::{HttpConfig, HttpUrl, SecretUrl};
use crate::error::Problem;
use crate::scalars::Secret;
use crate::section::section;

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
