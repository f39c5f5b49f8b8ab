//! What `config/` offers for containers, Kubernetes and systemd: the server starts with exactly those flags and files, and
//! the tools of each system accept them where they are installed.

use std::path::PathBuf;
use std::process::Command;

use ferula_testkit::shared::workspace_root;
use serde_yaml::Value;

use crate::common::Server;

fn config() -> PathBuf {
    workspace_root().join("config")
}

fn read(path: &str) -> String {
    let path = config().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn strings(list: &Value) -> Vec<String> {
    let texts = list.as_sequence().into_iter().flatten();
    texts.map(|text| text.as_str().unwrap_or_else(|| panic!("a string: {text:?}")).to_owned()).collect()
}

/// The fields of a map, as texts and values.
fn entries(map: &Value) -> Vec<(String, Value)> {
    let entries = map.as_mapping().into_iter().flatten();
    entries.map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), value.clone())).collect()
}

/// Starts the server with the flags of a package, whose data directory and configuration files lie elsewhere here.
fn start_with(flags: &[String], data: &str, files: &[(PathBuf, &str)]) {
    let directory = tempfile::tempdir().expect("a directory");
    let etc = directory.path().join("etc");
    std::fs::create_dir(&etc).expect("created");
    for (from, name) in files {
        let to = etc.join(name);
        if from.is_dir() {
            std::fs::create_dir(&to).expect("created");
            for entry in
                std::fs::read_dir(from).expect("listed").flatten().filter(|entry| entry.path().is_file())
            {
                std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
            }
        } else {
            std::fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
    }
    let moved: Vec<String> = flags
        .iter()
        .map(|flag| {
            let flag = flag.replace("/etc/ferula", &etc.display().to_string());
            match flag.strip_prefix("--storage.tsdb.path=") {
                Some(path) => {
                    assert_eq!(path, data, "the data lies in the volume");
                    format!("--storage.tsdb.path={}", directory.path().join("data").display())
                }
                None => flag,
            }
        })
        .collect();
    let moved: Vec<&str> = moved.iter().map(String::as_str).collect();
    let server = Server::start(directory.path(), &moved);
    server.wait_for_any_line("Server is ready to receive web requests.");
    assert_eq!(server.get("/-/healthy").0, 200);
    assert!(directory.path().join("data/wal").is_dir(), "the flags name the data directory");
}

#[test]
fn images_start_with_their_own_flags() {
    let text = read("docker/Dockerfile");
    let command = text.lines().filter_map(|line| line.strip_prefix("CMD ")).next_back().expect("a CMD");
    let flags: Vec<String> = serde_json::from_str(command).expect("the form with brackets");
    start_with(&flags, "/data", &[(config().join("docker/prometheus.yml"), "prometheus.yml")]);
}

#[test]
fn composed_services_start_and_their_files_exist() {
    let directory = config().join("docker");
    let dockerfile = read("docker/Dockerfile");
    for file in ["docker/compose.yml", "docker/compose-small.yml"] {
        let compose = yaml(file);
        let services = entries(&compose["services"]);
        let volumes: Vec<String> = entries(&compose["volumes"]).into_iter().map(|(name, _)| name).collect();
        for (name, service) in &services {
            for key in entries(service) {
                const KNOWN: [&str; 9] = [
                    "build",
                    "command",
                    "depends_on",
                    "image",
                    "pid",
                    "ports",
                    "read_only",
                    "restart",
                    "volumes",
                ];
                assert!(KNOWN.contains(&key.0.as_str()), "{file}: {name}: is `{}` right?", key.0);
            }
            for other in strings(&service["depends_on"]) {
                assert!(services.iter().any(|(name, _)| *name == other), "{file}: {name} waits for {other}");
            }
            if let Some(stage) = service["build"]["target"].as_str() {
                assert!(dockerfile.contains(&format!("\nFROM scratch AS {stage}\n")), "{file}: {stage}");
            }
            if service["build"].is_mapping() {
                let context = directory.join(service["build"]["context"].as_str().expect("a context"));
                assert!(context.join(service["build"]["dockerfile"].as_str().expect("a file")).is_file());
            }
            let mut files = Vec::new();
            for volume in strings(&service["volumes"]) {
                let parts: Vec<&str> = volume.split(':').collect();
                match parts[0] {
                    path if path.starts_with('.') => {
                        assert!(directory.join(path).exists(), "{file}: {name} mounts {path}");
                        files.push((directory.join(path), parts[1].to_owned()));
                    }
                    path if path.starts_with('/') => {}
                    volume => assert!(volumes.iter().any(|known| known == volume), "{file}: volume {volume}"),
                }
            }
            if name == "ferula" {
                let files: Vec<(PathBuf, &str)> = files
                    .iter()
                    .map(|(from, to)| {
                        (from.clone(), to.strip_prefix("/etc/ferula/").expect("below /etc/ferula"))
                    })
                    .collect();
                start_with(&strings(&service["command"]), "/data", &files);
            }
        }
    }
}

#[test]
fn manifests_are_accepted_and_their_flags_start_the_server() {
    let manifest = yaml("kubernetes/statefulset.yaml");
    let pod = &manifest["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let files = [(config().join("kubernetes/prometheus.yml"), "prometheus.yml")];
    start_with(&strings(&container["args"]), "/data", &files);
    let mounted: Vec<String> =
        entries(&container["volumeMounts"][1]).into_iter().map(|(key, _)| key).collect();
    assert_eq!(mounted, ["name", "mountPath"]);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"].as_bool(), Some(true));
    assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true));

    let kustomization = yaml("kubernetes/kustomization.yaml");
    for name in strings(&kustomization["resources"]) {
        assert!(config().join("kubernetes").join(&name).is_file(), "{name}");
    }
    let Some(built) = output("kubectl", &["kustomize", &config().join("kubernetes").display().to_string()])
    else {
        println!("LEFT OUT: no kubectl, so the manifests were not built");
        return;
    };
    let kinds: Vec<&str> = built.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    for kind in [
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "Service",
        "StatefulSet",
    ] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
}

#[test]
fn the_unit_is_accepted_and_starts_the_server() {
    let unit = read("systemd/ferula.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("an ExecStart");
    let flags: Vec<String> = start.split(' ').skip(1).map(str::to_owned).collect();
    start_with(&flags, "/var/lib/ferula", &[(config().join("docker/prometheus.yml"), "prometheus.yml")]);

    // systemd wants to see the program that is started.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ferula.service");
    std::fs::write(&path, unit.replace("/usr/bin/ferula", env!("CARGO_BIN_EXE_ferula"))).expect("written");
    let path = path.display().to_string();
    let Some(exposure) = output("systemd-analyze", &["security", "--offline=true", "--threshold=25", &path])
    else {
        println!("LEFT OUT: no systemd-analyze, so the unit was not verified");
        return;
    };
    assert!(exposure.contains("Overall exposure level"), "{exposure}");
    output("systemd-analyze", &["verify", "--man=no", &path]);
}

/// What a tool prints, which must succeed; `None` if it is not installed.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let installed = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&installed).any(|directory| directory.join(program).is_file());
    if !found {
        return None;
    }
    let output = Command::new(program).args(arguments).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}{errors}", output.status);
    Some(text)
}
