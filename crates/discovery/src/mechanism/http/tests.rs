//! `http` against a simulated server: its labels, and its behaviour on errors of the server.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::played::{Play, PlayedServer, TestBed};

fn section(address: &str) -> String {
    format!("http_sd_configs: [{{url: 'http://{address}/t', refresh_interval: 5s}}]")
}

#[tokio::test]
async fn groups_are_requested_at_the_interval_and_kept_while_the_server_fails() {
    let round = Arc::new(AtomicUsize::new(0));
    let counter = round.clone();
    let server = PlayedServer::start(move |request| {
        assert_eq!(request.headers["accept"], "application/json");
        assert_eq!(request.headers["x-prometheus-refresh-interval-seconds"], "5");
        assert!(request.headers["user-agent"].starts_with("Prometheus/"));
        let html = "Content-Type: text/html\r\n".to_owned();
        let json = "Content-Type: application/json\r\n".to_owned();
        match counter.fetch_add(1, Ordering::SeqCst) {
            0 => Play::Json(r#"[{"targets":["a:1","b:1"],"labels":{"x":"y"}}]"#.to_owned()),
            1 => Play::Raw("503 Out of order", json, b"[]".to_vec()),
            2 => Play::Raw("200 OK", html, b"<html>".to_vec()),
            3 => Play::Raw("200 OK", json, b"[{\"targets\":[\"c:1\"]".to_vec()),
            4 => Play::Raw("200 OK", json, format!("{}1", "[".repeat(10_000)).into_bytes()),
            5 => Play::Raw("200 OK", json, b"[{\"targets\":[\"d:1\"],\"labels\":{\"\":\"x\"}}]".to_vec()),
            6 => Play::Json(r#"{"targets":["e:1"]}"#.to_owned()),
            7 => Play::Close,
            8 => Play::Close,
            _ => Play::Json(r#"[{"Targets":["f:1"]}]"#.to_owned()),
        }
    })
    .await;
    let bed = TestBed::new(&section(&server.address));
    let url = format!("http://{}/t", server.address);
    assert_eq!(
        bed.targets(2).await,
        [format!("a:1 __meta_url={url} x=y"), format!("b:1 __meta_url={url} x=y")]
    );
    bed.wait_for_metric("prometheus_sd_http_failures_total", 6.0).await;
    let sets = bed.manager.subscribe().borrow().clone();
    assert_eq!(crate::played::shown(&sets["a"]).len(), 2, "a failed round takes nothing away");
    assert_eq!(bed.targets(1).await, [format!("f:1 __meta_url={url}")]);
    assert_eq!(
        bed.metric("prometheus_sd_refresh_failures_total"),
        bed.metric("prometheus_sd_http_failures_total")
    );
}

#[tokio::test]
async fn an_endless_list_is_aborted_and_the_last_one_stays() {
    let round = Arc::new(AtomicUsize::new(0));
    let counter = round.clone();
    let server = PlayedServer::start(move |_| match counter.fetch_add(1, Ordering::SeqCst) {
        0 => Play::Json(r#"[{"targets":["a:1"]}]"#.to_owned()),
        _ => Play::Endless(b"[0,0,0,0,"),
    })
    .await;
    let bed = TestBed::new(&section(&server.address));
    bed.targets(1).await;
    bed.wait_for_metric("prometheus_sd_http_failures_total", 2.0).await;
    assert_eq!(bed.metric("prometheus_sd_discovered_targets"), 1.0);
}

#[tokio::test]
async fn a_removed_section_takes_its_metrics_and_targets_along() {
    let server = PlayedServer::start(|_| Play::Json(r#"[{"targets":["a:1"]}]"#.to_owned())).await;
    let bed = TestBed::new(&section(&server.address));
    bed.targets(1).await;
    bed.apply("static_configs: [{targets: ['s:1']}]");
    assert_eq!(bed.targets(1).await, ["s:1"]);
    let still_has_metrics = || {
        bed.registry
            .gather()
            .iter()
            .any(|family| family.name == "prometheus_sd_refresh_failures_total" && !family.metrics.is_empty())
    };
    while still_has_metrics() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_unreachable_server_at_the_start_stops_nothing() {
    let bed = TestBed::new(
        "http_sd_configs: [{url: 'http://127.0.0.1:1/'}, {url: 'https://x/', tls_config: {ca_file: /proc/nowhere.pem}}]\n\
         static_configs: [{targets: ['s:1']}]",
    );
    assert_eq!(bed.targets(1).await, ["s:1"]);
    assert_eq!(bed.metric("prometheus_sd_failed_configs"), 1.0, "the certificate is missing");
}

#[test]
fn accepted_content_types_are_those_of_prometheus() {
    for good in [
        "application/json",
        " Application/JSON ",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
    ] {
        assert!(super::is_json(good), "{good}");
    }
    for bad in ["", "text/html", "application/json; charset=latin1", "application/jsonx", "application/json;"]
    {
        assert!(!super::is_json(bad), "{bad}");
    }
}

#[tokio::test]
async fn a_million_targets_are_taken_and_an_answer_over_its_bound_changes_nothing() {
    let is_too_long = Arc::new(AtomicBool::new(false));
    let longer = is_too_long.clone();
    let server = PlayedServer::start(move |_| {
        let count = if longer.load(Ordering::SeqCst) { 6_000_000 } else { 1_000_000 };
        let mut body = String::from("[{\"targets\":[\"t\"");
        (1..count).for_each(|number| write!(body, ",\"t{number}:9100\"").expect("written"));
        Play::Json(body + "]}]")
    })
    .await;
    let bed = TestBed::new(&format!(
        "http_sd_configs: [{{url: 'http://{}/', refresh_interval: 60s}}]",
        server.address
    ));
    bed.wait_for_metric("prometheus_sd_discovered_targets", 1e6).await;
    is_too_long.store(true, Ordering::SeqCst);
    bed.wait_for_metric("prometheus_sd_http_failures_total", 1.0).await;
    assert_eq!(bed.metric("prometheus_sd_discovered_targets"), 1e6);
}
