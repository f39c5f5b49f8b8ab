//! `kuma` against a simulated control plane: versions, empty answers, and assignments of another type.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const RESOURCES: &str = r#"{"versionInfo": "V1", "typeUrl": "type.googleapis.com/kuma.observability.v1.MonitoringAssignment", "nonce": "N1",
 "resources": [{"@type": "type.googleapis.com/kuma.observability.v1.MonitoringAssignment", "mesh": "default", "service": "redis",
  "labels": {"team/x": "a", "both": "service"}, "targets": [
   {"name": "redis-1", "scheme": "http", "address": "10.0.0.1:5670", "metricsPath": "/stats", "labels": {"both": "target", "own": "1"}},
   {"name": "redis-2", "scheme": "https", "address": "10.0.0.2:5670", "metrics_path": "/m", "labels": {}}]}]}"#;

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    assert!(
        request.target.starts_with("/mads/v3/discovery:monitoringassignments?fetch-timeout="),
        "{}",
        request.target
    );
    if request.body.contains(r#""version_info":"V1""#) || request.body.contains(r#""version_info": "V1""#) {
        return Play::Raw("304 Not Modified", String::new(), Vec::new());
    }
    Play::Json(RESOURCES.to_owned())
}

pub(crate) fn section(address: &str) -> String {
    format!(
        "kuma_sd_configs: [{{server: 'http://{address}/mads', client_id: me, refresh_interval: 1s, fetch_timeout: 30s}}]"
    )
}

#[tokio::test]
async fn assignments_are_fetched_once_for_each_version() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::new(&section(&server.address));
    let shared = "__meta_kuma_label_team_x=a __meta_kuma_mesh=default";
    assert_eq!(
        bed.targets(2).await,
        [
            format!(
                "10.0.0.1:5670 __meta_kuma_dataplane=redis-1 __meta_kuma_label_both=service __meta_kuma_label_own=1 \
                 {shared} __meta_kuma_service=redis __metrics_path__=/stats __scheme__=http instance=redis-1"
            ),
            format!(
                "10.0.0.2:5670 __meta_kuma_dataplane=redis-2 __meta_kuma_label_both=service {shared} \
                 __meta_kuma_service=redis __metrics_path__=/m __scheme__=https instance=redis-2"
            )
        ]
    );
    bed.wait_for_metric("prometheus_sd_kuma_fetch_skipped_updates_total", 2.0).await;
    let requests = server.requests.lock().expect("a test");
    assert!(
        requests[0].body.contains(r#""node":{"id":"me"}"#)
            && requests[0].target.ends_with("fetch-timeout=30s")
    );
    assert!(requests[1].body.contains(r#""response_nonce":"N1""#), "{}", requests[1].body);
}

#[tokio::test]
async fn invalid_assignments_are_counted_and_change_nothing() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = PlayedServer::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Play::Json(RESOURCES.to_owned()),
        1 => Play::Json(RESOURCES.replace("MonitoringAssignment", "Other")),
        2 => Play::Json(RESOURCES.replacen("Assignment\", \"mesh", "Other\", \"mesh", 1)),
        3 => Play::Raw("503 Unavailable", String::new(), Vec::new()),
        _ => Play::Json("[".to_owned()),
    })
    .await;
    let bed = TestBed::new(&section(&server.address));
    bed.targets(2).await;
    bed.wait_for_metric("prometheus_sd_kuma_fetch_failures_total", 4.0).await;
    assert_eq!(bed.targets(2).await.len(), 2);
}
