//! Our own endpoints about silences: what one would cover, and who changed it.

use std::time::Duration;

use serde_json::Value;

use super::alerts::write_alert;
use super::answer::{Answer, Json, Status};
use super::silences::{check_uuid, compiled_matchers};
use super::{Api, body};
use crate::engine::SilenceChange;
use crate::stored_alert::fingerprint;

/// Days that a preview looks back by default.
const DAYS: f64 = 7.0;

impl Api {
    /// `POST /api/v2/silences/preview`: the alerts that a silence with these matchers would cover now, and those that it would
    /// have covered in the last days.
    pub(super) fn preview_silence(&self, bytes: &[u8]) -> Result<Answer, Answer> {
        let Value::Object(object) = body::read(bytes, "preview")? else {
            return Err(body::failed("preview", "it is no object"));
        };
        let matchers = compiled_matchers(&object, "preview")?;
        let days = match body::get(&object, "days") {
            None => DAYS,
            Some(value) => value
                .as_f64()
                .filter(|days| (0.0..=3650.0).contains(days))
                .ok_or_else(|| body::failed("preview", "days is no number of days"))?,
        };
        let (mut preview, history, since) = self.alertmanager.read(|engine, now| {
            let since = now.minus(Duration::from_secs_f64(days * 86_400.0));
            (engine.preview_silence(&matchers, since, now), engine.history().past_alerts(), since)
        });
        preview.add_past(&history, &matchers, since);
        let mut json = Json::default();
        json.object(|json| {
            json.key("now").list(&preview.now, |json, view| write_alert(json, view, &[]));
            json.key("past").list(&preview.past, |json, alert| {
                json.object(|json| {
                    json.key("labels").pairs(alert.labels.iter());
                    json.key("fingerprint").text(&format!("{:016x}", fingerprint(&alert.labels)));
                    json.key("startsAt").text(&alert.starts_at.rfc3339_millis());
                    json.key("endsAt").text(&alert.ends_at.rfc3339_millis());
                });
            });
        });
        Ok(Answer::json(json.0))
    }

    /// `/api/v2/silence/{id}/history`: its changes, latest first.
    pub(super) fn silence_history(&self, id: &str) -> Result<Answer, Answer> {
        check_uuid(id)?;
        let history = self.alertmanager.read(|engine, _| engine.history().decisions());
        let changes: Vec<SilenceChange> =
            history.silence_changes().filter(|change| change.id == id).collect();
        if changes.is_empty() && self.alertmanager.read(|engine, _| engine.silences().get(id).is_none()) {
            return Err(Answer::empty(Status::NotFound));
        }
        let mut json = Json::default();
        json.list(&changes, |json, change| {
            json.object(|json| {
                json.key("at").text(&change.at.rfc3339_millis());
                json.key("action").text(&change.action);
                json.key("by").text(&change.by);
                if !change.before.is_empty() {
                    json.key("before").text(&change.before);
                }
                json.key("after").text(&change.after);
            });
        });
        Ok(Answer::json(json.0))
    }
}
