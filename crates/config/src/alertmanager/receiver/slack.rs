//! Slack: messages with attachments, fields and buttons.

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
