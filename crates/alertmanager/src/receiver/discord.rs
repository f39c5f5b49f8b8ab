//! Discord.

use ferula_config::alertmanager::receiver::chat::DiscordConfig;

use super::exchange::{Call, Service, inline_or_file};
use super::fields::Fields;
use super::json::{Object, array};
use super::truncate::to_runes;
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const TITLE_RUNES_MAX: usize = 256;
const DESCRIPTION_RUNES_MAX: usize = 4096;
const CONTENT_RUNES_MAX: usize = 2000;
const RED: u32 = 0x0099_2d22;
const GREEN: u32 = 0x002e_cc71;

pub(super) struct Discord {
    pub config: DiscordConfig,
    pub service: Service,
}

impl Discord {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let title = to_runes(fields.text(&config.title), TITLE_RUNES_MAX);
        let description = to_runes(fields.text(&config.message), DESCRIPTION_RUNES_MAX);
        let content = to_runes(fields.text(&config.content), CONTENT_RUNES_MAX);
        fields.check("")?;
        let inline = config.webhook_url.as_ref().map_or("", |url| url.reveal());
        let url = inline_or_file(notification.record, inline, &config.webhook_url_file).await;
        let url = url.map_err(|error| NotifyError::fatal(format!("read webhook_url_file: {error}")))?;
        let embed = Object::new()
            .text("title", &title)
            .text("description", &description)
            .raw("color", if data.is_firing() { RED } else { GREEN });
        // Invalid URLs are left out.
        let avatar = Some(&config.avatar_url).filter(|url| ferula_go::url::Url::parse(url).is_ok());
        let message = Object::new()
            .text("content", &content)
            .raw("embeds", array(&[embed.finish()]))
            .filled("username", &config.username)
            .filled("avatar_url", avatar.map_or("", String::as_str))
            .message();
        let answer = self.service.send(notification.record, Call::post(url, message).secret_url()).await?;
        answer.check(&[]).map_err(|error| error.because(Default::default()))?;
        Ok(Sent::default())
    }
}

impl Notifier for Discord {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
