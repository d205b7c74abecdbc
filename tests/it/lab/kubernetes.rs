//! A real Kubernetes control plane without nodes: etcd, kube-apiserver, kube-controller-manager, and `kubectl proxy`,
//! which speaks to it as an administrator and to us without TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::http;
use crate::lab::process::Process;
use crate::lab::process::debian;
use crate::lab::process::go_tool;
use crate::lab::process::run;
use crate::lab::secs;

/// The addresses that services get: 10.96.0.1 is the API's own.
const SERVICES: &str = "10.96.0.0/16";
/// It may be known: everything is on loopback, and gone with the test.
const TOKEN: &str = "lab";

/// A running control plane.
pub(crate) struct Kubernetes {
    api_args: Vec<String>,
    api: Option<Process>,
    kubeconfig: PathBuf,
    /// Of `kubectl proxy`.
    port: u16,
    others: [Process; 3],
}

impl Kubernetes {
    /// Starts all four and waits until the API is ready.
    pub(crate) fn start(lab: &Lab) -> Kubernetes {
        let [client, peer, secure, controllers, port] = [(); 5].map(|()| free_port());
        let etcd = format!("http://127.0.0.1:{client}");
        let etcd_args = [
            format!("--data-dir={}", lab.folder("etcd").display()),
            format!("--listen-client-urls={etcd}"),
            format!("--advertise-client-urls={etcd}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            // What is lost with the machine is lost: syncing every write would be most of its work.
            "--unsafe-no-fsync".to_owned(),
        ];
        let store = Process::start(lab, "etcd", &debian("etcd", "etcd-server"), etcd_args);
        store.ready(lab, &format!("{etcd}/health"), secs(30));

        let key = lab.path("sa.key");
        run(&debian("openssl", "openssl"), ["genrsa".as_ref(), "-out".as_ref(), key.as_os_str()]);
        let tokens = lab.write("tokens.csv", format!("{TOKEN},admin,1,\"system:masters\"\n"));
        let api_args = vec![
            format!("--etcd-servers={etcd}"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", key.display()),
            format!("--service-account-signing-key-file={}", key.display()),
            format!("--secure-port={secure}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--cert-dir={}", lab.folder("certs").display()),
            format!("--token-auth-file={}", tokens.display()),
            "--authorization-mode=RBAC".to_owned(),
            format!("--service-cluster-ip-range={SERVICES}"),
            // Pods of the lab need no account.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ];
        let kubeconfig = lab.write("kubeconfig", kubeconfig(secure));
        let api = start_api(lab, &api_args);
        let proxy = [
            format!("--kubeconfig={}", kubeconfig.display()),
            "proxy".to_owned(),
            format!("--port={port}"),
        ];
        let proxy = Process::start(lab, "kubectl-proxy", &go_tool("kubectl"), proxy);
        proxy.ready(lab, &format!("http://127.0.0.1:{port}/readyz"), secs(60));
        // It waits ten seconds for an API, and then ends.
        let controllers = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--service-account-private-key-file={}", key.display()),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={controllers}"),
        ];
        let program = go_tool("kube-controller-manager");
        let controllers = Process::start(lab, "kube-controller-manager", &program, controllers);
        let others = [store, controllers, proxy];
        Kubernetes { api_args, api: Some(api), kubeconfig, port, others }
    }

    /// How clients get in, for those that read such files.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where `kubectl proxy` serves the API.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes an object in a collection, such as `/api/v1/namespaces`.
    pub(crate) fn create(&self, collection: &str, object: &Value) {
        let answer = http::post_json(&format!("{}{collection}", self.url()), object).unwrap();
        assert_eq!(answer.status, 201, "{collection}: {}", answer.body);
    }

    /// Fails if a part that is meant to run has ended by itself.
    pub(crate) fn assert_running(&self) {
        self.api.iter().chain(&self.others).for_each(Process::assert_running);
    }

    /// Ends the API server as a power cut would, or starts it again on its port.
    pub(crate) fn serve(&mut self, lab: &Lab, up: bool) {
        if !up {
            self.api = None;
        } else if self.api.is_none() {
            self.api = Some(start_api(lab, &self.api_args));
        }
    }
}

fn start_api(lab: &Lab, args: &[String]) -> Process {
    Process::start(lab, "kube-apiserver", &go_tool("kube-apiserver"), args)
}

fn kubeconfig(port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
         clusters: [{{name: lab, cluster: {{server: 'https://127.0.0.1:{port}', insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: lab, user: {{token: {TOKEN}}}}}]\n\
         contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]\n"
    )
}
