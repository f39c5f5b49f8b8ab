//! A machine, as node_exporter shows one, and a worker process on it.

use ferula_model::Timestamp;
use ferula_telemetry::{CounterVec, Gauge, Registry};

use super::Process;
use crate::condition::Condition;

const CPUS: [&str; 2] = ["0", "1"];

pub(super) struct Machine {
    pub(super) registry: Registry,
    cpu: CounterVec,
    memory_available: Gauge,
    disk_available: Gauge,
    disk_written: Gauge,
    disk_busy: CounterVec,
    network: [CounterVec; 2],
}

const MEMORY_BYTES: f64 = 8e9;
const DISK_BYTES: f64 = 100e9;

impl Machine {
    pub(super) fn start(now: Timestamp) -> Self {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str, value: f64| {
            let gauge = registry.gauge(name, help);
            gauge.set(value);
            gauge
        };
        gauge(
            "node_boot_time_seconds",
            "When the machine started, since the epoch.",
            now.seconds() - 864_000.0,
        );
        gauge("node_memory_MemTotal_bytes", "Memory of the machine.", MEMORY_BYTES);
        let disk = [
            ("node_filesystem_size_bytes", "Size of a file system."),
            ("node_filesystem_avail_bytes", "What programs can still write to it."),
        ]
        .map(|(name, help)| {
            registry.gauge_vec(name, help, &["device", "fstype", "mountpoint"]).with(&[
                "/dev/vda1",
                "ext4",
                "/",
            ])
        });
        disk[0].set(DISK_BYTES);
        Machine {
            disk_busy: registry.counter_vec(
                "node_disk_io_time_seconds_total",
                "How long a disk had work.",
                &["device"],
            ),
            network: [
                ("node_network_receive_bytes_total", "Bytes that came in."),
                ("node_network_transmit_bytes_total", "Bytes that went out."),
            ]
            .map(|(name, help)| registry.counter_vec(name, help, &["device"])),
            disk_written: Gauge::default(),
            cpu: registry.counter_vec(
                "node_cpu_seconds_total",
                "Where processor time went.",
                &["cpu", "mode"],
            ),
            memory_available: gauge(
                "node_memory_MemAvailable_bytes",
                "Memory that programs can still get.",
                0.6 * MEMORY_BYTES,
            ),
            disk_available: disk[1].clone(),
            registry,
        }
    }

    pub(super) fn advance(&self, seconds: f64, condition: &Condition) {
        let (idle, memory, disk) =
            if condition.machine_is_sick { (0.02, 0.05, 0.02) } else { (0.7, 0.6, 0.55) };
        for cpu in CPUS {
            self.cpu.with(&[cpu, "idle"]).add_f64(idle * seconds);
            self.cpu.with(&[cpu, "user"]).add_f64((1.0 - idle) * 0.8 * seconds);
            self.cpu.with(&[cpu, "system"]).add_f64((1.0 - idle) * 0.2 * seconds);
        }
        self.memory_available.set(memory * MEMORY_BYTES);
        // Something always writes.
        self.disk_written.add(100e3 * seconds);
        self.disk_available.set(disk * DISK_BYTES - self.disk_written.get());
        self.disk_busy.with(&["vda"]).add_f64(0.1 * seconds);
        for (direction, bytes) in self.network.iter().zip([3e5, 2e6]) {
            direction.with(&["eth0"]).add_f64(bytes * seconds);
        }
    }
}

/// A process that restarts every few seconds while the machine is sick.
pub(super) struct Worker {
    pub(super) registry: Registry,
    process: Process,
}

/// How long the worker lives on a sick machine.
const LIFE_SECONDS: f64 = 5.0;

impl Worker {
    pub(super) fn start(now: Timestamp) -> Self {
        let registry = Registry::new();
        Worker { process: Process::start(&registry, now), registry }
    }

    pub(super) fn advance(&self, seconds: f64, condition: &Condition, now: Timestamp) {
        self.process.cpu_seconds.add_f64(0.1 * seconds);
        if condition.machine_is_sick && now.seconds() - self.process.start_time.get() >= LIFE_SECONDS {
            self.process.start_time.set(now.seconds());
        }
    }
}
