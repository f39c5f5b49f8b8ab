//! `/api/v2/silences` and `/api/v2/silence/{id}`.

use ferula_config::alertmanager::{MatchOp, Matcher};
use ferula_go::quote::go_quote;
use ferula_model::UnixNanos;
use ferula_telemetry::error;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;

use super::answer::{Answer, Json, Status};
use super::params::Params;
use super::{Api, Request, body};
use crate::silence::{Silence, SilenceError, SilenceState};
use crate::time::Time;

/// Matchers before they are compiled: name, operator, value.
type GivenMatchers = Vec<(String, MatchOp, String)>;

impl Api {
    pub(super) fn silences(&self, query: &str) -> Result<Answer, Answer> {
        let params = Params::new(query);
        let filters = params.matchers("filter", self.syntax, "")?;
        // A repeating silence is pending outside its time interval.
        let mut silences = self.alertmanager.read(|engine, now| {
            let all = engine.silences().all().into_iter().filter(|silence| has_matchers(silence, &filters));
            all.map(|silence| {
                (silence.clone(), shown_state(engine.silence_state(silence, now), silence, now))
            })
            .collect::<Vec<_>>()
        });
        silences.retain(|(_, state)| params.is_on(state.as_str()));
        silences.sort_by_key(|(silence, state)| {
            let by_time = match state {
                SilenceState::Active => silence.ends_at.0,
                SilenceState::Pending => silence.starts_at.0,
                SilenceState::Expired => -silence.ends_at.0,
            };
            (*state, by_time)
        });
        let mut json = Json::default();
        json.list(&silences, |json, (silence, state)| write_silence(json, silence, *state));
        Ok(Answer::json(json.0))
    }

    pub(super) fn silence(&self, id: &str) -> Result<Answer, Answer> {
        check_uuid(id)?;
        let found = self.alertmanager.read(|engine, now| {
            let silence = engine.silences().get(id)?;
            Some((silence.clone(), shown_state(engine.silence_state(silence, now), silence, now)))
        });
        let (silence, state) = found.ok_or_else(|| Answer::empty(Status::NotFound))?;
        let mut json = Json::default();
        write_silence(&mut json, &silence, state);
        Ok(Answer::json(json.0))
    }

    pub(super) fn expire_silence(&self, id: &str, user: Option<&str>) -> Result<Answer, Answer> {
        check_uuid(id)?;
        match self.alertmanager.change(|engine, now| engine.expire_silence(id, user.unwrap_or_default(), now))
        {
            Ok(()) => Ok(Answer::empty(Status::Ok)),
            Err(_) => Err(Answer::empty(Status::NotFound)),
        }
    }

    pub(super) fn post_silence(&self, request: &Request<'_>) -> Result<Answer, Answer> {
        let (mut silence, matchers) = read_silence(&body::read(request.body, "silence")?)?;
        let refuse = |status: Status, text: &str| {
            error!("Failed to create silence", component = "api", version = "v2", err = text);
            Err(Answer::text(status, text))
        };
        if silence.starts_at >= silence.ends_at {
            return refuse(
                Status::BadRequest,
                "Failed to create silence: start time must be before end time",
            );
        }
        if silence.ends_at < self.alertmanager.now() {
            return refuse(Status::BadRequest, "Failed to create silence: end time can't be in the past");
        }
        let compiled: Result<Vec<Matcher>, SilenceError> = matchers
            .iter()
            .enumerate()
            .map(|(at, (name, op, value))| Silence::matcher(at, name, *op, value))
            .collect();
        let set = compiled.and_then(|matchers| {
            silence.matcher_sets = vec![matchers];
            // The user who is logged in, otherwise the creator named in the silence.
            let by = request.user.unwrap_or(&silence.created_by).to_owned();
            self.alertmanager.change(|engine, now| engine.set_silence(silence, new_id, &by, now))
        });
        match set {
            Ok(id) => {
                let mut json = Json::default();
                json.pairs([("silenceID", id.as_str())]);
                Ok(Answer::json(json.0))
            }
            Err(SilenceError::NotFound) => refuse(Status::NotFound, "silence not found"),
            Err(error) => refuse(Status::BadRequest, &error.to_string()),
        }
    }
}

fn new_id() -> String {
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).expect("the system has random numbers");
    ferula_go::hex::uuid(random)
}

pub(super) fn check_uuid(id: &str) -> Result<(), Answer> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pieces: Vec<&str> = id.split('-').collect();
    let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
    if is_hex(&id.replace('-', "")) && (lengths == [8, 4, 4, 4, 12] || lengths == [32]) {
        return Ok(());
    }
    let text = format!("silenceID in path must be of type uuid: {}", go_quote(id));
    Err(Answer::invalid(601, &text))
}

/// Whether each filter equals one of the matchers.
fn has_matchers(silence: &Silence, filters: &[Matcher]) -> bool {
    silence.matcher_sets.iter().any(|set| filters.iter().all(|filter| set.contains(filter)))
}

/// The state that the API shows: at the exact moment of its end, a silence counts as expired.
fn shown_state(state: SilenceState, silence: &Silence, now: UnixNanos) -> SilenceState {
    if now == silence.ends_at { SilenceState::Expired } else { state }
}

