//! A full disk and damaged files: the server continues, reports it, and recovers.

use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{Alertmanager, PATIENCE, Webhook, alert, from_now, ours};

const OPEN: &str = "ferula_alertmanager_journal_open";

/// Lets no file grow beyond this size, as a full disk does.
fn limit_files(server: &Alertmanager, bytes: libc::rlim_t) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `prlimit` reads one structure and writes none; the process was started here.
    let done = unsafe { libc::prlimit(server.id(), libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    assert_eq!(done, 0, "the limit is set");
}

fn start(directory: &std::path::Path) -> Alertmanager {
    let mut command = ours();
    // SAFETY: `signal` is safe to call between fork and exec. Ignored, the signal becomes an error of the write.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        })
    };
    Alertmanager::start(command, directory)
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_full_disk_stops_no_page_and_damage_costs_no_silence() {
    let (hook, directory) = (Webhook::start(), tempfile::tempdir().expect("a directory"));
    let yaml = format!(
        "route: {{receiver: a, group_by: [g], group_wait: 100ms, group_interval: 500ms, repeat_interval: 1h}}\n\
         receivers: [{{name: a, webhook_configs: [{{url: 'http://{}/a'}}]}}]\n",
        hook.address
    );
    std::fs::write(directory.path().join("alertmanager.yml"), yaml).expect("written");
    let server = start(directory.path());
    let silence = |name: &str| {
        json!({
            "matchers": [{"name": "x", "value": name, "isRegex": false}],
            "startsAt": from_now(0.0), "endsAt": from_now(36_000.0), "createdBy": "me", "comment": name,
        })
    };
    let comments = |server: &Alertmanager| {
        let mut comments: Vec<String> = server
            .list("/api/v2/silences")
            .iter()
            .filter_map(|silence| silence["comment"].as_str().map(str::to_owned))
            .collect();
        comments.sort();
        comments.join(" ")
    };
    assert_eq!(server.post("/api/v2/silences", &silence("before")).0, 200);
    assert_eq!(server.metric(OPEN), 1.0);

    limit_files(&server, 1);
    assert_eq!(server.post("/api/v2/silences", &silence("during")).0, 200);
    assert_eq!(server.post("/api/v2/alerts", &alert(&[("g", "1")], 0.0, 3600.0)).0, 200);
    hook.wait("a page is sent while the disk is full", |told| !told.is_empty());
    assert_eq!((server.metric(OPEN), comments(&server)), (0.0, "before during".to_owned()));
    assert!(server.get("/api/v2/status").1.contains("the disk refuses changes"));
    assert_eq!(server.get("/-/ready").0, 200);

    limit_files(&server, libc::RLIM_INFINITY);
    wait_for("writing resumes", || server.metric(OPEN) == 1.0);
    assert!(!server.get("/api/v2/status").1.contains("the disk refuses changes"));
    assert_eq!(server.post("/api/v2/silences", &silence("after")).0, 200);
    server.kill();
    let server = start(directory.path());
    assert_eq!(comments(&server), "after before during");
    assert_eq!(server.metric("ferula_alertmanager_journal_damages"), 0.0);
    // The start continued the journal. Then everything is written again, so that there are two copies of each silence.
    wait_for("the files are rewritten after a start", || {
        server.metric("alertmanager_silences_maintenance_total") >= 1.0
    });
    server.kill();

    // A flipped bit, a torn end, and damaged copies for Alertmanager.
    let file = |name: &str| directory.path().join("data").join(name);
    let mut journal = std::fs::read(file("ferula.journal")).expect("there");
    let middle = journal.len() / 2;
    journal[middle] ^= 0x08;
    journal.truncate(journal.len() - 3);
    std::fs::write(file("ferula.journal"), journal).expect("written");
    let server = start(directory.path());
    assert!(server.metric("ferula_alertmanager_journal_damages") >= 1.0);
    assert_eq!(comments(&server), "after before during");
    server.kill();
    for name in ["silences", "nflog"] {
        let mut bytes = std::fs::read(file(name)).expect("there");
        bytes[0] ^= 0x7f;
        std::fs::write(file(name), bytes).expect("written");
    }
    let server = start(directory.path());
    assert_eq!(comments(&server), "after before during");
    // Earlier notifications are not repeated.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(hook.told().len(), 1, "{:?}", hook.told());
}
