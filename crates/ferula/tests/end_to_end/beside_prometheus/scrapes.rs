//! Targets with odd habits, and how their scrapes end.

use super::played::{Answer, page, status, typed};

/// What of a job is looked at.
pub enum Aspect {
    /// Labels and values of the series that this expression finds, until they are as expected; `JOB` stands for a matcher.
    Series(&'static str),
    /// The error of the last scrape, or its beginning: some say here what to do.
    Error,
    /// First line and `Host` of the first request that arrived.
    Head,
}

/// A job of the configuration.
pub struct Case {
    pub job: &'static str,
    /// Further keys of the job, in flow style; `PORT` is the port of the played server.
    pub keys: &'static str,
    pub answer: Answer,
    pub show: Aspect,
    /// `PORT` stands for the port here, too.
    pub expected: &'static str,
}

const fn case(
    job: &'static str,
    keys: &'static str,
    answer: Answer,
    show: Aspect,
    expected: &'static str,
) -> Case {
    Case { job, keys, answer, show, expected }
}

/// A page in the usual format.
const GOOD: Answer = |_, _| page("good 1\n");
/// The series of the page, without those that report on the scrape.
const GOOD_SERIES: Aspect = Aspect::Series("good{JOB}");
/// Whether every one of the scrapes so far was good, once there were some.
const ALWAYS_UP: Aspect =
    Aspect::Series("max(min_over_time(up{JOB}[10m]) and count_over_time(up{JOB}[10m]) > 2)");
const UP: &str = "{} 1";

pub const CASES: &[Case] = &[
    // A label that the page names with an empty value counts as named.
    case(
        "empty-label",
        "honor_labels: true, static_configs: [{targets: ['127.0.0.1:PORT'], labels: {zone: t}}]",
        |_, _| page("b{zone=\"\"} 2\nb 3\n"),
        Aspect::Series("b{JOB}"),
        "{__name__=\"b\", instance=\"127.0.0.1:PORT\", zone=\"t\"} 3\n{__name__=\"b\", instance=\"127.0.0.1:PORT\"} 2",
    ),
    case(
        "empty-label-not-honored",
        "static_configs: [{targets: ['127.0.0.1:PORT'], labels: {zone: t}}]",
        |_, _| page("b{zone=\"\"} 2\nb{zone=\"z\"} 3\n"),
        Aspect::Series("b{JOB}"),
        "{__name__=\"b\", exported_zone=\"z\", instance=\"127.0.0.1:PORT\", zone=\"t\"} 3\n{__name__=\"b\", instance=\"127.0.0.1:PORT\", zone=\"t\"} 2",
    ),
    // A page that is broken in the middle.
    case(
        "broken-page",
        "",
        |_, _| page("good 1\nbad{ 1\n"),
        Aspect::Series("max_over_time(scrape_series_added{JOB}[10m])"),
        "{instance=\"127.0.0.1:PORT\"} 1",
    ),
    // Relabelling by Go's Unicode, letter by letter.
    case(
        "letters",
        "metric_relabel_configs: [{source_labels: [x], target_label: up, action: uppercase}, {source_labels: [x], target_label: low, action: lowercase}]",
        |_, _| page("good{x=\"Straße ΟΔΟΣ İı ǅ ŉ ﬁ\"} 1\n"),
        GOOD_SERIES,
        "{__name__=\"good\", instance=\"127.0.0.1:PORT\", low=\"straße οδοσ iı ǆ ŉ ﬁ\", up=\"STRAßE ΟΔΟΣ İI Ǆ ŉ ﬁ\", x=\"Straße ΟΔΟΣ İı ǅ ŉ ﬁ\"} 1",
    ),
    // What Go's HTTP client does with a connection.
    case(
        "closes-second",
        "",
        |_, number| if number % 2 == 0 { None } else { page("good 1\n") },
        ALWAYS_UP,
        UP,
    ),
    case("closes-always", "", |_, _| None, Aspect::Error, "Get \"http://127.0.0.1:PORT/metrics\": EOF"),
    case(
        "closes-midway",
        "",
        |_, _| Some(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\ngood 1\n".to_vec()),
        Aspect::Error,
        "unexpected EOF",
    ),
    case(
        "early-hints",
        "",
        |_, _| {
            let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec();
            Some([hints, page("good 1\n")?].concat())
        },
        ALWAYS_UP,
        UP,
    ),
    case(
        "many-headers",
        "",
        |_, _| {
            let fields: String = (0..300).map(|n| format!("X-{n}: {n}\r\n")).collect();
            Some(
                format!(
                    "HTTP/1.1 200 OK\r\n{fields}Content-Type: text/plain\r\nContent-Length: 7\r\n\r\ngood 1\n"
                )
                .into(),
            )
        },
        ALWAYS_UP,
        UP,
    ),
    case(
        "large-headers",
        "",
        |_, _| {
            let value = "v".repeat(2 << 20);
            Some(format!("HTTP/1.1 200 OK\r\nX: {value}\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\ngood 1\n").into())
        },
        ALWAYS_UP,
        UP,
    ),
    case(
        "not-http",
        "",
        |_, _| Some(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec()),
        Aspect::Error,
        "Get \"http://127.0.0.1:PORT/metrics\": net/http: HTTP/1.x transport connection broken: malformed HTTP response \"SSH-2.0-OpenSSH_9.9\"",
    ),
    // The server's own words.
    case(
        "own-words",
        "",
        |_, _| status("503 Backend fetch failed", ""),
        Aspect::Error,
        "server returned HTTP status 503 Backend fetch failed",
    ),
    case(
        "own-code",
        "",
        |_, _| status("529 Site is overloaded", ""),
        Aspect::Error,
        "server returned HTTP status 529 Site is overloaded",
    ),
    case(
        "no-words",
        "",
        |_, _| Some(b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Aspect::Error,
        "server returned HTTP status 404",
    ),
    case(
        "no-content",
        "",
        |_, _| Some(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        Aspect::Error,
        "server returned HTTP status 204 No Content",
    ),
    case(
        "redirect-nowhere",
        "",
        |_, _| status("302 Found", ""),
        Aspect::Error,
        "server returned HTTP status 302 Found",
    ),
    case(
        "redirect-same",
        "",
        |_, _| status("302 Found", "Location: /metrics\r\n"),
        Aspect::Error,
        "Get \"/metrics\": stopped after 10 redirects",
    ),
    case(
        "redirect-relative",
        "metrics_path: /a/b",
        |head, _| match head.starts_with("GET /a/b ") {
            true => status("301 Moved Permanently", "Location: ../c?d=e\r\n"),
            false => page(&format!("good{{path=\"{}\"}} 1\n", head.split(' ').nth(1)?)),
        },
        GOOD_SERIES,
        "{__name__=\"good\", instance=\"127.0.0.1:PORT\", path=\"/c?d=e\"} 1",
    ),
    case(
        "redirect-not-followed",
        "follow_redirects: false",
        |_, _| status("307 Temporary Redirect", "Location: /x\r\n"),
        Aspect::Error,
        "server returned HTTP status 307 Temporary Redirect",
    ),
    // Media types as Go reads them.
    case(
        "type-twice",
        "",
        |_, _| typed("text/plain; charset=utf-8; charset=latin1", "good 1\n"),
        Aspect::Error,
        "cannot parse Content-Type \"text/plain; charset=utf-8; charset=latin1\" and no fallback_scrape_protocol for target\nmime: duplicate parameter name",
    ),
    case("type-quoted", "", |_, _| typed("TEXT/PLAIN; version=\"0.0.4\";", "good 1\n"), ALWAYS_UP, UP),
    case(
        "type-fallback",
        "fallback_scrape_protocol: PrometheusText0.0.4",
        |_, _| typed("application/json", "good 1\n"),
        ALWAYS_UP,
        UP,
    ),
    // URLs as Go writes them.
    case(
        "no-host",
        "static_configs: [{targets: [':PORT']}]",
        GOOD,
        Aspect::Head,
        "GET /metrics HTTP/1.1 | :PORT",
    ),
    case(
        "dots",
        "metrics_path: /a/./b/../c",
        GOOD,
        Aspect::Head,
        "GET /a/./b/../c HTTP/1.1 | 127.0.0.1:PORT",
    ),
    case("slashes", "metrics_path: //a//b/", GOOD, Aspect::Head, "GET //a//b/ HTTP/1.1 | 127.0.0.1:PORT"),
    case(
        "letters-in-path",
        "metrics_path: '/ä b%2fc%25?q'",
        GOOD,
        Aspect::Head,
        "GET /%C3%A4%20b%252fc%2525%3Fq HTTP/1.1 | 127.0.0.1:PORT",
    ),
    case(
        "parameters",
        "params: {b: ['x y', ''], a: ['ü&=+/'], '': [z]}",
        GOOD,
        Aspect::Head,
        "GET /metrics?=z&a=%C3%BC%26%3D%2B%2F&b=x+y&b= HTTP/1.1 | 127.0.0.1:PORT",
    ),
    case(
        "query-in-address",
        "static_configs: [{targets: ['127.0.0.1:PORT?x']}]",
        GOOD,
        Aspect::Error,
        "parse \"http://127.0.0.1:PORT%3Fx/metrics\": invalid port \":PORT%3Fx\" after host",
    ),
    case(
        "fragment-in-address",
        "static_configs: [{targets: ['127.0.0.1:PORT#x']}]",
        GOOD,
        Aspect::Error,
        "parse \"http://127.0.0.1:PORT%23x/metrics\": invalid port \":PORT%23x\" after host",
    ),
    case(
        "user-in-address",
        "static_configs: [{targets: ['user@127.0.0.1:PORT']}]",
        GOOD,
        Aspect::Head,
        "no request",
    ),
    case(
        "explicit-port",
        "proxy_url: 'http://127.0.0.1:PORT', static_configs: [{targets: ['some.invalid:80']}]",
        GOOD,
        Aspect::Head,
        "GET http://some.invalid:80/metrics HTTP/1.1 | some.invalid:80",
    ),
    case(
        "explicit-tls-port",
        "proxy_url: 'http://127.0.0.1:PORT', scheme: https, static_configs: [{targets: ['some.invalid']}]",
        |_, _| status("403 No way", ""),
        Aspect::Head,
        "CONNECT some.invalid:443 HTTP/1.1 | some.invalid:443",
    ),
    case(
        "refusing-proxy",
        "proxy_url: 'http://127.0.0.1:PORT', scheme: https, static_configs: [{targets: ['some.invalid']}]",
        |_, _| status("403 No way", ""),
        Aspect::Error,
        "Get \"https://some.invalid/metrics\": No way",
    ),
    // The forms of `no_proxy`: what is not excepted reaches the proxy, which answers for the target.
    case(
        "proxy-other-port",
        "proxy_url: 'http://127.0.0.1:PORT', no_proxy: 'some.invalid:81', static_configs: [{targets: ['some.invalid:80']}]",
        GOOD,
        ALWAYS_UP,
        UP,
    ),
    case(
        "proxy-same-port",
        "proxy_url: 'http://127.0.0.1:PORT', no_proxy: 'some.invalid:80', static_configs: [{targets: ['some.invalid:80']}]",
        GOOD,
        ALWAYS_UP,
        "{} 0",
    ),
    case(
        "proxy-star-domain",
        "proxy_url: 'http://127.0.0.1:PORT', no_proxy: '*.invalid', static_configs: [{targets: ['some.invalid:80']}]",
        GOOD,
        ALWAYS_UP,
        "{} 0",
    ),
    case(
        "proxy-dot-domain",
        "proxy_url: 'http://127.0.0.1:PORT', no_proxy: '.some.invalid', static_configs: [{targets: ['some.invalid:80']}]",
        GOOD,
        ALWAYS_UP,
        UP,
    ),
    case(
        "proxy-domain",
        "proxy_url: 'http://127.0.0.1:PORT', no_proxy: 'invalid', static_configs: [{targets: ['some.invalid:80']}]",
        GOOD,
        ALWAYS_UP,
        "{} 0",
    ),
    case(
        "proxy-star",
        "proxy_url: 'http://127.0.0.1:PORT', no_proxy: '*', static_configs: [{targets: ['some.invalid:80']}]",
        GOOD,
        ALWAYS_UP,
        "{} 0",
    ),
];
