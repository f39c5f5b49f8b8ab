//! Rocket.Chat.

use ferula_config::Secret;
use ferula_config::alertmanager::receiver::rocketchat::RocketchatConfig;
use ferula_go::quote::go_quote;
use ferula_http_client::HeaderName;

use super::address::join_path;
use super::exchange::{Call, Service, inline_or_file};
use super::fields::Fields;
use super::json::{Object, array};
use super::truncate::to_runes;
use super::{Attempt, FailureReason, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const TITLE_RUNES_MAX: usize = 1024;

pub(super) struct Rocketchat {
    pub config: RocketchatConfig,
    pub service: Service,
}

impl Rocketchat {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let attachment = self.attachment(&mut fields);
        let channel = fields.text(&config.channel);
        let message = Object::new()
            .filled("channel", &channel)
            .filled("emoji", &fields.text(&config.emoji))
            .filled("avatar", &fields.text(&config.icon_url))
            .raw("attachments", array(&[attachment]))
            .message();
        fields.check("")?;
        let token = secret(notification, config.token.as_ref(), &config.token_file).await?;
        let token_id = secret(notification, config.token_id.as_ref(), &config.token_id_file).await?;
        let base = config.api_url.as_ref().map_or("", |url| url.as_str());
        let call = Call::post(join_path(base, "api/v1/chat.postMessage"), message)
            .header(HeaderName::from_static("x-auth-token"), &token)
            .header(HeaderName::from_static("x-user-id"), &token_id)
            .secret(&token)
            .secret(&token_id)
            .hide_url()
            .dry_answer("{\"success\":true}");
        let answer = self.service.send(notification.record, call).await?;
        let in_channel = |error: NotifyError| error.prefixed(&format!("channel {}: ", go_quote(&channel)));
        answer.check(&[]).map_err(in_channel)?;
        let refused =
            |retry: bool, text: String| NotifyError { retry, reason: FailureReason::ClientError, text };
        #[derive(serde::Deserialize)]
        struct ResponseBody {
            #[serde(default)]
            success: bool,
            #[serde(default)]
            error: String,
        }
        let written: ResponseBody = serde_json::from_str(&answer.body).map_err(|error| {
            let body = go_quote(&answer.body);
            in_channel(refused(true, format!("could not unmarshal JSON response {body}: {error}")))
        })?;
        if !written.success {
            let text = format!("error response from Rocketchat: {}", written.error);
            return Err(in_channel(refused(false, text)));
        }
        Ok(Sent::default())
    }

    fn attachment(&self, fields: &mut Fields<'_>) -> String {
        let config = &self.config;
        let title = to_runes(fields.text(&config.title), TITLE_RUNES_MAX);
        let mut text = |template: &str| fields.text(template);
        let object = Object::new()
            .filled("title", &title)
            .filled("title_link", &text(&config.title_link))
            .filled("text", &text(&config.text))
            .filled("image_url", &text(&config.image_url))
            .filled("thumb_url", &text(&config.thumb_url))
            .filled("color", &text(&config.color));
        let shown: Vec<String> = config
            .fields
            .iter()
            .map(|field| {
                let object = Object::new().raw("short", field.short.unwrap_or(config.short_fields));
                object.filled("title", &text(&field.title)).filled("value", &text(&field.value)).finish()
            })
            .collect();
        // Buttons are the only type.
        let actions: Vec<String> = config
            .actions
            .iter()
            .map(|action| {
                Object::new()
                    .text("type", "button")
                    .filled("text", &text(&action.text))
                    .filled("url", &text(&action.url))
                    .raw("is_webview", "false")
                    .filled("msg", &text(&action.msg))
                    .raw("msg_in_chat_window", "false")
                    .finish()
            })
            .collect();
        object.list("fields", &shown).list("actions", &actions).finish()
    }
}

async fn secret(
    notification: &Notification<'_>,
    inline: Option<&Secret>,
    file: &str,
) -> Result<String, NotifyError> {
    let inline = inline.map_or("", Secret::reveal);
    if inline.is_empty() && file.is_empty() {
        return Ok(String::new());
    }
    let read = inline_or_file(notification.record, inline, file).await;
    read.map_err(|error| NotifyError::fatal(format!("could not read {file}: {error}")))
}

impl Notifier for Rocketchat {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
