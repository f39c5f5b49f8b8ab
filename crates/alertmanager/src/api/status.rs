//! `/api/v2/status` and `/api/v2/receivers`.

use super::Api;
use super::answer::{Answer, Json};
use super::params::Params;

impl Api {
    pub(super) fn status(&self) -> Answer {
        let config = self.alertmanager.read(|engine, _| engine.setup().config.clone());
        let mut json = Json::default();
        json.object(|json| {
            json.key("cluster").object(|json| {
                json.key("peers").list(std::iter::empty::<()>(), |_, ()| {});
                json.key("status").text("disabled");
            });
            json.key("config").pairs([("original", config.to_yaml().as_str())]);
            json.key("uptime").text(&self.started.rfc3339_millis());
            json.key("versionInfo").pairs([
                ("branch", self.build.branch.as_str()),
                ("buildDate", self.build.build_date.as_str()),
                ("buildUser", self.build.build_user.as_str()),
                ("goVersion", self.build.go_version.as_str()),
                ("revision", self.build.revision.as_str()),
                ("version", self.build.version.as_str()),
            ]);
        });
        Answer::json(json.0)
    }

    pub(super) fn receivers(&self, query: &str) -> Result<Answer, Answer> {
        let prefix = "failed to parse receiver_matchers param: ";
        let matchers = Params::new(query).matchers("receiver_matchers", self.syntax, prefix)?;
        let config = self.alertmanager.read(|engine, _| engine.setup().config.clone());
        let shown = config.receivers.iter().filter(|receiver| {
            let value = |label: &str| receiver.labels.get(label).map_or("", String::as_str);
            matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
        });
        let mut json = Json::default();
        json.list(shown, |json, receiver| {
            json.object(|json| {
                json.key("labels")
                    .pairs(receiver.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                json.key("name").text(&receiver.name);
            });
        });
        Ok(Answer::json(json.0))
    }
}
