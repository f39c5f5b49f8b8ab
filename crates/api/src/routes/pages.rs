//! The web pages: the shell that is served for each of them, their files, and a plain page for builds
//! without them.

use std::fmt::Write;

use axum::body::Body;
use axum::http::Response;
use ferula_go::html::escape;
use ferula_model::UnixNanos;
use ferula_model::duration::format_millis;
use ferula_scraper::{Health, TargetsSnapshot};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::error::Refusal;
use crate::page_answer::{file_answer, html_answer, page_answer};
use crate::readiness::Stage;
use crate::redirect;
use crate::request::Request;
use crate::service::Service;
use crate::site::Site;
use crate::web_ui::Shell;

type ResponseFuture = BoxFuture<'static, Response<Body>>;

/// `/`
pub fn home(service: Service, _: Request) -> ResponseFuture {
    let site = service.site();
    let target = site.external_path(if site.settings.agent { "/agent" } else { "/query" });
    std::future::ready(redirect::found(&target)).boxed()
}

/// `/graph`, the target of old links.
pub fn graph(service: Service, request: Request) -> ResponseFuture {
    let query = if request.url_query.is_empty() { String::new() } else { format!("?{}", request.url_query) };
    let target = service.site().external_path(&format!("/query{query}"));
    std::future::ready(redirect::found(&target)).boxed()
}

/// The address of a page.
pub fn page(service: Service, request: Request) -> ResponseFuture {
    async move {
        let rendered = tokio::task::spawn_blocking(move || render(&service, &request)).await;
        rendered.unwrap_or_else(|_| Refusal::internal().into_answer())
    }
    .boxed()
}

/// A file of the pages.
pub fn asset(service: Service, request: Request) -> ResponseFuture {
    let file = service.site().ui.as_ref().and_then(|ui| ui.asset(&request.path_param));
    std::future::ready(file_answer(file, &request.headers)).boxed()
}

/// A file that browsers request at the root.
pub fn root_file(service: Service, request: Request) -> ResponseFuture {
    let name = request.path.rsplit('/').next().unwrap_or_default();
    let file = service.site().ui.as_ref().and_then(|ui| ui.asset(name));
    std::future::ready(file_answer(file, &request.headers)).boxed()
}

fn render(service: &Service, request: &Request) -> Response<Body> {
    let site = service.site();
    if let Some(ui) = &site.ui {
        return page_answer(ui.shell(&shell(site, request)), &request.headers);
    }
    let targets = match service {
        Service::Starting(_) => TargetsSnapshot::default(),
        Service::Running(api) => api.targets.targets(),
    };
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'";
    html_answer(plain_page(site, request, &targets), &request.headers, policy)
}

fn shell<'a>(site: &'a Site, request: &'a Request) -> Shell<'a> {
    let settings = &site.settings;
    let prefix = settings.route_prefix.trim_end_matches('/');
    Shell {
        path: request.path.strip_prefix(prefix).unwrap_or(&request.path),
        title: &settings.page_title,
        version: &settings.build.version,
        ready: site.readiness.stage() == Stage::Ready,
        lookback: format_millis(i64::try_from(settings.lookback_delta.as_millis()).unwrap_or(i64::MAX)),
        admin: settings.admin,
        lifecycle: settings.lifecycle,
        agent: settings.agent,
        consoles_link: "",
    }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}\
.up{color:#176b2c}.down{color:#a1161c}code,input{font:14px ui-monospace,monospace}input{width:70%;padding:.3rem}\
@media(prefers-color-scheme:dark){body{background:#1b1b1d;color:#ddd}th,td{border-color:#444}.up{color:#6fce84}.down{color:#ff8a8a}a{color:#8ab4f8}}";

fn plain_page(site: &Site, request: &Request, all: &TargetsSnapshot) -> String {
    let mut html = String::new();
    let path = |path: &str| escape(&site.external_path(path));
    let state = match site.readiness.stage() {
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
             directory. The server is <b>{state}</b>. Point Grafana at <code>{url}</code>, or ask here; the answer is JSON.</p>\
             <form action=\"{query}\"><input name=query value=\"{asked}\" aria-label=query> <button>Ask</button></form>",
            title = escape(&site.settings.page_title),
            version = escape(&site.settings.build.version),
            url = escape(&site.settings.external_url.to_string()),
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
    write_targets(&mut html, all);
    html.push_str("</body></html>\n");
    html
}

fn write_targets(html: &mut String, all: &TargetsSnapshot) {
    let targets = || all.pools.iter().flat_map(|pool| pool.active.iter().map(move |target| (pool, target)));
    let up = targets().filter(|(_, target)| target.last_scrape().health == Health::Up).count();
    push(html, format_args!("<h2>Targets ({up} of {} up)</h2>", targets().count()));
    html.push_str("<table><tr><th>Job<th>Target<th>State<th>Labels<th>Last scrape<th>Took<th>Error</tr>");
    for (pool, target) in targets() {
        let last = target.last_scrape();
        push(
            html,
            format_args!(
                "<tr><td>{pool}<td><a href=\"{url}\">{url}</a><td class={state}>{state}<td><code>{labels}</code>\
                 <td>{at}<td>{took:.1} ms<td>{error}</tr>",
                pool = escape(&pool.name),
                url = escape(&target.url),
                state = last.health.as_str(),
                labels = escape(&target.public_labels.to_string()),
                at =
                    last.at_unix_nanos.map_or_else(|| "never".to_owned(), |at| UnixNanos(at).rfc3339_nanos()),
                took = last.took.as_secs_f64() * 1000.0,
                error = escape(&last.error),
            ),
        );
    }
    html.push_str("</table>");
}

fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("writing to a String cannot fail");
}
