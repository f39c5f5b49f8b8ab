//! `write`, the receiver of remote write, and its neighbours `read` and `otlp/v1/metrics`, which this build refuses.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use ferula_telemetry::error;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::answer::{status_only, text_error};
use crate::api::Api;
use crate::request::Request;

const MEDIA_TYPE: &str = "application/x-protobuf";
const MESSAGE_V1: &str = "prometheus.WriteRequest";
const MESSAGE_V2: &str = "io.prometheus.write.v2.Request";

/// `/api/v1/write`
pub fn write(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        if !api.settings.remote_write {
            return text_error(
                StatusCode::NOT_FOUND,
                "remote write receiver needs to be enabled with --web.enable-remote-write-receiver",
            );
        }
        let message = match check_headers(&request) {
            Ok(message) => message,
            Err(why) => {
                error!("Error decoding remote write request", err = why);
                return text_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &why);
            }
        };
        match tokio::task::spawn_blocking(move || store(&api, &request, message)).await {
            Ok(response) => response,
            Err(err) => {
                error!("panic while storing a remote write request", err = err);
                text_error(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
            }
        }
    }
    .boxed()
}

/// `/api/v1/read`
pub fn read(_: Arc<Api>, _: Request) -> BoxFuture<'static, Response<Body>> {
    std::future::ready(text_error(StatusCode::NOT_IMPLEMENTED, "not supported yet: remote read")).boxed()
}

/// `/api/v1/otlp/v1/metrics`
pub fn otlp(_: Arc<Api>, _: Request) -> BoxFuture<'static, Response<Body>> {
    let refusal = text_error(
        StatusCode::NOT_FOUND,
        "otlp write receiver needs to be enabled with --web.enable-otlp-receiver",
    );
    std::future::ready(refusal).boxed()
}

/// Which of the two messages the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// Remote write 1.0
    V1,
    /// Remote write 2.0
    V2,
}

fn check_headers(request: &Request) -> Result<Message, String> {
    match request.header(header::CONTENT_ENCODING) {
        "" | "snappy" => {}
        other => {
            return Err(format!(
                "{other} encoding (compression) is not accepted by this server; only snappy is acceptable"
            ));
        }
    }
    message_of(request.header(header::CONTENT_TYPE).trim())
}

/// Which message a content type announces. Without one it is the old message, as before there were two.
fn message_of(content_type: &str) -> Result<Message, String> {
    if content_type.is_empty() {
        return Ok(Message::V1);
    }
    let mut parts = content_type.split(';');
    if parts.next() != Some(MEDIA_TYPE) {
        return Err(format!(
            "expected {MEDIA_TYPE} as the first (media) part, got {content_type} content-type"
        ));
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=').filter(|(_, value)| !value.contains('=')) else {
            return Err(format!(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in {content_type} content-type"
            ));
        };
        if name == "proto" {
            return match value {
                MESSAGE_V1 => Ok(Message::V1),
                MESSAGE_V2 => Ok(Message::V2),
                other => Err(format!(
                    "got {content_type} content type; unknown type for remote write protobuf message {other}, supported: {MESSAGE_V1}, {MESSAGE_V2}"
                )),
            };
        }
    }
    Ok(Message::V1)
}

fn store(api: &Api, request: &Request, message: Message) -> Response<Body> {
    let store = match api.store() {
        Ok(store) => store,
        Err(error) => return text_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let (store, now) = (&*store.appendable, api.clock.now());
    let written = match message {
        Message::V1 => api.write.write(store, &request.body, now).map(|_| None),
        Message::V2 => api.write.write_v2(store, &request.body, now).map(Some),
    };
    let mut response = match &written {
        Ok(Some(written)) if !written.refused.is_empty() => {
            let why = written.refused.join("\n");
            error!(
                "Samples of a remote write request were refused",
                refused = written.refused.len(),
                first = written.refused[0]
            );
            text_error(StatusCode::BAD_REQUEST, &why)
        }
        Ok(_) => status_only(StatusCode::NO_CONTENT),
        Err(error) if error.is_senders() => {
            error!("Error decoding or storing a remote write request", err = error);
            text_error(StatusCode::BAD_REQUEST, &error.to_string())
        }
        Err(error) => {
            error!("Error while storing the remote write request", err = error);
            text_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    };
    if message == Message::V2 {
        let written = written.unwrap_or_default().unwrap_or_default();
        for (name, count) in [
            ("x-prometheus-remote-write-samples-written", written.samples),
            ("x-prometheus-remote-write-histograms-written", written.histograms),
            ("x-prometheus-remote-write-exemplars-written", written.exemplars),
        ] {
            response.headers_mut().insert(name, count.into());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_name_the_message() {
        for (content_type, want) in [
            ("", Ok(Message::V1)),
            ("application/x-protobuf", Ok(Message::V1)),
            ("application/x-protobuf;proto=prometheus.WriteRequest", Ok(Message::V1)),
            ("application/x-protobuf;proto=io.prometheus.write.v2.Request", Ok(Message::V2)),
            (
                "text/plain",
                Err("expected application/x-protobuf as the first (media) part, got text/plain content-type"),
            ),
        ] {
            assert_eq!(message_of(content_type), want.map_err(str::to_owned));
        }
        assert!(message_of("application/x-protobuf;proto=x").is_err());
        assert!(message_of("application/x-protobuf;charset").is_err());
    }
}
