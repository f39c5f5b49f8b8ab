//! Programs of a kubeconfig that print tokens or client certificates.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use serde_json::json;

use super::{Cluster, fill, pod};
use crate::played::{Play, PlayedServer, TestBed};

/// The program of a kubeconfig runs once per token, and again when the token has expired or been rejected.
#[tokio::test]
async fn a_kubeconfig_may_name_a_program_that_prints_tokens() {
    let cluster = Cluster::new();
    fill(&cluster);
    let (played, refused) = (cluster.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let refuses = refused.clone();
    let server = PlayedServer::start(move |request| {
        let token = request.headers.get("authorization").map_or("", String::as_str);
        let is_refused = refuses.load(std::sync::atomic::Ordering::SeqCst) && token == "Bearer T1-me";
        if is_refused || !token.starts_with("Bearer T") {
            return Play::Raw("401 Unauthorized", String::new(), b"{}".to_vec());
        }
        played.play(request)
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("token.sh");
    let script = "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho x >> runs\nn=$(wc -l < runs | tr -d ' ')\n\
        echo \"$KUBERNETES_EXEC_INFO\" > info\n\
        echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":{\"token\":\"T'\"$n-$WHO\"'\"}}'\n";
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
    let file = directory.path().join("config");
    let text = format!(
        "current-context: c\nclusters: [{{name: k, cluster: {{server: 'http://{}'}}}}]\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: ./token.sh, args: [a], env: [{{name: WHO, value: me}}], \
         interactiveMode: Never}}}}}}]\n",
        server.address
    );
    std::fs::write(&file, text).expect("written");
    let bed = TestBed::new(&format!(
        "kubernetes_sd_configs: [{{kubeconfig_file: '{}', role: pod}}]",
        file.display()
    ));
    bed.targets(3).await;
    let runs = || std::fs::read_to_string(directory.path().join("runs")).expect("a file").lines().count();
    assert_eq!(runs(), 1, "one token for the list and the watch");
    let info = std::fs::read_to_string(directory.path().join("info")).expect("a file");
    assert!(info.contains("\"interactive\":false"), "{info}");
    refused.store(true, std::sync::atomic::Ordering::SeqCst);
    cluster.end_watches();
    cluster.put("/api/v1/pods", pod("p9", "10.1.0.9"));
    bed.targets(6).await;
    assert_eq!(runs(), 2);
}

/// The certificate that a program prints opens connections; when it is rejected, the program's next one does.
#[tokio::test]
async fn a_kubeconfig_may_name_a_program_that_prints_client_certificates() {
    let issued = ferula_testkit::http_lab::Issued::new();
    let cluster = Cluster::new();
    fill(&cluster);
    let (played, is_refusing) = (cluster.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let refuses = is_refusing.clone();
    let server = PlayedServer::start_with(
        move |request| match refuses.swap(false, std::sync::atomic::Ordering::SeqCst) {
            true => Play::Raw("401 Unauthorized", String::new(), b"{}".to_vec()),
            false => played.play(request),
        },
        Some(issued.mutual_acceptor()),
    )
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let status = |number: usize, certificate: &str, key: &str| {
        let status = json!({"clientCertificateData": certificate, "clientKeyData": key});
        let text = json!({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status});
        std::fs::write(directory.path().join(format!("answer{number}")), text.to_string()).expect("written");
    };
    let (first, second) = (issued.client_pem(), issued.another_client_pem());
    // Half a pair is an error; the program is asked again later.
    status(1, &first.0, "");
    status(2, &first.0, &first.1);
    status(3, &second.0, &second.1);
    let program = directory.path().join("certificate.sh");
    let script =
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho x >> runs\nexec cat answer$(wc -l < runs | tr -d ' ')\n";
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
    let authority = ferula_go::base64::encode(issued.authority_pem().as_bytes());
    let text = format!(
        "current-context: c\nclusters: [{{name: k, cluster: {{server: 'https://{}', certificate-authority-data: {authority}}}}}]\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, command: ./certificate.sh}}}}}}]\n",
        server.address
    );
    let file = directory.path().join("config");
    std::fs::write(&file, text).expect("written");
    let bed = TestBed::new(&format!(
        "kubernetes_sd_configs: [{{kubeconfig_file: '{}', role: pod}}]",
        file.display()
    ));
    bed.targets(3).await;
    let runs = || std::fs::read_to_string(directory.path().join("runs")).expect("a file").lines().count();
    assert_eq!(runs(), 2, "one failure, then one certificate for the list and the watch");
    assert!(bed.metric("prometheus_sd_kubernetes_failures_total") >= 1.0);
    is_refusing.store(true, std::sync::atomic::Ordering::SeqCst);
    cluster.end_watches();
    cluster.put("/api/v1/pods", pod("p9", "10.1.0.9"));
    bed.targets(6).await;
    assert_eq!(runs(), 3);
}
