//! Mattermost.

use ferula_config::alertmanager::receiver::mattermost::{
    MattermostAttachment, MattermostConfig, MattermostField, MattermostPriority,
};
use ferula_go::quote::go_quote;
use ferula_go::unicode;

use super::exchange::{Call, Service, inline_or_file};
use super::fields::Fields;
use super::json::{Object, array};
use super::truncate::to_runes;
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const TEXT_RUNES_MAX: usize = 16_383;

pub(super) struct Mattermost {
    pub config: MattermostConfig,
    pub service: Service,
}

impl Mattermost {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let inline = config.webhook_url.as_ref().map_or("", |url| url.reveal());
        let url = inline_or_file(notification.record, inline, &config.webhook_url_file)
            .await
            .map_err(NotifyError::fatal)?;
        if url.is_empty() {
            return Err(NotifyError::fatal("webhook url missing"));
        }
        let text = fields.text(&config.text);
        let channel = fields.text(&config.channel);
        // The text is placed next to custom attachments, but inside the default one.
        let (text, attachments) = match config.attachments.as_slice() {
            [] => {
                let own = self.own_attachment();
                (String::new(), vec![attachment(&own, Some(&text), &mut fields)])
            }
            more => {
                let rendered = more.iter().map(|one| attachment(one, None, &mut fields)).collect();
                (to_runes(text, TEXT_RUNES_MAX), rendered)
            }
        };
        let card = config.props.as_ref().filter(|props| !props.card.is_empty());
        let props = card.map(|props| Object::new().filled("card", &fields.text(&props.card)).finish());
        let priority = config.priority.as_ref().filter(|priority| !priority.priority.is_empty());
        let priority = priority.map(|own| self::priority(own, &fields.text(&own.priority)));
        let message = Object::new()
            .filled("text", &text)
            .filled("channel", &channel)
            .filled("username", &fields.text(&config.username))
            .filled("icon_url", &fields.text(&config.icon_url))
            .filled("icon_emoji", &fields.text(&config.icon_emoji))
            .raw("attachments", array(&attachments))
            .filled("type", &fields.text(&config.kind))
            .some("props", props)
            .some("priority", priority)
            .message();
        fields.check("")?;
        let answer = self.service.send(notification.record, Call::post(url, message).secret_url()).await?;
        answer.check(&[]).map_err(|error| error.prefixed(&format!("channel {}: ", go_quote(&channel))))?;
        Ok(Sent::default())
    }

    /// The attachment that is built from top-level fields.
    fn own_attachment(&self) -> MattermostAttachment {
        let config = self.config.clone();
        MattermostAttachment {
            fallback: config.fallback,
            color: config.color,
            pretext: config.pretext,
            text: String::new(),
            author_name: config.author_name,
            author_link: config.author_link,
            author_icon: config.author_icon,
            title: config.title,
            title_link: config.title_link,
            fields: config.fields,
            thumb_url: config.thumb_url,
            footer: config.footer,
            footer_icon: config.footer_icon,
            image_url: config.image_url,
        }
    }
}

/// An attachment; `text` is an already rendered text.
fn attachment(own: &MattermostAttachment, text: Option<&str>, fields: &mut Fields<'_>) -> String {
    let text = text.map_or_else(|| fields.text(&own.text), str::to_owned);
    let mut rendered = |template: &str| fields.text(template);
    let object = Object::new()
        .filled("fallback", &rendered(&own.fallback))
        .filled("color", &rendered(&own.color))
        .filled("pretext", &rendered(&own.pretext))
        .filled("text", &text)
        .filled("author_name", &rendered(&own.author_name))
        .filled("author_link", &rendered(&own.author_link))
        .filled("author_icon", &rendered(&own.author_icon))
        .filled("title", &rendered(&own.title))
        .filled("title_link", &rendered(&own.title_link));
    let field = |field: &MattermostField| {
        Object::new()
            .filled("title", &rendered(&field.title))
            .filled("value", &rendered(&field.value))
            .some("short", field.short)
            .finish()
    };
    let shown: Vec<String> = own.fields.iter().map(field).collect();
    object
        .list("fields", &shown)
        .filled("thumb_url", &rendered(&own.thumb_url))
        .filled("footer", &rendered(&own.footer))
        .filled("footer_icon", &rendered(&own.footer_icon))
        .filled("image_url", &rendered(&own.image_url))
        .finish()
}

/// Only urgent messages may use persistent notifications, and standard ones need no acknowledgement.
fn priority(own: &MattermostPriority, level: &str) -> String {
    let level = unicode::lower(level);
    let level = if matches!(level.as_str(), "urgent" | "important") { level.as_str() } else { "standard" };
    Object::new()
        .text("priority", level)
        .set("requested_ack", own.requested_ack && level != "standard")
        .set("persistent_notifications", own.persistent_notifications && level == "urgent")
        .finish()
}

impl Notifier for Mattermost {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
