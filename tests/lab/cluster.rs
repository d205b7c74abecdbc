//! The services of a Kubernetes cluster, on a real control plane, and the pods behind some of them.
//!
//! Owns: what there is in the cluster, and the part of a kubelet: pods that were made are said to run, since there
//! are no nodes. Does not own: the control plane's processes (`lab::kubernetes`), nor when they fail (`stage`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use super::names;
use crate::lab::Lab;
use crate::lab::http;
use crate::lab::kubernetes::Kubernetes;

/// Deployments with a headless service each: their names are their pods' addresses.
const DEPLOYMENTS: usize = 3;
const PODS: usize = 5;
/// How often new pods are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// A cluster, until dropped.
pub(crate) struct Cluster {
    pub(crate) plane: Kubernetes,
    end: Arc<AtomicBool>,
    kubelet: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Starts it with all services and pods.
    pub(crate) fn start(lab: &Lab) -> Cluster {
        let plane = Kubernetes::start(lab);
        for i in 0..10 {
            let about = json!({"metadata": {"name": format!("ns-{i}")}});
            plane.create("/api/v1/namespaces", &about);
        }
        for i in 0..names::SERVICES {
            let at = format!("/api/v1/namespaces/ns-{}/services", i % 10);
            plane.create(&at, &service(i));
        }
        for i in 0..DEPLOYMENTS {
            let [service, deployment] = headless(i);
            plane.create("/api/v1/namespaces/ns-0/services", &service);
            plane.create("/apis/apps/v1/namespaces/ns-0/deployments", &deployment);
        }
        let (end, url) = (Arc::new(AtomicBool::new(false)), plane.url());
        let over = Arc::clone(&end);
        let kubelet = Some(thread::spawn(move || kubelet(&url, &over)));
        Cluster { plane, end, kubelet }
    }

    /// Has every deployment replace its pods, as `kubectl rollout restart` does. Where the API does not answer,
    /// nothing happens, as with kubectl.
    pub(crate) fn roll_out(&self, generation: i64) {
        for i in 0..DEPLOYMENTS {
            let change = json!({"spec": {"template": {"metadata": {"annotations": {
                "kubectl.kubernetes.io/restartedAt": generation.to_string(),
            }}}}});
            let at =
                format!("{}/apis/apps/v1/namespaces/ns-0/deployments/web-{i}", self.plane.url());
            let _ = patch(&at, "application/merge-patch+json", &change);
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(kubelet) = self.kubelet.take() {
            let _ = kubelet.join();
        }
    }
}

fn service(i: usize) -> Value {
    json!({
        "metadata": {"name": format!("svc-{i}")},
        "spec": {
            "clusterIP": names::address(i),
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    })
}

fn headless(i: usize) -> [Value; 2] {
    let (name, labels) = (format!("web-{i}"), json!({"app": format!("web-{i}")}));
    let service = json!({
        "metadata": {"name": name},
        "spec": {
            "clusterIP": "None",
            "selector": labels,
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    });
    let deployment = json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": "web"}]},
            },
        },
    });
    [service, deployment]
}

/// Says of every pod without an address that it runs, and gives it one.
fn kubelet(url: &str, over: &AtomicBool) {
    let next = AtomicU32::new(0);
    while !over.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
        let pods = http::get(&format!("{url}/api/v1/namespaces/ns-0/pods"));
        let pods = pods.ok().and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
        let Some(pods) = pods.as_ref().and_then(|pods| pods["items"].as_array()) else { continue };
        for pod in pods.iter().filter(|pod| pod["status"]["podIP"].is_null()) {
            let Some(name) = pod["metadata"]["name"].as_str() else { continue };
            let n = next.fetch_add(1, Ordering::Relaxed);
            let at = format!("{url}/api/v1/namespaces/ns-0/pods/{name}/status");
            let _ = patch(&at, "application/strategic-merge-patch+json", &running(n));
        }
    }
}

fn running(n: u32) -> Value {
    let address = format!("10.244.{}.{}", n / 250 % 250, 1 + n % 250);
    let conditions = ["Initialized", "ContainersReady", "Ready", "PodScheduled"]
        .map(|kind| json!({"type": kind, "status": "True"}));
    json!({"status": {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "127.0.0.1",
        "conditions": conditions,
    }})
}

fn patch(url: &str, kind: &str, change: &Value) -> std::io::Result<http::Response> {
    http::send("PATCH", url, &[("Content-Type", kind)], &change.to_string())
}
