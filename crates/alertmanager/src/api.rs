//! The HTTP API, version 2, as a function from request to answer. Sockets and tasks belong to the binary.
//!
//! Status codes, texts, the order of checks and the order of keys are Alertmanager's. Two paths are our own:
//! `alerts/{fingerprint}/explain` and `notifications`.

mod alerts;
mod answer;
mod body;
mod build;
mod explain;
mod metrics;
mod pair;
mod params;
mod posted;
mod receiver_test;
mod silence_extras;
mod silences;
mod status;

use std::sync::Arc;

use ferula_config::alertmanager::MatcherSyntax;
use ferula_model::UnixNanos;
use ferula_telemetry::Registry;

pub use self::answer::{Answer, Status};
pub use self::build::Build;
use self::metrics::AlertMetrics;
use crate::run::Alertmanager;

/// The parts of a request that the API uses.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// The path below the route prefix: `/api/v2/alerts`.
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
    pub content_type: Option<&'a str>,
    pub accept: Option<&'a str>,
    pub body: &'a [u8],
    /// The authenticated user who sent the request, if authentication is on.
    pub user: Option<&'a str>,
}

/// The API of an Alertmanager.
pub struct Api {
    alertmanager: Arc<Alertmanager>,
    syntax: MatcherSyntax,
    build: Build,
    started: UnixNanos,
    metrics: AlertMetrics,
    tests_receivers: bool,
}

/// A path of the API with its allowed methods.
enum Route<'a> {
    Status,
    Receivers,
    Alerts,
    Groups,
    Silences,
    Silence(&'a str),
    SilenceHistory(&'a str),
    SilencePreview,
    TestReceiver(&'a str),
    Explain(&'a str),
    Notifications,
    Routes,
    MatchRoutes,
    Warnings,
    Pair,
}

impl Route<'_> {
    fn of(path: &str) -> Option<Route<'_>> {
        let below = path.strip_prefix("/api/v2/")?;
        Some(match below {
            "status" => Route::Status,
            "receivers" => Route::Receivers,
            "alerts" => Route::Alerts,
            "alerts/groups" => Route::Groups,
            "silences" => Route::Silences,
            "notifications" => Route::Notifications,
            "silences/preview" => Route::SilencePreview,
            "routes" => Route::Routes,
            "routes/match" => Route::MatchRoutes,
            "warnings" => Route::Warnings,
            "pair" => Route::Pair,
            _ => match below.split_once('/')? {
                ("silence", id) if !id.is_empty() && !id.contains('/') => Route::Silence(id),
                ("receivers", rest) => Route::TestReceiver(rest.strip_suffix("/test")?),
                ("silence", rest) => Route::SilenceHistory(rest.strip_suffix("/history")?),
                ("alerts", rest) => Route::Explain(rest.strip_suffix("/explain")?),
                _ => return None,
            },
        })
    }

    fn methods(&self) -> &'static str {
        match self {
            Route::Alerts | Route::Silences => "GET,POST",
            Route::Silence(_) => "DELETE,GET",
            Route::SilencePreview | Route::Pair | Route::TestReceiver(_) => "POST",
            _ => "GET",
        }
    }
}

impl Api {
    /// Creates the API. `build` is shown in `/api/v2/status`.
    pub fn new(
        alertmanager: Arc<Alertmanager>,
        syntax: MatcherSyntax,
        build: Build,
        registry: &Registry,
    ) -> Self {
        let started = alertmanager.now();
        Api {
            alertmanager,
            syntax,
            build,
            started,
            metrics: AlertMetrics::new(registry),
            tests_receivers: false,
        }
    }

    /// Answers a request for a path below `/api/v2/`. Large answers take long, so do not call it on an async
    /// thread.
    pub fn answer(&self, request: &Request<'_>) -> Answer {
        let Some(route) = Route::of(request.path) else {
            return Answer::refused(Status::NotFound, &format!("path {} was not found", request.path));
        };
        let allowed = route.methods();
        if !allowed.split(',').any(|method| method == request.method) {
            let text = format!("method {} is not allowed, but [{allowed}] are", request.method);
            return Answer::refused(Status::MethodNotAllowed, &text).with_allow(allowed);
        }
        if !accepts_json(request.accept) {
            let text = "unsupported media type requested, only [application/json] are available";
            return Answer::refused(Status::NotAcceptable, text);
        }
        let is_pair = matches!(route, Route::Pair);
        if request.method == "POST"
            && !is_pair
            && let Some(refused) = refused_type(request)
        {
            return refused;
        }
        let result = match (route, request.method) {
            (Route::Status, _) => Ok(self.status()),
            (Route::Receivers, _) => self.receivers(request.query),
            (Route::Alerts, "POST") => self.post_alerts(request.body),
            (Route::Alerts, _) => self.alerts(request.query),
            (Route::Groups, _) => self.groups(request.query),
            (Route::Silences, "POST") => self.post_silence(request),
            (Route::Silences, _) => self.silences(request.query),
            (Route::Silence(id), "DELETE") => self.expire_silence(id, request.user),
            (Route::Silence(id), _) => self.silence(id),
            (Route::SilenceHistory(id), _) => self.silence_history(id),
            (Route::SilencePreview, _) => self.preview_silence(request.body),
            (Route::TestReceiver(name), _) => {
                let name = ferula_go::url::path_unescape(name).unwrap_or_else(|_| name.to_owned());
                self.test_receiver(&name, request.body)
            }
            (Route::Explain(fingerprint), _) => self.explain(fingerprint, request.query),
            (Route::Notifications, _) => self.notifications(request.query),
            (Route::Routes, _) => Ok(self.routes()),
            (Route::MatchRoutes, _) => self.match_routes(request.query),
            (Route::Warnings, _) => Ok(self.warnings()),
            (Route::Pair, _) => self.pair(request.body),
        };
        result.unwrap_or_else(|refused| refused)
    }
}

/// Whether a client accepts JSON; the weights of `Accept` are ignored.
fn accepts_json(accept: Option<&str>) -> bool {
    let types = accept.unwrap_or("*/*").split(',').map(|range| range.split(';').next().unwrap_or("").trim());
    types.into_iter().any(|range| matches!(range, "" | "*/*" | "application/*" | "application/json"))
}

/// The answer to a body that is declared as something other than JSON.
fn refused_type(request: &Request<'_>) -> Option<Answer> {
    let given = match request.content_type {
        None | Some("") => "application/octet-stream",
        Some(given) => given.split(';').next().unwrap_or("").trim(),
    };
    if given.eq_ignore_ascii_case("application/json") || request.body.is_empty() {
        return None;
    }
    let given = ferula_go::quote::go_quote(given);
    let text = format!("unsupported media type {given}, only [application/json] are allowed");
    Some(Answer::refused(Status::UnsupportedMediaType, &text))
}

#[cfg(test)]
mod tests;
