//! `write`, the receiver of remote write, and `otlp/v1/metrics`, that of OTLP.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, header};
use ferula_otlp::{Format, OtlpError};
use ferula_remote::write::WriteError;
use ferula_remote::write::headers::{Encoding, Message, UnpackError};
use ferula_telemetry::error;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::answer::{no_content, ok};
use crate::api::Api;
use crate::error::{Refusal, RefusalKind};
use crate::request::{Request, no_room};

/// `/api/v1/write`
pub fn write(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        if !api.site.settings.remote_write {
            let why = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
            return Refusal::new(RefusalKind::NotFound, why).into_answer();
        }
        let (content_type, encoding) =
            (request.header(header::CONTENT_TYPE), request.header(header::CONTENT_ENCODING));
        let announced = match api.site.settings.remote_write_features.accepted.check(content_type, encoding) {
            Ok(announced) => announced,
            Err(why) => {
                error!("Error decoding remote write request", err = why);
                return Refusal::new(RefusalKind::MediaType, why).into_answer();
            }
        };
        match tokio::task::spawn_blocking(move || store(&api, &request, announced)).await {
            Ok(response) => response,
            Err(err) => {
                error!("panic while storing a remote write request", err = err);
                Refusal::internal().into_answer()
            }
        }
    }
    .boxed()
}

/// `/api/v1/otlp/v1/metrics`
pub fn otlp(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        if !api.site.settings.otlp {
            let why = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver";
            return Refusal::new(RefusalKind::NotFound, why).into_answer();
        }
        match tokio::task::spawn_blocking(move || store_otlp(&api, &request)).await {
            Ok(response) => response,
            Err(err) => {
                error!("panic while storing an OTLP request", err = err);
                Refusal::internal().into_answer()
            }
        }
    }
    .boxed()
}

fn store_otlp(api: &Api, request: &Request) -> Response<Body> {
    let stored =
        Format::of(request.header(header::CONTENT_TYPE)).map_err(OtlpError::from).and_then(|format| {
            let body = ferula_otlp::Body {
                format,
                bytes: &request.body,
                encoding: request.header(header::CONTENT_ENCODING),
                memory: &request.memory,
            };
            let clock = &api.site.clock;
            let section = &api.loaded().config.otlp;
            api.otlp.write(&*api.store.appendable, section, body, clock.now(), clock.elapsed())
        });
    match stored {
        Ok(()) => ok(Body::empty()),
        Err(error) if error.is_no_room() => no_room().into_answer(),
        Err(error) => {
            let (what, kind) = match (&error, error.is_senders()) {
                (OtlpError::Body(_), _) => ("Error decoding OTLP write request", RefusalKind::BadRequest),
                (_, true) => ("Samples of an OTLP request were refused", RefusalKind::BadRequest),
                (_, false) => ("Error appending remote write", RefusalKind::Internal),
            };
            error!(what, err = error);
            Refusal::new(kind, error).into_answer()
        }
    }
}

fn store(api: &Api, request: &Request, (message, encoding): (Message, Encoding)) -> Response<Body> {
    let (store, now) = (&*api.store.appendable, api.site.clock.now());
    let read = |body: &[u8]| match message {
        Message::V1 => api.write.write(store, body, now).map(|_| None),
        Message::V2 => api.write.write_v2(store, body, now).map(Some),
    };
    let written = api
        .write
        .with_message(encoding, &request.body, &request.memory, read)
        .unwrap_or_else(|e| Err(e.into()));
    let mut response = match &written {
        Ok(Some(written)) if !written.refused.is_empty() => {
            let why = written.refused.join("\n");
            error!(
                "Samples of a remote write request were refused",
                refused = written.refused.len(),
                first = written.refused[0]
            );
            Refusal::new(RefusalKind::BadRequest, why).into_answer()
        }
        Ok(_) => no_content(),
        Err(WriteError::Unpack(UnpackError::NoRoom(_))) => no_room().into_answer(),
        Err(error) if error.is_senders() => {
            error!("Error decoding or storing a remote write request", err = error);
            Refusal::new(RefusalKind::BadRequest, error).into_answer()
        }
        Err(error) => {
            error!("Error while storing the remote write request", err = error);
            Refusal::new(RefusalKind::Internal, error).into_answer()
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
