//! `POST /api/v2/pair`: receives messages of the other member of a pair.

use super::Api;
use super::answer::{Answer, Json, Status};
use crate::pair::read_request;

impl Api {
    pub(super) fn pair(&self, body: &[u8]) -> Result<Answer, Answer> {
        let own_name = self.alertmanager.read(|engine, now| engine.pair_view(now).map(|view| view.name));
        let own_name = own_name.ok_or_else(|| {
            Answer::text(Status::NotFound, "this server is no member of a pair (--pair.peer)")
        })?;
        let (name, messages) =
            read_request(body).map_err(|error| Answer::text(Status::BadRequest, &error.to_string()))?;
        if name == own_name {
            let text = "both members of the pair have the same name (--pair.name)";
            return Err(Answer::text(Status::Conflict, text));
        }
        self.alertmanager.change(|engine, now| engine.take_from_peer(&name, messages, now));
        let mut json = Json::default();
        json.pairs([("name", own_name.as_str())]);
        Ok(Answer::json(json.0))
    }
}
