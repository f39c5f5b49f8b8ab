//! The web pages: files packed into the binary, and the HTML that every page begins with.
//!
//! Here: finding a file by its path, and the shell. Elsewhere: what the pages do (`assets/js`), how they look
//! (`assets/style`), headers and routes (the server that uses it). Knows nothing of ferula's other crates.
//!
//! Always true: a path under which a file was once answered never names other content. The hash over all files is the
//! first piece of the path, so that clients may keep a file for a year and a module's relative imports stay in one version.

mod escape;

use std::borrow::Cow;
use std::fmt::Write;

use escape::attribute;

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Directory to serve the files from instead, in debug builds: a reload then shows an edit.
const DIRECTORY_VARIABLE: &str = "FERULA_UI_DIR";
/// First piece of the path of files that are read from a directory.
const UNHASHED: &str = "dev";

/// A file of the pages.
#[derive(Clone, Debug)]
pub struct Asset {
    pub content_type: &'static str,
    /// The content, packed with gzip.
    pub gzip: Cow<'static, [u8]>,
    /// Value of `ETag`, with its quotation marks.
    pub etag: Cow<'static, str>,
    /// Value of `Cache-Control`.
    pub cache_control: &'static str,
}

/// What the shell carries for the modules.
#[derive(Clone, Debug, Default)]
pub struct Shell<'a> {
    /// The page's path without prefix, such as `/query`.
    pub path: &'a str,
    pub title: &'a str,
    /// Version of Prometheus that is served.
    pub version: &'a str,
    /// Whether the API answers yet.
    pub ready: bool,
    pub lookback: &'a str,
    /// Whether the admin API is switched on.
    pub admin: bool,
    /// Whether reload and quit are switched on.
    pub lifecycle: bool,
    pub agent: bool,
    /// Address of the console templates' index, or "".
    pub consoles_link: &'a str,
}

/// The file at a path below `assets/`.
pub fn asset(path: &str) -> Option<Asset> {
    // Browsers look for it at the root when a page names none.
    if path == "favicon.svg" {
        return asset(&format!("{HASH}/icon.svg")).map(|icon| Asset { cache_control: "no-cache", ..icon });
    }
    let (version, file) = path.split_once('/')?;
    if version == UNHASHED {
        return from_directory(file);
    }
    if version != HASH {
        return None;
    }
    let at = FILES.binary_search_by_key(&file, |(name, _)| name).ok()?;
    Some(Asset {
        content_type: content_type(file),
        gzip: Cow::Borrowed(FILES[at].1),
        etag: Cow::Borrowed(concat_etag()),
        cache_control: "public, max-age=31536000, immutable",
    })
}

/// One tag for all files: the path already tells them apart.
fn concat_etag() -> &'static str {
    static ETAG: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ETAG.get_or_init(|| format!("\"{HASH}\""))
}

#[cfg(debug_assertions)]
fn from_directory(file: &str) -> Option<Asset> {
    use std::path::{Component, Path};

    let directory = std::env::var_os(DIRECTORY_VARIABLE)?;
    let plain = Path::new(file).components().all(|piece| matches!(piece, Component::Normal(_)));
    let content = std::fs::read(Path::new(&directory).join(file)).ok().filter(|_| plain)?;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &content).ok()?;
    Some(Asset {
        content_type: content_type(file),
        gzip: Cow::Owned(encoder.finish().ok()?),
        etag: Cow::Borrowed("\"dev\""),
        cache_control: "no-store",
    })
}

#[cfg(not(debug_assertions))]
fn from_directory(_: &str) -> Option<Asset> {
    None
}

fn content_type(file: &str) -> &'static str {
    match file.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// How all pages look. One file: a browser waits for it before it paints anything.
const STYLE: &str = "style/pages.css";

/// Modules that every page needs.
const COMMON: [&str; 9] = ["app", "api", "dom", "keep", "keys", "settings", "time", "url_state", "format"];

/// Modules of the query page, which is the one that must be there first. Those of its graph are loaded with the first graph.
const QUERY: [&str; 8] = [
    "pages/query",
    "rows",
    "pages/panel",
    "pages/table_tab",
    "pages/range",
    "editor/editor",
    "editor/tokens",
    "copy",
];

/// The HTML that a page begins with. All addresses in it are relative, so it works behind any path.
pub fn shell(page: &Shell<'_>) -> String {
    let version = version();
    let mut html = String::with_capacity(3 * 1024);
    html.push_str("<!doctype html><html lang=\"en\"");
    for (name, value) in [
        ("title", page.title),
        ("version", page.version),
        ("ready", yes_no(page.ready)),
        ("lookback", page.lookback),
        ("admin", yes_no(page.admin)),
        ("lifecycle", yes_no(page.lifecycle)),
        ("agent", yes_no(page.agent)),
        ("consoles", page.consoles_link),
    ] {
        push(&mut html, format_args!(" data-{name}=\"{}\"", attribute(value)));
    }
    push(
        &mut html,
        format_args!(
            "><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\
             <link rel=icon href=assets/{version}/icon.svg>",
            attribute(page.title)
        ),
    );
    push(&mut html, format_args!("<link rel=stylesheet href=assets/{version}/{STYLE}>"));
    push(&mut html, format_args!("<script type=module src=assets/{version}/js/app.js></script>"));
    let query: &[&str] = if page.path == "/query" && !page.agent { &QUERY } else { &[] };
    for module in COMMON.iter().chain(query).filter(|module| **module != "app") {
        push(&mut html, format_args!("<link rel=modulepreload href=assets/{version}/js/{module}.js>"));
    }
    html.push_str(
        "</head><body><noscript>These pages need JavaScript. The API below api/v1/ does not.</noscript></body></html>\n",
    );
    html
}

