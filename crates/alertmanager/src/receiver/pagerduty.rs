//! PagerDuty: both versions of the events API.

use std::collections::BTreeMap;

use ferula_config::alertmanager::AnyValue;
use ferula_config::alertmanager::receiver::on_call::PagerdutyConfig;

use super::exchange::{Answer, Call, Service, inline_or_file};
use super::fields::Fields;
use super::group_key::hashed;
use super::json::{Object, any};
use super::truncate::to_runes;
use super::{Attempt, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const EVENT_BYTES_MAX: usize = 512_000;
const SUMMARY_RUNES_MAX: usize = 1024;
const FIRST_VERSION: &str = "https://events.pagerduty.com/generic/2010-04-15/create_event.json";

pub(super) struct Pagerduty {
    pub config: PagerdutyConfig,
    pub service: Service,
}

type Details = BTreeMap<String, AnyValue>;

impl Pagerduty {
    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let (config, templates) = (&self.config, &self.service.templates);
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let mut details: Details =
            config.details.iter().map(|(key, value)| (key.clone(), fields.any(value))).collect();
        fields.check("failed to render details: ")?;
        if let Some(error_note) = fields.error_note() {
            details.insert("template_error".to_owned(), AnyValue::Text(error_note));
        }
        let is_first = !config.service_key.is_empty() || !config.service_key_file.is_empty();
        let (call, prefix) = if is_first {
            let call = self.first_version(notification, &data, &mut fields, &details).await?;
            (call, "failed to post message to PagerDuty v1: ")
        } else {
            let call = self.second_version(notification, &data, &mut fields, &details).await?;
            (call, "failed to post message to PagerDuty: ")
        };
        let post = async {
            let answer = self.service.send(notification.record, call).await;
            let answer = answer.map_err(|error| error.prefixed(prefix))?;
            // Version 1 uses 403 where version 2 uses 429: too many requests.
            let retried = if is_first { 403 } else { 429 };
            let checked = answer.check_with(&[retried], &details_of(&answer));
            checked.map_err(|error| if is_first { error.because(Default::default()) } else { error })?;
            Ok(Sent::default())
        };
        let url = if is_first { FIRST_VERSION } else { config.url.as_ref().map_or("", |url| url.as_str()) };
        let limit = config.timeout;
        let timed_out = || {
            let shown = ferula_go::duration::format(limit.0.as_nanos() as i64);
            format!(
                "{prefix}Post \"{url}\": context deadline exceeded: configured pagerduty timeout reached ({shown})"
            )
        };
        self.service.within(limit.0, post, timed_out).await
    }

    async fn first_version(
        &self,
        notification: &Notification<'_>,
        data: &Data,
        fields: &mut Fields<'_>,
        details: &Details,
    ) -> Result<Call, NotifyError> {
        let config = &self.config;
        let description = to_runes(fields.text(&config.description), SUMMARY_RUNES_MAX);
        let key =
            inline_or_file(notification.record, config.service_key.reveal(), &config.service_key_file).await;
        let key = key
            .map_err(|error| NotifyError::fatal(format!("failed to read service key from file: {error}")))?;
        let key = fields.text(&key);
        let (mut client, mut client_url) = (String::new(), String::new());
        if data.is_firing() {
            client = fields.text(&config.client);
            client_url = fields.text(&config.client_url);
        }
        fields.check("failed to template PagerDuty v1 message: ")?;
        if key.is_empty() {
            return Err(NotifyError::fatal("service key cannot be empty"));
        }
        let body = within_size(details, |details| {
            Object::new()
                .filled("service_key", &key)
                .filled("incident_key", &hashed(notification.group_key))
                .filled("event_type", event(data))
                .filled("description", &description)
                .text("event_action", "")
                .raw("payload", "null")
                .filled("client", &client)
                .filled("client_url", &client_url)
                .some("details", details)
                .message()
        });
        Ok(Call::post(FIRST_VERSION, body).secret(&key))
    }

    async fn second_version(
        &self,
        notification: &Notification<'_>,
        data: &Data,
        fields: &mut Fields<'_>,
        details: &Details,
    ) -> Result<Call, NotifyError> {
        let config = &self.config;
        let summary = to_runes(fields.text(&config.description), SUMMARY_RUNES_MAX);
        let key =
            inline_or_file(notification.record, config.routing_key.reveal(), &config.routing_key_file).await;
        let key = key
            .map_err(|error| NotifyError::fatal(format!("failed to read routing key from file: {error}")))?;
        let severity = if config.severity.is_empty() { "error" } else { &config.severity };
        let mut text = |template: &str| fields.text(template);
        let (client, client_url, key) = (text(&config.client), text(&config.client_url), text(&key));
        let [source, severity, class, component, group] =
            [&config.source, severity, &config.class, &config.component, &config.group].map(&mut text);
        let images = config.images.iter().map(|image| {
            let [src, alt, href] = [&image.src, &image.alt, &image.href].map(|template| text(template));
            (!src.is_empty())
                .then(|| Object::new().text("src", &src).text("alt", &alt).text("href", &href).finish())
        });
        let images: Vec<String> = images.flatten().collect();
        let links = config.links.iter().map(|link| {
            let (href, shown) = (text(&link.href), text(&link.text));
            (!href.is_empty()).then(|| Object::new().text("href", &href).text("text", &shown).finish())
        });
        let links: Vec<String> = links.flatten().collect();
        fields.check("failed to template PagerDuty v2 message: ")?;
        if key.is_empty() {
            return Err(NotifyError::fatal("routing key cannot be empty"));
        }
        let body = within_size(details, |details| {
            let payload = Object::new()
                .text("summary", &summary)
                .text("source", &source)
                .text("severity", &severity)
                .filled("class", &class)
                .filled("component", &component)
                .filled("group", &group)
                .some("custom_details", details);
            Object::new()
                .filled("routing_key", &key)
                .filled("dedup_key", &hashed(notification.group_key))
                .text("event_action", event(data))
                .raw("payload", payload.finish())
                .filled("client", &client)
                .filled("client_url", &client_url)
                .list("images", &images)
                .list("links", &links)
                .message()
        });
        let url = config.url.as_ref().map_or("", |url| url.as_str());
        Ok(Call::post(url, body).secret(&key))
    }
}

fn event(data: &Data) -> &'static str {
    if data.is_firing() { "trigger" } else { "resolve" }
}

/// The message with its details, or with a note in their place if it would be too large.
fn within_size(details: &Details, message: impl Fn(Option<String>) -> String) -> String {
    let of = |details: &Details| (!details.is_empty()).then(|| any(&AnyValue::Map(details.clone())));
    let body = message(of(details));
    if body.len() <= EVENT_BYTES_MAX {
        return body;
    }
    let text =
        "Custom details have been removed because the original event exceeds the maximum size of 512KB";
    message(of(&BTreeMap::from([("error".to_owned(), AnyValue::Text(text.to_owned()))])))
}

/// The service's explanation of an error.
fn details_of(answer: &Answer) -> String {
    #[derive(serde::Deserialize)]
    struct ErrorBody {
        #[serde(default)]
        message: String,
        #[serde(default)]
        errors: Vec<String>,
    }
    match serde_json::from_str(&answer.body) {
        Ok(ErrorBody { message, errors }) if answer.status.as_u16() == 400 => {
            format!("{message}: {}", errors.join(","))
        }
        _ => String::new(),
    }
}

impl Notifier for Pagerduty {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
