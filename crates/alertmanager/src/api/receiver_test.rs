//! `POST /api/v2/receivers/{name}/test`: a marked test notification through the real path of a receiver, if enabled.

use serde_json::Value;

use super::answer::{Answer, Json, Status};
use super::{Api, body};
use crate::blocking::blocking;
use crate::receiver::trial;
use crate::route::Labels;

impl Api {
    /// Allows clients to send test notifications.
    pub fn with_receiver_tests(self) -> Self {
        Api { tests_receivers: true, ..self }
    }

    /// The body may have `dryRun` and the `labels` of the alert. Answers with requests and answers, secrets masked.
    pub(super) fn test_receiver(&self, name: &str, bytes: &[u8]) -> Result<Answer, Answer> {
        if !self.tests_receivers {
            let text = "tests of receivers are switched off (--web.enable-receiver-tests)";
            return Err(Answer::text(Status::Forbidden, text));
        }
        let Value::Object(object) = body::read(bytes, "test")? else {
            return Err(body::failed("test", "it is no object"));
        };
        let failed = |why: String| body::failed("test", &why);
        let is_dry = body::boolean(&object, "dryRun", "Test").map_err(failed)?.unwrap_or(false);
        let labels = body::pairs(&object, "labels", "Test").map_err(failed)?.unwrap_or_default();
        let labels: Labels = labels.into_iter().collect();
        let integrations = self.alertmanager.read(|engine, _| engine.setup().receivers.get(name).cloned());
        let integrations =
            integrations.ok_or_else(|| Answer::text(Status::NotFound, "no route uses this receiver"))?;
        let clock = self.alertmanager.clock().clone();
        let trials = blocking(trial(name, &integrations, &labels, &clock, is_dry));
        let mut json = Json::default();
        json.list(&trials, |json, trial| {
            json.object(|json| {
                json.key("integration").text(&trial.integration);
                match &trial.result {
                    Ok(()) => json.key("outcome").text(if is_dry { "not sent" } else { "sent" }),
                    Err(error) => {
                        json.key("outcome").text("failed");
                        json.key("error").text(&error.text);
                    }
                }
                json.key("templateErrors").list(&trial.faults, |json, fault| {
                    json.pairs([("field", fault.field.as_str()), ("error", fault.error.as_str())]);
                });
                json.key("exchanges").list(&trial.exchanges, |json, exchange| {
                    json.object(|json| {
                        json.key("method").text(&exchange.method);
                        json.key("url").text(&exchange.url);
                        json.key("body").text(&exchange.body);
                        if let Some(answer) = &exchange.answer {
                            json.key("answer").text(answer);
                        }
                    });
                });
            });
        });
        Ok(Answer::json(json.0))
    }
}
