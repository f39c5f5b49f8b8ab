//! Traffic by network device.

use ferula_model::MetricFamily;
use ferula_model::MetricType::Counter;

use super::files::{Filling, ProcFiles};

/// Columns of `/proc/net/dev`, first those of what came in, then those of what went out.
const COLUMNS: [(&str, &str); 16] = [
    ("receive_bytes", "Bytes that came in."),
    ("receive_packets", "Packets that came in."),
    ("receive_errs", "Packets that came in with an error."),
    ("receive_drop", "Packets that came in and were dropped, for lack of memory for instance."),
    ("receive_fifo", "Packets lost because the device's buffer was full."),
    ("receive_frame", "Packets that came in with a framing error."),
    ("receive_compressed", "Compressed packets that came in."),
    ("receive_multicast", "Multicast packets that came in."),
    ("transmit_bytes", "Bytes that went out."),
    ("transmit_packets", "Packets that went out."),
    ("transmit_errs", "Packets that could not go out."),
    ("transmit_drop", "Packets that were dropped on their way out."),
    ("transmit_fifo", "Packets not sent because the device's buffer was empty too early."),
    ("transmit_colls", "Collisions."),
    ("transmit_carrier", "Packets not sent for loss of the carrier."),
    ("transmit_compressed", "Compressed packets that went out."),
];

/// Adds the counters of every device.
pub(super) fn collect(files: &ProcFiles, families: &mut Vec<MetricFamily>) {
    devices(&files.read("net/dev"), &mut Filling { families });
}

fn devices(text: &str, out: &mut Filling<'_>) {
    for (device, numbers) in text.lines().filter_map(|line| line.split_once(':')) {
        for ((name, help), word) in COLUMNS.iter().zip(numbers.split_ascii_whitespace()) {
            if let Ok(number) = word.parse() {
                let name = format!("node_network_{name}_total");
                out.add((&name, Counter, help), &[("device", device.trim())], number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::page;
    use super::*;

    #[test]
    fn each_column_has_its_name() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes    packets errs\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n    lo:17 x\n";
        let page = page(|out| devices(text, out));
        for line in [
            "node_network_receive_bytes_total{device=eth0} 1",
            "node_network_receive_bytes_total{device=lo} 17",
            "node_network_receive_multicast_total{device=eth0} 8",
            "node_network_transmit_bytes_total{device=eth0} 9",
            "node_network_transmit_compressed_total{device=eth0} 16",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in {page}");
        }
        assert_eq!(page.lines().count(), 17);
    }
}
