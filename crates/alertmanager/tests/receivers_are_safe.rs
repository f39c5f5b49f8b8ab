//! What receivers must never do: show a secret, send in a dry run, or wait or read without end.

use std::collections::BTreeSet;
use std::time::Duration;

use ferula_alertmanager::receiver::{
    Exchange, Integration, KeptValues, Notification, NotifyError, Reason, Record, Sent, TEST_ALERT, build,
    trial,
};
use ferula_alertmanager::{Alert, Labels, Time};
use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};
use ferula_runtime::RealClock;
use ferula_testkit::played_api::{Play, PlayedServer};
use tokio::net::TcpListener;

/// One of each service, with recognizable secrets wherever possible. HOST is replaced by an address.
const EVERY_SERVICE: &str = "
- webhook_configs: [{url: 'http://HOST/s3cret-path', http_config: {authorization: {credentials: s3cret}}}]
- email_configs: [{to: a@x, from: b@x, smarthost: 'HOST', require_tls: false, auth_username: u, auth_password: s3cret}]
- pagerduty_configs: [{routing_key: s3cret, url: 'http://HOST/'}]
- opsgenie_configs: [{api_key: s3cret, api_url: 'http://HOST/'}]
- wechat_configs: [{api_secret: s3cret, corp_id: c, api_url: 'http://HOST/'}]
- slack_configs: [{api_url: 'http://HOST/s3cret', channel: c}]
- victorops_configs: [{api_key: s3cret, routing_key: r, api_url: 'http://HOST/'}]
- sns_configs: [{api_url: 'http://HOST/', topic_arn: t, sigv4: {region: r, access_key: a, secret_key: s3cret}}]
- telegram_configs: [{bot_token: s3cret, chat_id: 1, api_url: 'http://HOST'}]
- discord_configs: [{webhook_url: 'http://HOST/s3cret'}]
- webex_configs: [{api_url: 'http://HOST/', room_id: r, http_config: {authorization: {credentials: s3cret}}}]
- msteams_configs: [{webhook_url: 'http://HOST/s3cret'}]
- msteamsv2_configs: [{webhook_url: 'http://HOST/s3cret'}]
- jira_configs: [{api_url: 'http://HOST/', project: P, issue_type: B, http_config: {basic_auth: {username: u, password: s3cret}}}]
- incidentio_configs: [{url: 'http://HOST/', alert_source_token: s3cret}]
- rocketchat_configs: [{api_url: 'http://HOST/', token: s3cret, token_id: s3cret, channel: c}]
- mattermost_configs: [{webhook_url: 'http://HOST/s3cret'}]
- pushover_configs: [{user_key: s3cret, token: s3cret, http_config: {proxy_url: 'http://HOST'}}]
";

/// Integrations for a list of receiver items, one receiver each.
fn integrations(items: &str) -> Vec<Integration> {
    let items: Vec<serde_yaml::Value> = serde_yaml::from_str(items).expect("a list");
    let receivers = items.iter().enumerate().map(|(index, item)| {
        let fields = serde_json::to_string(item).expect("plain data");
        format!("{{\"name\":\"r{index}\",{}", fields.trim_start_matches('{'))
    });
    let receivers: Vec<String> = receivers.collect();
    let routes: Vec<String> =
        (0..items.len()).map(|index| format!("{{\"receiver\":\"r{index}\"}}")).collect();
    let yaml = format!(
        "{{\"route\":{{\"receiver\":\"r0\",\"routes\":[{}]}},\"receivers\":[{}]}}",
        routes.join(","),
        receivers.join(",")
    );
    let config = AlertmanagerConfig::parse(&yaml, MatcherSyntax::Fallback).expect("a good configuration");
    let built = build(&config, "http://am", &RealClock::shared()).expect("good receivers");
    built.into_values().flatten().collect()
}

async fn notify(integration: &Integration, record: &Record) -> Result<Sent, NotifyError> {
    let labels = Labels::from([("alertname".to_owned(), "A".to_owned())]);
    let alert = Alert::new(&labels, &Labels::new(), Time::from_unix_nanos(0), Time::ZERO, "");
    let notification = Notification {
        receiver: "r",
        group_key: "{}:{alertname=\"A\"}",
        group_labels: &labels,
        alerts: &[alert],
        now: Time::from_unix_nanos(1),
        repeat_interval: Duration::from_secs(1),
        reason: Reason::FirstNotification,
        kept: &KeptValues::new(),
        record,
        rendering: None,
    };
    integration.notifier.notify(&notification).await
}

