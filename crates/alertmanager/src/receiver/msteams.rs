//! Microsoft Teams: message cards of connectors, and adaptive cards of workflows.

use ferula_config::alertmanager::SecretUrl;
use ferula_config::alertmanager::receiver::chat::{MsTeamsConfig, MsTeamsV2Config};

use super::exchange::{Call, Service, inline_or_file};
use super::fields::Fields;
use super::json::{Object, array};
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

pub(super) struct MsTeams {
    pub config: MsTeamsConfig,
    pub service: Service,
}

pub(super) struct MsTeamsV2 {
    pub config: MsTeamsV2Config,
    pub service: Service,
}

impl MsTeams {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let message = Object::new()
            .text("@context", "http://schema.org/extensions")
            .text("type", "MessageCard")
            .text("title", &fields.text(&config.title))
            .text("summary", &fields.text(&config.summary))
            .text("text", &fields.text(&config.text))
            .text("themeColor", if data.is_firing() { "8C1A1A" } else { "2DC72D" })
            .message();
        fields.check("")?;
        post(&self.service, notification, config.webhook_url.as_ref(), &config.webhook_url_file, message)
            .await
    }
}

impl MsTeamsV2 {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let block = |text: &str| Object::new().text("type", "TextBlock").text("text", text);
        let heading = block(&fields.text(&config.title))
            .text("weight", "Bolder")
            .text("size", "Medium")
            .set("wrap", true)
            .text("style", "heading")
            .text("color", if data.is_firing() { "Attention" } else { "Good" });
        let body = block(&fields.text(&config.text)).set("wrap", true);
        fields.check("")?;
        let card = Object::new()
            .text("$schema", "http://adaptivecards.io/schemas/adaptive-card.json")
            .text("type", "AdaptiveCard")
            .text("version", "1.2")
            .raw("body", array(&[heading.finish(), body.finish()]))
            .raw("msteams", Object::new().text("width", "full").finish());
        let attachment = Object::new()
            .text("contentType", "application/vnd.microsoft.card.adaptive")
            .raw("contentUrl", "null")
            .raw("content", card.finish());
        let message =
            Object::new().text("type", "message").raw("attachments", array(&[attachment.finish()])).message();
        post(&self.service, notification, config.webhook_url.as_ref(), &config.webhook_url_file, message)
            .await
    }
}

async fn post(
    service: &Service,
    notification: &Notification<'_>,
    url: Option<&SecretUrl>,
    file: &str,
    message: String,
) -> Result<Sent, NotifyError> {
    let url = inline_or_file(notification.record, url.map_or("", |url| url.reveal()), file).await;
    let url = url.map_err(|error| NotifyError::fatal(format!("read webhook_url_file: {error}")))?;
    service.send(notification.record, Call::post(url, message).secret_url()).await?.check(&[])?;
    Ok(Sent::default())
}

impl Notifier for MsTeams {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}

impl Notifier for MsTeamsV2 {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
