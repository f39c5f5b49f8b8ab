//! Section `global`: what receivers have in common.

use std::time::Duration;

use super::values::{HostPort, HttpConfig, HttpUrl, SecretUrl};
use crate::error::Problem;
use crate::http_client::TlsConfig;
use crate::scalars::{Secret, secs};
use crate::section::section;

section! {
    /// Defaults of all receivers.
    pub struct GlobalConfig as "config.GlobalConfig" read as "config.plain" {
        /// An alert that is not sent again counts as resolved after this time.
        keep resolve_timeout: Duration = secs(300);
        omit http_config: Option<HttpConfig> = Some(HttpConfig::default());
        omit jira_api_url: Option<HttpUrl>;
        omit smtp_from: String;
        omit smtp_hello: String = "localhost".into();
        omit smtp_smarthost: HostPort;
        omit smtp_auth_username: String;
        omit smtp_auth_password: Secret;
        omit smtp_auth_password_file: String;
        omit smtp_auth_secret: Secret;
        omit smtp_auth_secret_file: String;
        omit smtp_auth_identity: String;
        keep smtp_require_tls: bool = true;
        omit smtp_tls_config: Option<TlsConfig> = Some(TlsConfig::default());
        omit smtp_force_implicit_tls: Option<bool>;
        omit slack_api_url: Option<SecretUrl>;
        omit slack_api_url_file: String;
        omit slack_app_token: Secret;
        omit slack_app_token_file: String;
        omit slack_app_url: Option<HttpUrl> = known("https://slack.com/api/chat.postMessage");
        omit pagerduty_url: Option<HttpUrl> = known("https://events.pagerduty.com/v2/enqueue");
        omit opsgenie_api_url: Option<HttpUrl> = known("https://api.opsgenie.com/");
        omit opsgenie_api_key: Secret;
        omit opsgenie_api_key_file: String;
        omit wechat_api_url: Option<HttpUrl> = known("https://qyapi.weixin.qq.com/cgi-bin/");
        omit wechat_api_secret: Secret;
        omit wechat_api_secret_file: String;
        omit wechat_api_corp_id: String;
        omit victorops_api_url: Option<HttpUrl> = known("https://alert.victorops.com/integrations/generic/20131114/alert/");
        omit victorops_api_key: Secret;
        omit victorops_api_key_file: String;
        omit telegram_api_url: Option<HttpUrl> = known("https://api.telegram.org");
        omit telegram_bot_token: Secret;
        omit telegram_bot_token_file: String;
        omit webex_api_url: Option<HttpUrl> = known("https://webexapis.com/v1/messages");
        omit rocketchat_api_url: Option<HttpUrl> = known("https://open.rocket.chat/");
        omit rocketchat_token: Option<Secret>;
        omit rocketchat_token_file: String;
        omit rocketchat_token_id: Option<Secret>;
        omit rocketchat_token_id_file: String;
        omit mattermost_webhook_url: Option<SecretUrl>;
        omit mattermost_webhook_url_file: String;
    }
}

fn known(url: &str) -> Option<HttpUrl> {
    Some(HttpUrl::known(url))
}

/// Refuses a value that is given both inline and as a file.
pub(super) fn not_both(key: &str, inline: bool, file: bool) -> Result<(), Problem> {
    if inline && file {
        let text = format!("at most one of {key} & {key}_file must be configured");
        return Err(Problem::new(text).at(&format!("{key}_file")));
    }
    Ok(())
}

impl GlobalConfig {
    pub(super) fn check(&self) -> Result<(), Problem> {
        not_both("slack_app_token", !self.slack_app_token.is_empty(), !self.slack_app_token_file.is_empty())?;
        not_both("slack_api_url", self.slack_api_url.is_some(), !self.slack_api_url_file.is_empty())?;
        let token = !self.slack_app_token.is_empty() || !self.slack_app_token_file.is_empty();
        let url = self.slack_api_url.is_some() || !self.slack_api_url_file.is_empty();
        // Equal addresses are let through: people wrote the API's address and a token before there was a key for tokens.
        let same = match (&self.slack_api_url, &self.slack_app_url) {
            (Some(api), Some(app)) => api.reveal() == app.as_str(),
            _ => false,
        };
        if token && url && !same {
            return Err(Problem::new(
                "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured",
            )
            .at("slack_app_token"));
        }
        let filled = |secret: &Secret| !secret.is_empty();
        for (key, inline, file) in [
            ("opsgenie_api_key", filled(&self.opsgenie_api_key), &self.opsgenie_api_key_file),
            ("victorops_api_key", filled(&self.victorops_api_key), &self.victorops_api_key_file),
            ("telegram_bot_token", filled(&self.telegram_bot_token), &self.telegram_bot_token_file),
            ("smtp_auth_password", filled(&self.smtp_auth_password), &self.smtp_auth_password_file),
            ("rocketchat_token", self.rocketchat_token.is_some(), &self.rocketchat_token_file),
            ("rocketchat_token_id", self.rocketchat_token_id.is_some(), &self.rocketchat_token_id_file),
            ("smtp_auth_secret", filled(&self.smtp_auth_secret), &self.smtp_auth_secret_file),
            ("wechat_api_secret", filled(&self.wechat_api_secret), &self.wechat_api_secret_file),
            (
                "mattermost_webhook_url",
                self.mattermost_webhook_url.is_some(),
                &self.mattermost_webhook_url_file,
            ),
        ] {
            not_both(key, inline, !file.is_empty())?;
        }
        Ok(())
    }
}
