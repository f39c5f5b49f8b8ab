//! Files of targets: any bytes are read as JSON and as YAML without a panic, and what was read has a file label.

use ferula_discovery::file::parse;

const SEEDS: [&[u8]; 2] = [
    b"- targets: ['a:1', b]\n  labels: {x: &y z, w: *y}\n- targets: []\n",
    br#"[{"targets":["a:1","b"],"labels":{"x":"z"}},{"targets":null}]"#,
];

fn main() {
    ferula_fuzz::drive("target_files", &SEEDS, |input| {
        for name in ["t.yml", "t.json"] {
            for group in parse(name, input).unwrap_or_default() {
                assert_eq!(group.labels.value("__meta_filepath"), name);
            }
        }
    });
}
