//! What those who run the server look at: samples of targets and rules, flags, configuration, the admin's tools.

use serde_json::json;

use crate::Test;
use crate::chromium::Browser;
use crate::page::Page;
use crate::stories::Site;

pub const TESTS: &[Test] = &[
    ("targets_and_rule_groups_show_their_samples", samples),
    ("flags_can_be_narrowed_to_those_that_were_changed", flags),
    ("a_line_of_the_configuration_has_an_address", config_lines),
    ("snapshots_and_tombstones_are_a_click_for_admins", admin_tools),
    ("blocks_lie_on_a_bar_of_time", blocks),
];

fn samples(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/targets?pool=demo");
    // Six counters, four buckets, sum and count.
    page.wait("document.querySelector('tbody tr')?.cells[5].innerText === '12'");
    page.go("/rules?search=job:up");
    page.wait("/\\d+ samples/.test(document.querySelector('.section')?.innerText ?? '')");
}

fn flags(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/flags");
    page.wait("document.querySelectorAll('tbody tr').length > 40");
    page.click(".page-head input[type=checkbox]");
    page.wait("document.querySelectorAll('tbody tr').length < 8");
    let text = page.text("tbody");
    assert!(text.contains("--web.enable-admin-api") && text.contains("--web.listen-address"), "{text}");
    assert!(!text.contains("--query.timeout"), "{text}");
    assert_eq!(page.eval("new URLSearchParams(location.search).get('changed')"), json!("1"));
}

fn config_lines(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/config#l3");
    page.wait("document.querySelector('.yaml [data-at]')?.id === 'l3'");
    page.click(".page-head input[type=search]");
    page.keys("job_name");
    page.wait("document.querySelectorAll('.yaml mark').length === 3");
    page.key("Enter", 0);
    page.wait("document.querySelector('.page-head .count').innerText === '1 of 3'");
}

fn admin_tools(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/tsdb-status");
    page.press("Clean tombstones");
    page.wait(
        "document.querySelector('dialog .note[data-kind=ok]')?.innerText.includes('removed from disk')",
    );
    page.key("Escape", 0);
    page.wait("document.querySelector('dialog') === null");
    page.press("Snapshot");
    page.wait("document.querySelector('dialog .note[data-kind=ok]')?.innerText.includes('below snapshots/')");
}

fn blocks(browser: &Browser, site: &Site) {
    let page = Page::open(browser, &site.base, "/tsdb-status");
    page.wait("document.querySelectorAll('.timebar > i').length >= 2");
    assert_eq!(page.eval("document.querySelectorAll('.timebar > i[data-head]').length"), json!(1));
    let text = page.text("main");
    assert!(text.contains("New series in the last hour") || text.contains("Series in the head"), "{text}");
}
