//! Files of an Alertmanager's directory: `silences`, `nflog` and journal records are read without a panic, and
//! whatever was read survives writing and reading again.

use std::time::Duration;

use ferula_alertmanager::engine::Record;
use ferula_alertmanager::notification_log::{LogEntry, LogReceiver, NotificationLog};
use ferula_alertmanager::silence::{Silence, SilenceLimits, Silences};
use ferula_config::alertmanager::{MatchOp, Matcher, MatcherSyntax};
use ferula_model::UnixNanos;

const NOW: UnixNanos = UnixNanos(1_800_000_000_000_000_000);

fn silences() -> Silences {
    Silences::new(SilenceLimits {
        retention: Duration::from_secs(3600),
        silences_max: 0,
        silence_bytes_max: 0,
        syntax: MatcherSyntax::Fallback,
    })
}

fn main() {
    let matcher = Matcher::new("a", MatchOp::Regexp, "b.*").expect("a good expression");
    let silence = Silence {
        id: "11111111-1111-4111-8111-111111111111".into(),
        matcher_sets: vec![vec![matcher]],
        starts_at: NOW,
        ends_at: NOW.plus(Duration::from_secs(60)),
        updated_at: NOW,
        comment: "c".into(),
        ..Silence::default()
    };
    let entry = LogEntry {
        group_key: "{}:{a=\"b\"}".into(),
        receiver: LogReceiver { group_name: "r".into(), integration: "webhook".into(), index: 0 },
        timestamp: NOW,
        firing: vec![1, u64::MAX],
        expires_at: NOW.plus(Duration::from_secs(60)),
        ..LogEntry::default()
    };
    let (mut silence_file, mut log_file) = (Vec::new(), Vec::new());
    silence.append_to(&mut silence_file, NOW);
    entry.append_to(&mut log_file);
    let record = Record::Notified(Box::new(entry)).encode();
    ferula_fuzz::drive("alertmanager_files", &[&silence_file, &log_file, &record], |input| {
        let mut read = silences();
        if read.load_file(input, NOW).is_ok() {
            let mut again = silences();
            again.load_file(&read.to_file(), NOW).expect("what was written is read");
            assert_eq!(again.all(), read.all());
        }
        let mut log = NotificationLog::new(Duration::from_secs(3600));
        if log.load_file(input, NOW).is_ok() {
            let mut again = NotificationLog::new(Duration::from_secs(3600));
            again.load_file(&log.to_file(), NOW).expect("what was written is read");
            assert_eq!(again.entries().count(), log.entries().count());
        }
        if let Ok(Some(record)) = Record::decode(input) {
            assert!(matches!(Record::decode(&record.encode()), Ok(Some(_))));
        }
    });
}
