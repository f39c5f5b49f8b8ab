//! Slack: incoming webhooks, and bot messages, which can be updated later.

use ferula_config::alertmanager::receiver::slack::{SlackAction, SlackConfig};
use ferula_go::quote::go_quote;

use super::exchange::{Answer, Call, Service, inline_or_file};
use super::fields::Fields;
use super::json::{Object, array, quoted};
use super::truncate::to_runes;
use super::{Attempt, FailureReason, KeptValue, KeptValues, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const TITLE_RUNES_MAX: usize = 1024;
const UPDATE: &str = "https://slack.com/api/chat.update";
/// Keys in the notification log.
const TIMESTAMP: &str = "threadTs";
const CHANNEL: &str = "channelId";

pub(super) struct Slack {
    pub config: SlackConfig,
    pub service: Service,
}

impl Slack {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let attachment = self.attachment(&mut fields);
        let inline = config.api_url.as_ref().map_or("", |url| url.reveal());
        let mut url = inline_or_file(notification.record, inline, &config.api_url_file)
            .await
            .map_err(NotifyError::fatal)?;
        let mut channel = fields.text(&config.channel);
        let mut timestamp = String::new();
        if config.update_message
            && let (Some(KeptValue::Text(kept_time)), Some(KeptValue::Text(kept_channel))) =
                (notification.kept.get(TIMESTAMP), notification.kept.get(CHANNEL))
            && !kept_time.is_empty()
            && !kept_channel.is_empty()
        {
            UPDATE.clone_into(&mut url);
            timestamp.clone_from(kept_time);
            channel.clone_from(kept_channel);
        }
        let message = Object::new()
            .filled("channel", &channel)
            .filled("ts", &timestamp)
            .filled("username", &fields.text(&config.username))
            .filled("icon_emoji", &fields.text(&config.icon_emoji))
            .filled("icon_url", &fields.text(&config.icon_url))
            .set("link_names", config.link_names)
            .filled("text", &fields.text(&config.message_text))
            .raw("attachments", array(&[attachment]))
            .message();
        fields.check("")?;
        let post = async {
            let call = Call::post(url, message).secret_url().dry_answer("{\"ok\":true}");
            let answer = self.service.send(notification.record, call).await?;
            let in_channel =
                |error: NotifyError| error.prefixed(&format!("channel {}: ", go_quote(&channel)));
            answer.check(&[]).map_err(in_channel)?;
            self.accepted(&answer, notification.kept).map_err(in_channel)
        };
        let timed_out = || "Post \"<redacted>\": context deadline exceeded".to_owned();
        self.service.within(config.timeout.0, post, timed_out).await
    }

    fn attachment(&self, fields: &mut Fields<'_>) -> String {
        let config = &self.config;
        let title = to_runes(fields.text(&config.title), TITLE_RUNES_MAX);
        let mut text = |template: &str| fields.text(template);
        let object = Object::new()
            .filled("title", &title)
            .filled("title_link", &text(&config.title_link))
            .filled("pretext", &text(&config.pretext))
            .text("text", &text(&config.text))
            .text("fallback", &text(&config.fallback))
            .text("callback_id", &text(&config.callback_id));
        let shown: Vec<String> = config
            .fields
            .iter()
            .map(|field| {
                Object::new()
                    .filled("title", &text(&field.title))
                    .filled("value", &text(&field.value))
                    .raw("short", field.short.unwrap_or(config.short_fields))
                    .finish()
            })
            .collect();
        let actions: Vec<String> =
            config.actions.iter().map(|action| self::action(action, &mut text)).collect();
        let marked = match config.mrkdwn_in.as_slice() {
            [] => ["fallback", "pretext", "text"].map(quoted).to_vec(),
            own => own.iter().map(|name| quoted(name)).collect(),
        };
        object
            .list("fields", &shown)
            .list("actions", &actions)
            .filled("image_url", &text(&config.image_url))
            .filled("thumb_url", &text(&config.thumb_url))
            .text("footer", &text(&config.footer))
            .filled("color", &text(&config.color))
            .list("mrkdwn_in", &marked)
            .finish()
    }

    /// Checks whether the service accepted the message, and keeps the identifier of one that can be updated
    /// later.
    fn accepted(&self, answer: &Answer, kept: &KeptValues) -> Result<Sent, NotifyError> {
        let refused =
            |retry: bool, text: String| NotifyError { retry, reason: FailureReason::ClientError, text };
        if answer.is_broken {
            return Err(refused(true, "could not read response body: unexpected EOF".to_owned()));
        }
        if !answer.content_type.starts_with("application/json") {
            return match answer.body.as_str() {
                "ok" => Ok(Sent { kept: kept.clone() }),
                body => Err(refused(false, format!("received an error response from Slack: {body}"))),
            };
        }
        #[derive(serde::Deserialize)]
        struct ResponseBody {
            #[serde(default)]
            ok: bool,
            #[serde(default)]
            error: String,
            #[serde(default)]
            channel: String,
            #[serde(default)]
            ts: String,
        }
        let written: ResponseBody = serde_json::from_str(&answer.body).map_err(|error| {
            let body = go_quote(&answer.body);
            refused(true, format!("could not unmarshal JSON response {body}: {error}"))
        })?;
        if !written.ok {
            return Err(refused(false, format!("error response from Slack: {}", written.error)));
        }
        let mut kept = kept.clone();
        if self.config.update_message && !written.ts.is_empty() && !written.channel.is_empty() {
            kept.insert(TIMESTAMP.to_owned(), KeptValue::Text(written.ts));
            kept.insert(CHANNEL.to_owned(), KeptValue::Text(written.channel));
        }
        Ok(Sent { kept })
    }
}

fn action(action: &SlackAction, text: &mut impl FnMut(&str) -> String) -> String {
    let object = Object::new()
        .filled("type", &text(&action.kind))
        .filled("text", &text(&action.text))
        .filled("url", &text(&action.url))
        .filled("style", &text(&action.style))
        .filled("name", &text(&action.name))
        .filled("value", &text(&action.value));
    let confirm = action.confirm.as_ref().map(|confirm| {
        let title = text(&confirm.title);
        Object::new()
            .filled("text", &text(&confirm.text))
            .filled("title", &title)
            .filled("ok_text", &text(&confirm.ok_text))
            .filled("dismiss_text", &text(&confirm.dismiss_text))
            .finish()
    });
    object.some("confirm", confirm).finish()
}

impl Notifier for Slack {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
