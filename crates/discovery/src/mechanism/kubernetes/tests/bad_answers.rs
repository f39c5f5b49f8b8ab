//! Bad answers to lists, and a watch that says nothing: each is a failure that is counted, and the targets stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Cluster, fill, pod, section};
use crate::mechanism::tests::bad_answers;
use crate::played::{Play, PlayedServer, TestBed};

#[tokio::test]
async fn bad_lists_are_counted_and_lose_no_targets() {
    let cluster = Cluster::new();
    fill(&cluster);
    // 0 plays the cluster; with other values every list gets a bad answer, and no watch can continue.
    let turn = Arc::new(AtomicUsize::new(0));
    let (played, current, bad) = (cluster.clone(), turn.clone(), bad_answers());
    let server = PlayedServer::start(move |request| match current.load(Ordering::SeqCst) {
        0 => played.play(request),
        _ if request.target.contains("watch=true") => {
            Play::Raw("410 Gone", String::new(), br#"{"code": 410, "message": "too old"}"#.to_vec())
        }
        turn => bad[turn - 1].1(request),
    })
    .await;
    // A start with a bad answer finds nothing, and tries again.
    turn.store(1, Ordering::SeqCst);
    let bed = TestBed::new(&section(&server.address, "endpoints", ""));
    bed.wait_for_metric("prometheus_sd_kubernetes_failures_total", 3.0).await;
    assert!(bed.shown().is_empty());
    turn.store(0, Ordering::SeqCst);
    let good = bed.targets(3).await;
    for (at, (answer, _)) in bad_answers().iter().enumerate() {
        let before = bed.metric("prometheus_sd_kubernetes_failures_total");
        turn.store(at + 1, Ordering::SeqCst);
        cluster.end_watches();
        // Three collections: each loses its watch, then fails to list.
        bed.wait_for_metric_of("prometheus_sd_kubernetes_failures_total", before + 9.0, answer).await;
        assert_eq!(bed.shown(), good, "{answer}");
    }
    turn.store(0, Ordering::SeqCst);
    cluster.put("/api/v1/pods", pod("p1", "10.1.0.7"));
    bed.wait_for(|targets| targets.iter().any(|target| target.contains("__meta_kubernetes_pod_ip=10.1.0.7")))
        .await;
}

/// The server promised to end the watch; if it does not, nor says anything, the connection is given up and the watch repeated.
#[tokio::test]
async fn a_watch_that_never_says_anything_is_repeated() {
    let cluster = Cluster::new();
    fill(&cluster);
    let (played, watches) = (cluster.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = watches.clone();
    let server = PlayedServer::start(move |request| {
        let is_silent = request.target.contains("watch=true") && counted.fetch_add(1, Ordering::SeqCst) == 0;
        if is_silent { Play::Stream(Vec::new()) } else { played.play(request) }
    })
    .await;
    let bed = TestBed::new(&section(&server.address, "pod", ""));
    bed.targets(3).await;
    bed.wait_for_metric("prometheus_sd_kubernetes_failures_total", 1.0).await;
    assert_eq!(bed.shown().len(), 3);
    cluster.put("/api/v1/pods", pod("p2", "10.1.0.2"));
    bed.targets(6).await;
    assert!(watches.load(Ordering::SeqCst) >= 2);
}
