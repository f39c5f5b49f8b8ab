//! A small Kubernetes cluster, as kube-state-metrics and cAdvisor show one.

use ferula_telemetry::{CounterVec, GaugeVec, Registry};

use crate::chance::Chance;
use crate::condition::Condition;

const NAMESPACE: &str = "shop";

/// Deployments and the pods of each.
const PODS: [(&str, &str); 3] = [("shop", "shop-7c9d-0"), ("shop", "shop-7c9d-1"), ("auth", "auth-5f6b-0")];

const PHASES: [&str; 5] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];

pub(super) struct Cluster {
    pub(super) registry: Registry,
    phases: GaugeVec,
    available: GaugeVec,
    restarts: CounterVec,
    cpu: CounterVec,
    memory: GaugeVec,
}

impl Cluster {
    pub(super) fn start() -> Self {
        let registry = Registry::new();
        let of_deployment = ["namespace", "deployment"];
        let wanted =
            registry.gauge_vec("kube_deployment_spec_replicas", "Replicas that are wanted.", &of_deployment);
        let requests = registry.gauge_vec(
            "kube_pod_container_resource_requests",
            "What a container was promised.",
            &["namespace", "pod", "container", "resource", "unit"],
        );
        for (deployment, pod) in PODS {
            wanted.with(&[NAMESPACE, deployment]).inc();
            requests.with(&[NAMESPACE, pod, deployment, "cpu", "core"]).set(0.25);
            requests.with(&[NAMESPACE, pod, deployment, "memory", "byte"]).set(256e6);
        }
        Cluster {
            phases: registry.gauge_vec(
                "kube_pod_status_phase",
                "1 for the phase that a pod is in.",
                &["namespace", "pod", "phase"],
            ),
            available: registry.gauge_vec(
                "kube_deployment_status_replicas_available",
                "Replicas that are ready.",
                &of_deployment,
            ),
            restarts: registry.counter_vec(
                "kube_pod_container_status_restarts_total",
                "How often a container was started again.",
                &["namespace", "pod", "container"],
            ),
            cpu: registry.counter_vec(
                "container_cpu_usage_seconds_total",
                "Processor time of a container.",
                &["namespace", "pod", "container"],
            ),
            memory: registry.gauge_vec(
                "container_memory_working_set_bytes",
                "Memory of a container that the kernel cannot take back.",
                &["namespace", "pod", "container"],
            ),
            registry,
        }
    }

    pub(super) fn advance(&self, seconds: f64, condition: &Condition, chance: &mut Chance) {
        for (deployment, _) in PODS {
            self.available.with(&[NAMESPACE, deployment]).set(0.0);
        }
        for (deployment, pod) in PODS {
            let is_dead = condition.instance_is_dead && pod.ends_with("-1");
            for phase in PHASES {
                let is_in_it = phase == if is_dead { "Pending" } else { "Running" };
                self.phases.with(&[NAMESPACE, pod, phase]).set(f64::from(u8::from(is_in_it)));
            }
            let of_container = [NAMESPACE, pod, deployment];
            let restarts = self.restarts.with(&of_container);
            if is_dead && chance.happens(seconds / 30.0) {
                restarts.inc();
            }
            if !is_dead {
                self.available.with(&[NAMESPACE, deployment]).inc();
                self.cpu.with(&of_container).add_f64(condition.requests * 0.001 * seconds);
                self.memory.with(&of_container).set(120e6 + 20e6 * chance.share());
            }
        }
    }
}
