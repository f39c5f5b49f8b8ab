//! `/api/v2/status` and `/api/v2/receivers`.

use super::Api;
use super::answer::{Answer, Json};
use super::params::Params;
use crate::engine::PairView;

/// A pair is shown as a cluster of two, ready if both can be reached.
fn write_cluster(json: &mut Json, pair: Option<&PairView>) {
    let Some(pair) = pair else {
        json.key("peers").list(std::iter::empty::<()>(), |_, ()| {});
        json.key("status").text("disabled");
        return;
    };
    let other = pair.other.as_deref().filter(|_| pair.is_present);
    let peers = std::iter::once(pair.name.as_str()).chain(other);
    json.key("name").text(&pair.name);
    json.key("peers").list(peers, |json, name| json.pairs([("address", name), ("name", name)]));
    json.key("status").text(if pair.is_present { "ready" } else { "settling" });
}

impl Api {
    pub(super) fn status(&self) -> Answer {
        let (config, pair) =
            self.alertmanager.read(|engine, now| (engine.setup().config.clone(), engine.pair_view(now)));
        let mut json = Json::default();
        json.object(|json| {
            json.key("cluster").object(|json| write_cluster(json, pair.as_ref()));
            json.key("config").pairs([("original", config.to_yaml().as_str())]);
            // Fields that Alertmanager does not have are shown only if something is wrong, or for a member of a pair.
            if !self.alertmanager.is_journal_open() {
                json.key("ferula")
                    .pairs([("journal", "the disk refuses changes: a crash now would lose them")]);
            }
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
