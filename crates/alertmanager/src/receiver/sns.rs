//! Amazon SNS: a signed form.

use std::collections::BTreeMap;

use ferula_config::alertmanager::receiver::other::SnsConfig;
use ferula_http_client::aws::{Aws, Settings};
use ferula_http_client::header::CONTENT_TYPE;
use ferula_http_client::{HttpClient, Method};

use super::address::encode;
use super::exchange::{Answer, Call, Service};
use super::fields::Fields;
use super::group_key::hashed;
use super::{Attempt, FailureReason, Notification, Notifier, NotifyError, Sent};
use crate::template::Data;

const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Maximum size of a text message.
const SMS_BYTES_MAX: usize = 1600;

pub(super) struct Sns {
    pub config: SnsConfig,
    pub service: Service,
    pub aws: Aws,
}

impl Sns {
    pub fn new(config: SnsConfig, service: Service, client: HttpClient) -> Self {
        let settings = Settings::from(&config.sigv4);
        Sns { config, service, aws: Aws::new(settings, client) }
    }

    async fn attempt(&self, notification: &Notification<'_>) -> Result<Sent, NotifyError> {
        let templates = &self.service.templates;
        let data = Data::of(notification, usize::MAX, templates.external_url());
        let mut fields = Fields::new(templates, &data, notification);
        let url = checked(&mut fields, &self.config.api_url, "api_url")?;
        let form = self.form(notification, &mut fields)?;
        let url = match url.as_str() {
            "" if notification.record.reads_no_files() => String::new(),
            "" => {
                let url = self.aws.service_url("sns").await;
                url.map_err(|error| NotifyError::passing(error.to_string()))?
            }
            url => url.to_owned(),
        };
        let url = if url.ends_with('/') { url } else { format!("{url}/") };
        let call = Call::new(Method::POST, url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(&form))
            .signed(self.aws.clone(), "sns");
        let answer = self.service.send(notification.record, call).await?;
        let checked = answer.check_with(&[], &message_of(&answer));
        if checked.as_ref().is_err_and(|error| !error.retry) {
            // Keys may have been replaced.
            self.aws.forget_credentials().await;
        }
        checked.map(|()| Sent::default())
    }

    /// The form that is posted.
    fn form(
        &self,
        notification: &Notification<'_>,
        fields: &mut Fields<'_>,
    ) -> Result<Vec<(String, String)>, NotifyError> {
        let config = &self.config;
        let mut attributes = BTreeMap::new();
        for (name, value) in &config.attributes {
            let name = checked(fields, name, "attributes")?;
            attributes.insert(name, checked(fields, value, "attributes")?);
        }
        let mut form =
            BTreeMap::from([("Action", "Publish".to_owned()), ("Version", "2010-03-31".to_owned())]);
        let mut limit = MESSAGE_BYTES_MAX;
        if !config.topic_arn.is_empty() {
            let topic = checked(fields, &config.topic_arn, "topic_arn")?;
            if topic.ends_with(".fifo") {
                form.insert("MessageDeduplicationId", hashed(notification.group_key));
                form.insert("MessageGroupId", hashed(notification.group_key));
            }
            form.insert("TopicArn", topic);
        }
        if !config.phone_number.is_empty() {
            form.insert("PhoneNumber", checked(fields, &config.phone_number, "phone_number")?);
            limit = SMS_BYTES_MAX;
        }
        if !config.target_arn.is_empty() {
            form.insert("TargetArn", checked(fields, &config.target_arn, "target_arn")?);
        }
        let mut message = checked(fields, &config.message, "message")?;
        if message.len() > limit {
            message.truncate(message.floor_char_boundary(limit));
            attributes.insert("truncated".to_owned(), "true".to_owned());
        }
        form.insert("Message", message);
        if !config.subject.is_empty() {
            form.insert("Subject", checked(fields, &config.subject, "subject")?);
        }
        fields.check("")?;
        let mut form: Vec<(String, String)> =
            form.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        for (index, (name, value)) in attributes.into_iter().enumerate() {
            let entry = format!("MessageAttributes.entry.{}", index + 1);
            form.push((format!("{entry}.Name"), name));
            form.push((format!("{entry}.Value.DataType"), "String".to_owned()));
            form.push((format!("{entry}.Value.StringValue"), value));
        }
        Ok(form)
    }
}

/// Renders a field. As in Alertmanager, an error here is retried.
fn checked(fields: &mut Fields<'_>, template: &str, name: &str) -> Result<String, NotifyError> {
    fields.checked(template, &format!("execute '{name}' template: ")).map_err(|error| NotifyError {
        retry: true,
        reason: FailureReason::ClientError,
        ..error
    })
}

/// The service's explanation in a refusal.
fn message_of(answer: &Answer) -> String {
    let inner = |name: &str| {
        let rest = answer.body.split_once(&format!("<{name}>"))?.1;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    inner("Message").unwrap_or_default()
}

impl Notifier for Sns {
    fn notify<'a>(&'a self, notification: &'a Notification<'a>) -> Attempt<'a> {
        Box::pin(self.attempt(notification))
    }
}