#[tokio::test]
async fn dry_runs_of_every_service_send_nothing_and_show_no_secret() {
    let server = PlayedServer::start(|_| Play::Json("{}".to_owned())).await;
    let all = integrations(&EVERY_SERVICE.replace("HOST", &server.address));
    let names: BTreeSet<&str> = all.iter().map(|integration| integration.name).collect();
    assert_eq!(names.len(), 18, "{names:?}");
    for integration in &all {
        let record = Record::dry_run();
        let result = notify(integration, &record).await;
        assert!(result.is_ok(), "{integration}: {result:?}");
        let exchanges = record.take();
        assert!(!exchanges.is_empty(), "{integration}");
        for exchange in &exchanges {
            let Exchange { url, body, answer, .. } = exchange;
            assert!(!format!("{exchange:?}").contains("s3cret"), "{integration}: {exchange:?}");
            assert!(!url.is_empty() && answer.is_none(), "{integration}: {exchange:?}");
            let is_whole = !body.is_empty() || exchange.method == "GET" || integration.name == "pushover";
            assert!(is_whole, "{integration}: {exchange:?}");
        }
    }
    assert!(server.targets().is_empty(), "{:?}", server.targets());
}

#[tokio::test]
async fn a_trial_is_marked_and_shows_what_was_sent_and_answered() {
    let server =
        PlayedServer::start(|_| Play::Raw("400 Bad Request", String::new(), b"s3cret no".to_vec())).await;
    let items = "- webhook_configs: [{url: 'http://HOST/s3cret'}, {url: 'http://HOST/x'}]";
    let all = integrations(&items.replace("HOST", &server.address));
    let labels = Labels::from([("severity".to_owned(), "page".to_owned())]);
    let clock = RealClock::shared();
    let dry = trial("r0", &all, &labels, &clock, true).await;
    assert!(dry.iter().all(|trial| trial.result.is_ok()) && server.targets().is_empty());
    let trials = trial("r0", &all, &labels, &clock, false).await;
    assert_eq!(server.targets().len(), 2);
    assert_eq!(
        trials.iter().map(|trial| trial.integration.as_str()).collect::<Vec<_>>(),
        ["webhook[0]", "webhook[1]"]
    );
    for (trial, dry) in trials.iter().zip(&dry) {
        let sent = &trial.exchanges[0];
        let same = &dry.exchanges[0];
        assert_eq!((&sent.method, &sent.url), (&same.method, &same.url));
        assert_eq!(sent.body.split("\"startsAt\"").next(), same.body.split("\"startsAt\"").next());
        assert!(sent.body.contains(TEST_ALERT) && sent.body.contains("\"severity\":\"page\""), "{sent:?}");
        assert_eq!(sent.answer.as_deref(), Some("400 Bad Request\ns3cret no"));
        assert!(trial.result.is_err());
    }
}

#[tokio::test]
async fn failures_of_every_service_show_no_secret() {
    let address = format!("127.0.0.1:{}", ferula_free_port::free_port().expect("a port"));
    for integration in &integrations(&EVERY_SERVICE.replace("HOST", &address)) {
        let record = Record::on();
        let error = notify(integration, &record).await.expect_err("nobody listens");
        let exchanges = record.take();
        assert!(error.text.contains("connection refused"), "{integration}: {error}");
        assert!(!format!("{error} {exchanges:?}").contains("s3cret"), "{integration}: {error} {exchanges:?}");
        assert_eq!(error.retry, integration.name != "jira", "{integration}");
    }
}

#[tokio::test]
async fn attempts_end_when_their_own_time_is_up() {
    // Accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("bound").to_string();
    let items = "
- webhook_configs: [{url: 'http://HOST/', timeout: 50ms}]
- slack_configs: [{api_url: 'http://HOST/', channel: c, timeout: 50ms}]
- incidentio_configs: [{url: 'http://HOST/', alert_source_token: t, timeout: 50ms}]
- pagerduty_configs: [{routing_key: k, url: 'http://HOST/', timeout: 50ms}]
";
    for integration in &integrations(&items.replace("HOST", &address)) {
        let error = notify(integration, &Record::off()).await.expect_err("no answer");
        let expected = match integration.name {
            "pagerduty" => format!(
                "failed to post message to PagerDuty: Post \"http://{address}/\": context deadline exceeded: \
                 configured pagerduty timeout reached (50ms)"
            ),
            _ => "Post \"<redacted>\": context deadline exceeded".to_owned(),
        };
        assert_eq!((error.text, error.retry), (expected, true), "{integration}");
    }
}

#[tokio::test]
async fn endless_answers_are_read_in_part() {
    let server = PlayedServer::start(|_| Play::Endless(b"more and more ")).await;
    let items = "
- webhook_configs: [{url: 'http://HOST/'}]
- slack_configs: [{api_url: 'http://HOST/', channel: c}]
- jira_configs: [{api_url: 'http://HOST/', project: P, issue_type: B}]
";
    for integration in &integrations(&items.replace("HOST", &server.address)) {
        let result = notify(integration, &Record::on()).await;
        assert_eq!(result.is_ok(), integration.name == "webhook", "{integration}");
    }
}
