//! Our own configurations beside the text that is expected of them, and the examples that users start from.
//!
//! `x.good.yml` must load, and its printed form must start with `x.good.txt`; `x.bad.yml` must be refused with exactly
//! `x.bad.txt`. `UPDATE_GOLDEN=1` rewrites the texts of bad files.

use std::path::Path;

use ferula_config::Config;
use ferula_testkit::shared::workspace_root;

#[test]
fn own_files_load_or_are_refused_with_their_text() {
    let directory = workspace_root().join("testdata/config");
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|ending| ending != "yml") {
            continue;
        }
        count += 1;
        let golden = file.with_extension("txt");
        let text = std::fs::read_to_string(&file).unwrap();
        match (Config::parse(&text), file.to_str().unwrap().ends_with(".good.yml")) {
            (Ok(config), true) => {
                let printed = config.to_yaml();
                let expected = std::fs::read_to_string(&golden).unwrap();
                assert!(printed.starts_with(&expected), "{}:\n{printed}", file.display());
                assert_same_to_serde(&text, &file);
            }
            (Err(error), false) => {
                if std::env::var_os("UPDATE_GOLDEN").is_some() {
                    std::fs::write(&golden, format!("{error}\n")).unwrap();
                }
                let expected = std::fs::read_to_string(&golden).unwrap();
                assert_eq!(format!("{error}\n"), expected, "{}", file.display());
            }
            (Ok(_), false) => panic!("{} loaded", file.display()),
            (Err(error), true) => panic!("{}: {error}", file.display()),
        }
    }
    assert!(count > 5);
}

/// What we print means the same to another reader of YAML: our own reading of it changes nothing.
fn assert_same_to_serde(text: &str, file: &Path) {
    let printed = Config::parse(text).unwrap().to_yaml();
    let value: serde_yaml::Value = serde_yaml::from_str(&printed).unwrap();
    let through_serde = serde_yaml::to_string(&value).unwrap();
    assert_eq!(Config::parse(&through_serde).unwrap().to_yaml(), printed, "{}", file.display());
}

#[test]
fn jobs_inherit_and_merge() {
    let file = workspace_root().join("testdata/config/inherits.good.yml");
    let config = Config::load(&file).unwrap();
    let [a, b] = &config.scrape_configs[..] else { panic!("two jobs") };
    assert_eq!((a.scrape_interval.as_secs(), a.scrape_timeout.as_secs(), a.sample_limit), (30, 20, 100));
    assert_eq!((b.scrape_interval.as_secs(), b.scrape_timeout.as_secs(), b.sample_limit), (5, 5, 7));
    assert!(!b.honor_timestamps && b.discovery.static_configs.len() == 1);
    assert!(config.unsupported().is_empty());
}

#[test]
fn the_example_that_users_start_from_loads() {
    let config = Config::load(&workspace_root().join("config/prometheus.yml")).unwrap();
    let jobs: Vec<&str> = config.scrape_configs.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(jobs, ["prometheus", "node"]);
    assert!(config.unsupported().is_empty());
}

#[test]
fn what_this_build_cannot_do_is_named_with_its_line() {
    let text = "scrape_configs:\n- job_name: a\n  linode_sd_configs:\n  - port: 1\nremote_write:\n- url: http://x\n  google_iam: {}\n\
                alerting:\n  alertmanagers:\n  - tls_config:\n      server_name: y\n      max_version: TLS11\n    \
                oauth2: {client_id: i, token_url: 'http://t'}\n    proxy_url: http://p\n    proxy_connect_header: {a: [b]}\n";
    let config = Config::parse(text).unwrap();
    let named: Vec<String> = config.unsupported().iter().map(ToString::to_string).collect();
    assert_eq!(
        named,
        [
            "only TLS 1.2 and 1.3 are supported, so no connection can be made: \
             alerting.alertmanagers[0].tls_config.max_version (line 12)",
            "not supported yet: remote_write[0].google_iam (line 7)",
        ]
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("missing/prometheus.yml")).unwrap_err();
    assert_eq!(error.to_string(), "open missing/prometheus.yml: no such file or directory");
    let directory = std::env::temp_dir();
    let error = Config::load(&directory).unwrap_err();
    assert_eq!(error.to_string(), format!("read {}: is a directory", directory.display()));
}
