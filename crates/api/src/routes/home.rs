//! The plain page that stands in for the web UI: what this is, a field to ask a query, the targets and their state.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::answer::status_only;
use crate::api::Api;
use crate::json::time::rfc3339_nanos;
use crate::readiness::Stage;
use crate::request::Request;
use crate::targets::{ActiveTarget, Health};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}\
.up{color:#176b2c}.down{color:#a1161c}code,input{font:14px ui-monospace,monospace}input{width:70%;padding:.3rem}\
@media(prefers-color-scheme:dark){body{background:#1b1b1d;color:#ddd}th,td{border-color:#444}.up{color:#6fce84}.down{color:#ff8a8a}a{color:#8ab4f8}}";

/// `/` and the addresses of the web UI's pages.
pub fn page(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    async move {
        let rendered = tokio::task::spawn_blocking(move || render(&api, &request)).await;
        let Ok(html) = rendered else { return status_only(StatusCode::INTERNAL_SERVER_ERROR) };
        let mut response = Response::new(Body::from(html));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"),
        );
        response
    }
    .boxed()
}

/// `/graph`, which old links point to.
pub fn graph(api: Arc<Api>, request: Request) -> BoxFuture<'static, Response<Body>> {
    let target = api.external_path(&format!("/query?{}", request.url_query));
    std::future::ready(redirect(&target)).boxed()
}

/// 302, as Go writes it.
pub(crate) fn redirect(target: &str) -> Response<Body> {
    sent_to(&Method::GET, target, StatusCode::FOUND, "Found")
}

/// 301, as Go writes it.
pub(crate) fn moved(target: &str) -> Response<Body> {
    sent_to(&Method::GET, target, StatusCode::MOVED_PERMANENTLY, "Moved Permanently")
}

/// 307, as Go writes it: the client asks there with the same method and body.
pub(crate) fn elsewhere(method: &Method, target: &str) -> Response<Body> {
    sent_to(method, target, StatusCode::TEMPORARY_REDIRECT, "Temporary Redirect")
}

fn sent_to(method: &Method, target: &str, status: StatusCode, words: &str) -> Response<Body> {
    let body = match *method {
        Method::GET => format!("<a href=\"{}\">{words}</a>.\n\n", escape(target)),
        _ => String::new(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if matches!(*method, Method::GET | Method::HEAD) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
    if let Ok(value) = HeaderValue::from_str(target) {
        headers.insert(header::LOCATION, value);
    }
    response
}

fn render(api: &Api, request: &Request) -> String {
    let mut html = String::new();
    let path = |path: &str| escape(&api.external_path(path));
    let state = match api.readiness.stage() {
        Stage::Starting => "starting: the store is being opened",
        Stage::Ready => "ready",
        Stage::Stopping => "stopping",
    };
    let asked = ["query", "g0.expr"].map(|name| request.params.first(name));
    let asked = asked.iter().find(|query| !query.is_empty()).copied().unwrap_or("up");
    push(
        &mut html,
        format_args!(
            "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>{title}</title><style>{STYLE}</style></head><body>\
             <h1>Ferula</h1><p>A monitoring server that speaks Prometheus {version}: same configuration, API and data \
             folder. The server is <b>{state}</b>. Point Grafana at <code>{url}</code>, or ask here; the answer is JSON.</p>\
             <form action=\"{query}\"><input name=query value=\"{asked}\" aria-label=query> <button>Ask</button></form>",
            title = escape(&api.settings.page_title),
            version = escape(&api.settings.build.version),
            url = escape(&api.settings.external_url.to_string()),
            query = path("/api/v1/query"),
            asked = escape(asked),
        ),
    );
    html.push_str("<p>");
    for (name, target) in [
        ("configuration", "/api/v1/status/config"),
        ("flags", "/api/v1/status/flags"),
        ("rules", "/api/v1/rules"),
        ("alerts", "/api/v1/alerts"),
        ("TSDB", "/api/v1/status/tsdb"),
        ("own metrics", "/metrics"),
    ] {
        push(&mut html, format_args!("<a href=\"{}\">{name}</a> · ", path(target)));
    }
    html.push_str("</p>");
    targets(&mut html, &api.targets.active());
    html.push_str("</body></html>\n");
    html
}

fn targets(html: &mut String, targets: &[ActiveTarget]) {
    let up = targets.iter().filter(|target| target.health == Health::Up).count();
    push(html, format_args!("<h2>Targets ({up} of {} up)</h2>", targets.len()));
    html.push_str("<table><tr><th>Job<th>Target<th>State<th>Labels<th>Last scrape<th>Took<th>Error</tr>");
    for target in targets {
        let state = target.health.as_str();
        push(
            html,
            format_args!(
                "<tr><td>{pool}<td><a href=\"{url}\">{url}</a><td class={state}>{state}<td><code>{labels}</code>\
                 <td>{last}<td>{took:.1} ms<td>{error}</tr>",
                pool = escape(&target.pool),
                url = escape(&target.url),
                labels = escape(&target.labels.to_string()),
                last = target.last_scrape.map_or_else(|| "never".to_owned(), |at| rfc3339_nanos(Some(at))),
                took = target.last_duration_seconds * 1000.0,
                error = escape(&target.last_error),
            ),
        );
    }
    html.push_str("</table>");
}

fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("writing to a String cannot fail");
}

/// Text that is safe between tags and inside double quotes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_targets_say_is_shown_as_text() {
        let mut html = String::new();
        let target = ActiveTarget {
            pool: "<script>".to_owned(),
            discovered_labels: Default::default(),
            labels: ferula_model::LabelSet::from_pairs([("a", "\"><img>")]),
            url: "javascript:\"x".to_owned(),
            last_error: "&'".to_owned(),
            last_scrape: None,
            last_duration_seconds: 0.0,
            health: Health::Down,
            interval: String::new(),
            timeout: String::new(),
        };
        targets(&mut html, &[target]);
        assert!(!html.contains("<script>") && !html.contains("<img>") && !html.contains(":\"x"), "{html}");
        assert!(html.contains("0 of 1 up") && html.contains("&amp;&#39;"));
    }
}