fn write_silence(json: &mut Json, silence: &Silence, state: SilenceState) {
    json.object(|json| {
        json.key("id").text(&silence.id);
        json.key("status").pairs([("state", state.as_str())]);
        json.key("updatedAt").text(&silence.updated_at.rfc3339_millis());
        if !silence.annotations.is_empty() {
            let pairs = silence.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            json.key("annotations").pairs(pairs);
        }
        json.key("comment").text(&silence.comment);
        json.key("createdBy").text(&silence.created_by);
        json.key("endsAt").text(&silence.ends_at.rfc3339_millis());
        json.key("matchers").list(silence.matcher_sets.first().into_iter().flatten(), |json, matcher| {
            let (is_equal, is_regexp) = match matcher.op() {
                MatchOp::Equal => (true, false),
                MatchOp::NotEqual => (false, false),
                MatchOp::Regexp => (true, true),
                MatchOp::NotRegexp => (false, true),
            };
            json.object(|json| {
                json.key("isEqual").plain(is_equal);
                json.key("isRegex").plain(is_regexp);
                json.key("name").text(matcher.name());
                json.key("value").text(matcher.value());
            });
        });
        json.key("startsAt").text(&silence.starts_at.rfc3339_millis());
    });
}

/// Parses a silence, and its matchers separately. Type errors come before missing fields, in Alertmanager's
/// order.
fn read_silence(body: &Value) -> Result<(Silence, GivenMatchers), Answer> {
    let empty = serde_json::Map::new();
    let object = match body {
        Value::Null => &empty,
        Value::Object(object) => object,
        other => {
            let wanted = "struct { ID string \"json:\\\"id,omitempty\\\"\" }";
            return Err(body::failed("silence", &body::wrong_type(other, "", wanted)));
        }
    };
    let failed = |why: String| body::failed("silence", &why);
    let text = |key: &str| body::text(object, key, "Silence").map_err(failed);
    let time = |key: &str| body::time(object, key, "Silence").map_err(failed);
    let (id, comment, created_by) = (text("id")?, text("comment")?, text("createdBy")?);
    let (ends_at, starts_at) = (time("endsAt")?, time("startsAt")?);
    let annotations = body::pairs(object, "annotations", "Silence").map_err(failed)?;
    let matchers = read_matchers(object).map_err(failed)?;
    let missing = |what: &str| Answer::invalid(602, &format!("{what} in body is required"));
    let comment = comment.ok_or_else(|| missing("comment"))?;
    let created_by = created_by.ok_or_else(|| missing("createdBy"))?;
    let ends_at = ends_at.ok_or_else(|| missing("endsAt"))?;
    let matchers = matchers.ok_or_else(|| missing("matchers"))?;
    let given = given_matchers(matchers)?;
    let starts_at = starts_at.ok_or_else(|| missing("startsAt"))?;
    let nanos = |time: Time| UnixNanos(time.unix_nanos());
    let silence = Silence {
        id: id.unwrap_or_default(),
        starts_at: nanos(starts_at),
        ends_at: nanos(ends_at),
        created_by,
        comment,
        annotations: annotations.unwrap_or_default().into_iter().collect(),
        ..Silence::default()
    };
    Ok((silence, given))
}

/// Matchers with all required fields.
fn given_matchers(matchers: Vec<Option<PostedMatcher>>) -> Result<GivenMatchers, Answer> {
    if matchers.is_empty() {
        return Err(Answer::invalid(612, "matchers in body should have at least 1 items"));
    }
    let mut given = Vec::with_capacity(matchers.len());
    for (at, matcher) in matchers.into_iter().enumerate() {
        let missing = |what: &str| Answer::invalid(602, &format!("matchers.{at}{what} in body is required"));
        // Alertmanager closes the connection here.
        let matcher = matcher.ok_or_else(|| missing(""))?;
        let is_regexp = matcher.is_regexp.ok_or_else(|| missing(".isRegex"))?;
        let name = matcher.name.ok_or_else(|| missing(".name"))?;
        let value = matcher.value.ok_or_else(|| missing(".value"))?;
        let op = match (matcher.is_equal.unwrap_or(true), is_regexp) {
            (true, false) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regexp,
            (false, true) => MatchOp::NotRegexp,
        };
        given.push((name, op, value));
    }
    Ok(given)
}

/// The matchers of a body, compiled.
pub(super) fn compiled_matchers(
    object: &serde_json::Map<String, Value>,
    what: &str,
) -> Result<Vec<Matcher>, Answer> {
    let matchers = read_matchers(object).map_err(|why| body::failed(what, &why))?;
    let matchers = matchers.ok_or_else(|| Answer::invalid(602, "matchers in body is required"))?;
    let given = given_matchers(matchers)?;
    let compiled =
        given.iter().enumerate().map(|(at, (name, op, value))| Silence::matcher(at, name, *op, value));
    compiled.collect::<Result<_, _>>().map_err(|error| Answer::text(Status::BadRequest, &error.to_string()))
}

#[derive(Default)]
struct PostedMatcher {
    name: Option<String>,
    value: Option<String>,
    is_regexp: Option<bool>,
    is_equal: Option<bool>,
}

fn read_matchers(
    object: &serde_json::Map<String, Value>,
) -> Result<Option<Vec<Option<PostedMatcher>>>, String> {
    let items = match body::get(object, "matchers") {
        None => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(other) => return Err(body::wrong_type(other, "Silence.matchers", "models.Matchers")),
    };
    let mut matchers = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let owner = format!("Silence.matchers.{at}");
        matchers.push(match item {
            Value::Null => None,
            Value::Object(matcher) => Some(PostedMatcher {
                name: body::text(matcher, "name", &owner)?,
                value: body::text(matcher, "value", &owner)?,
                is_regexp: body::boolean(matcher, "isRegex", &owner)?,
                is_equal: body::boolean(matcher, "isEqual", &owner)?,
            }),
            other => return Err(body::wrong_type(other, &owner, "models.Matcher")),
        });
    }
    Ok(Some(matchers))
}