/// Modules of Alertmanager's first page, and what they need.
const ALERTMANAGER: [&str; 10] =
    ["am/app", "am/alerts", "am/api", "api", "dom", "keep", "settings", "time", "pages/lists", "pages/range"];

/// The HTML of Alertmanager's pages; the part of the address behind `#` says which.
pub fn alertmanager_shell() -> String {
    let version = version();
    let mut html = String::with_capacity(2 * 1024);
    push(
        &mut html,
        format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\
             <title>Alertmanager</title><link rel=icon href=assets/{version}/icon.svg>"
        ),
    );
    push(&mut html, format_args!("<link rel=stylesheet href=assets/{version}/{STYLE}>"));
    push(&mut html, format_args!("<script type=module src=assets/{version}/js/am/app.js></script>"));
    for module in ALERTMANAGER.iter().skip(1) {
        push(&mut html, format_args!("<link rel=modulepreload href=assets/{version}/js/{module}.js>"));
    }
    html.push_str(
        "</head><body><noscript>These pages need JavaScript. amtool and the API below api/v2/ do not.</noscript></body></html>\n",
    );
    html
}

/// The first piece of the paths of files.
fn version() -> &'static str {
    match cfg!(debug_assertions) && std::env::var_os(DIRECTORY_VARIABLE).is_some() {
        true => UNHASHED,
        false => HASH,
    }
}

fn yes_no(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn unpacked(path: &str) -> String {
        let asset = asset(&format!("{HASH}/{path}")).expect(path);
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*asset.gzip).read_to_string(&mut text).expect("gzip");
        text
    }

    #[test]
    fn every_file_is_found_under_the_hash_and_nowhere_else() {
        for (path, _) in FILES {
            let source = format!("{}/assets/{path}", env!("CARGO_MANIFEST_DIR"));
            let (source, served) = (std::fs::read_to_string(source).expect(path), unpacked(path));
            assert_eq!(source.lines().count(), served.lines().count(), "{path}: lines keep their numbers");
            if path.ends_with(".js") {
                assert!(
                    !served.contains("/**") && !served.contains("@param"),
                    "{path}: comments are not served"
                );
            } else {
                let dense = |text: &str| text.replace(' ', "");
                assert_eq!(dense(&source), dense(&served), "{path}");
            }
            assert!(asset(&format!("0000/{path}")).is_none());
            assert_ne!(content_type(path), "application/octet-stream", "{path}");
        }
        for path in
            ["", "js/app.js", &format!("{HASH}/"), &format!("{HASH}/../Cargo.toml"), "dev/../Cargo.toml"]
        {
            assert!(asset(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_shell_is_small_and_names_only_files_that_exist() {
        let page = |path| {
            shell(&Shell { path, title: "Ferula", version: "3.14.0", lookback: "5m", ..Shell::default() })
        };
        for html in [page("/query"), page("/alerts"), alertmanager_shell()] {
            assert!(html.len() < 3 * 1024, "{} bytes", html.len());
            let prefix = format!("=assets/{HASH}/");
            let named: Vec<_> =
                html.split(&prefix).skip(1).map(|rest| rest.split('>').next().unwrap_or("")).collect();
            assert!(named.len() > 10, "{named:?}");
            for path in named {
                assert!(FILES.iter().any(|(name, _)| *name == path), "{path}");
            }
            assert!(
                !html.contains("=/") && !html.contains("=\"/") && !html.contains("://"),
                "an address is not relative: {html}"
            );
        }
    }

    #[test]
    fn what_the_shell_carries_cannot_leave_its_attribute() {
        let title = "\"><script>alert(1)</script>&'";
        let html = shell(&Shell { path: "/query", title, consoles_link: title, ..Shell::default() });
        assert!(!html.contains("<script>") && !html.contains("title=\"\""), "{html}");
        assert!(
            html.contains("data-title=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;\""),
            "{html}"
        );
    }

    #[test]
    fn the_pages_stay_within_their_size() {
        // Visitors of one program's pages never load the other's.
        let of_alertmanager = |path: &str| path.starts_with("js/am/");
        let sum = |chosen: &dyn Fn(&str) -> bool| -> usize {
            FILES.iter().filter(|(path, _)| chosen(path)).map(|(_, gzip)| gzip.len()).sum()
        };
        let bytes = sum(&|path| !of_alertmanager(path));
        assert!(bytes <= 110 * 1024, "all pages of the server have {bytes} bytes, packed");
        let bytes = sum(&of_alertmanager);
        assert!(bytes <= 20 * 1024, "Alertmanager's own modules have {bytes} bytes, packed");
        let first = |path: &str| {
            let module = path.trim_start_matches("js/").trim_end_matches(".js");
            path.starts_with("style/") || COMMON.contains(&module) || QUERY.contains(&module)
        };
        let html = shell(&Shell { path: "/query", title: "Ferula", ..Shell::default() });
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packed, html.as_bytes()).expect("memory");
        let bytes = sum(&first) + packed.finish().expect("memory").len();
        assert!(bytes <= 60 * 1024, "the query page has {bytes} bytes, packed");
    }

    #[test]
    fn no_file_has_a_way_from_text_to_markup_or_code() {
        const FORBIDDEN: [&str; 9] = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "setHTMLUnsafe",
            "createContextualFragment",
            "DOMParser",
        ];
        for (path, _) in FILES {
            let text = unpacked(path);
            for word in FORBIDDEN {
                assert!(!text.contains(word), "{path}: {word}");
            }
            assert!(!text.contains("http://") || path.ends_with(".svg"), "{path} names another host");
            assert!(text.lines().count() < 400, "{path} is too long");
        }
    }
}
