//! `write`, the receiver of remote write, and its neighbours `read` and `otlp/v1/metrics`, which this build refuses.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use ferula_remote::write::headers::{Encoding, Message};
use ferula_telemetry::error;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::answer::{status_only, text_error};
use crate::api::Api;
use crate::request::Request;

/// `/api/v1/write`
pub fn write(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        if !api.settings.remote_write {
            return text_error(
                StatusCode::NOT_FOUND,
                "remote write receiver needs to be enabled with --web.enable-remote-write-receiver",
            );
        }
        let (content_type, encoding) =
            (request.header(header::CONTENT_TYPE), request.header(header::CONTENT_ENCODING));
        let announced = match api.settings.remote_write_features.accepted.check(content_type, encoding) {
            Ok(announced) => announced,
            Err(why) => {
                error!("Error decoding remote write request", err = why);
                return text_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &why.to_string());
            }
        };
        match tokio::task::spawn_blocking(move || store(&api, &request, announced)).await {
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

fn store(api: &Api, request: &Request, (message, encoding): (Message, Encoding)) -> Response<Body> {
    let store = match api.store() {
        Ok(store) => store,
        Err(error) => return text_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let (store, now) = (&*store.appendable, api.clock.now());
    let written = encoding.unpack(&request.body).and_then(|body| match message {
        Message::V1 => api.write.write(store, &body, now).map(|_| None),
        Message::V2 => api.write.write_v2(store, &body, now).map(Some),
    });
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
