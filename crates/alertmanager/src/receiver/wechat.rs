//! WeChat: first requests an access token, which is valid for a while, then sends the message.

use std::sync::Mutex;
use std::time::Duration;

use ferula_config::alertmanager::receiver::chat::WechatConfig;
use ferula_go::sync::MutexExt;
use ferula_http_client::Method;

use super::address::{append_path, encode, with_parameter, with_query};
use super::exchange::{Call, Service, read_trimmed};
use super::fields::Fields;
use super::json::Object;
use super::{Attempt, FailureReason, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

/// How long a token is used.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(2 * 3600);
/// The service's error code for an expired token.
const EXPIRED: i64 = 42_001;

pub(super) struct Wechat {
    pub config: WechatConfig,
    pub service: Service,
    pub token: Mutex<Option<Token>>,
}

/// A token, and when it was received.
pub(super) struct Token {
    text: String,
    at: Duration,
}

impl Wechat {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let token = match self.known_token() {
            Some(token) if !notification.record.is_dry() => token,
            _ => self.fetch_token(notification, &mut fields).await?,
        };
        let content = fields.text(&config.message);
        let content =
            |is_shown: bool| Object::new().text("content", if is_shown { &content } else { "" }).finish();
        let is_markdown = config.message_type == "markdown";
        let message = Object::new()
            .raw("text", content(!is_markdown))
            .filled("touser", &fields.text(&config.to_user))
            .filled("toparty", &fields.text(&config.to_party))
            .filled("totag", &fields.text(&config.to_tag))
            .filled("agentid", &fields.text(&config.agent_id))
            .text("safe", "0")
            .filled("msgtype", &config.message_type)
            .raw("markdown", content(is_markdown))
            .message();
        fields.check("templating error: ")?;
        let url = with_parameter(&append_path(self.base(), "message/send"), "access_token", &token);
        let call = Call::post(url, message).secret(&token).hide_url().dry_answer("{\"errcode\":0}");
        let answer = self.service.send(notification.record, call).await?;
        let code = answer.status.as_u16();
        if code != 200 {
            let error = NotifyError::passing(format!("unexpected status code {code}"));
            return Err(error.because(FailureReason::of_status(code)));
        }
        #[derive(serde::Deserialize)]
        struct ResponseBody {
            #[serde(default)]
            errcode: i64,
            #[serde(default)]
            errmsg: String,
        }
        let written: ResponseBody =
            serde_json::from_str(&answer.body).map_err(|error| NotifyError::passing(error.to_string()))?;
        match written.errcode {
            0 => Ok(Sent::default()),
            EXPIRED => {
                *self.token.locked() = None;
                Err(NotifyError::passing(written.errmsg))
            }
            _ => Err(NotifyError::fatal(written.errmsg)),
        }
    }

    fn base(&self) -> &str {
        self.config.api_url.as_ref().map_or("", |url| url.as_str())
    }

    fn known_token(&self) -> Option<String> {
        let token = self.token.locked();
        let now = self.service.clock.elapsed();
        token.as_ref().filter(|token| now - token.at <= TOKEN_AGE_MAX).map(|token| token.text.clone())
    }

    async fn fetch_token(
        &self,
        notification: &Notification<'_>,
        fields: &mut Fields<'_>,
    ) -> Result<String, NotifyError> {
        let config = &self.config;
        let secret = match config.api_secret_file.as_str() {
            "" => config.api_secret.reveal().to_owned(),
            file => read_trimmed(notification.record, file).await.map_err(NotifyError::fatal)?,
        };
        let (secret, corporation) = (fields.text(&secret), fields.text(&config.corp_id));
        fields.check("templating error: ")?;
        let query =
            encode(&[("corpsecret".to_owned(), secret.clone()), ("corpid".to_owned(), corporation.clone())]);
        let url = with_query(&append_path(self.base(), "gettoken"), &query);
        let call =
            Call::new(Method::GET, url).secret(&secret).hide_url().dry_answer("{\"access_token\":\"TOKEN\"}");
        let answer = self.service.send(notification.record, call).await?;
        #[derive(serde::Deserialize)]
        struct ResponseBody {
            #[serde(default)]
            access_token: String,
        }
        let written: ResponseBody =
            serde_json::from_str(&answer.body).map_err(|error| NotifyError::fatal(error.to_string()))?;
        if written.access_token.is_empty() {
            return Err(NotifyError::fatal(format!("invalid APISecret for CorpID: {}", config.corp_id)));
        }
        if !notification.record.is_dry() {
            let token = Token { text: written.access_token.clone(), at: self.service.clock.elapsed() };
            *self.token.locked() = Some(token);
        }
        Ok(written.access_token)
    }
}

impl Notifier for Wechat {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
