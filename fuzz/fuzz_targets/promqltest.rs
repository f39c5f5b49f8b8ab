//! Test scripts: any text is parsed or refused, with at most as many points as the limit allows.

fn main() {
    let seeds: [&[u8]; 3] = [
        b"load 1m\n  a{b=\"c\"} 1+2x3 _x2 stale {{schema:1 sum:3 count:4 buckets:[1 3] custom_values:[1]}}+{{count:1}}x2\n",
        b"load_with_nhcb 30s\n  x@st -1m 0s+10sx3\n  x 1x4\n\nclear\n\neval instant at 5m sum(a)\n  expect warn regex: a.b\n  {} 1\n",
        b"eval range from 0 to 1h step 1m a\n  expect range vector from 10s to 1m step 10s\n  expect string \"x\"\n  a 1 2\n",
    ];
    ferula_fuzz::drive("promqltest", &seeds, |input| {
        let text = String::from_utf8_lossy(input);
        for failure in ferula_promqltest::check_script(&text) {
            assert!(failure.line >= 1 && failure.line <= text.lines().count().max(1), "{failure:?}");
        }
    });
}
