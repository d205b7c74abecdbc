//! A real CoreDNS, which can be killed, frozen, reloaded and started again on its ports.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::names;
use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::process::Process;
use crate::lab::secs;

/// What a Corefile says beside the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Corefile {
    /// A zone more.
    pub(crate) new_zone: bool,
    /// Queries are forwarded to itself.
    pub(crate) looped: bool,
}

/// What all replicas have in common.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    pub(crate) program: PathBuf,
    pub(crate) max_concurrent: u32,
    /// Of the Kubernetes API, where names come from one.
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// One CoreDNS of the service.
pub(crate) struct Replica {
    name: String,
    build: Build,
    corefile: Corefile,
    port: u16,
    pub(crate) metrics: u16,
    health: u16,
    upstreams: Vec<u16>,
    process: Option<Process>,
    frozen: bool,
}

impl Replica {
    /// Starts it and waits until it answers scrapes.
    pub(crate) fn start(lab: &Lab, i: usize, upstreams: Vec<u16>, build: Build) -> Replica {
        let [port, metrics, health] = [(); 3].map(|()| free_port());
        lab.write("cluster.db", names::cluster_zone());
        lab.write("reverse.db", names::reverse_zone());
        lab.write("new.db", names::new_zone());
        let name = format!("coredns-{i}");
        let (corefile, process, frozen) = (Corefile::default(), None, false);
        let mut replica =
            Replica { name, build, corefile, port, metrics, health, upstreams, process, frozen };
        replica.write(lab);
        replica.launch(lab);
        if let Some(process) = &replica.process {
            process.ready(lab, &format!("http://127.0.0.1:{metrics}/metrics"), secs(30));
        }
        replica
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Has it read another Corefile, where that is another one.
    pub(crate) fn configure(&mut self, lab: &Lab, corefile: Corefile) {
        if self.corefile != corefile {
            self.corefile = corefile;
            self.write(lab);
            self.reload();
        }
    }

    /// What it reads at its next start or reload: the stock Corefile, with answers forgotten when their TTL says so.
    /// CoreDNS would keep them for five seconds at least.
    fn write(&self, lab: &Lab) {
        let Corefile { new_zone, looped } = self.corefile;
        let upstreams = self.upstreams.iter().copied().filter(|_| !looped);
        let upstreams = upstreams.chain(looped.then_some(self.port));
        let upstreams: Vec<String> = upstreams.map(|port| format!("127.0.0.1:{port}")).collect();
        let cluster = match &self.build.kubeconfig {
            Some(file) => format!(
                "    kubernetes cluster.local in-addr.arpa {{\n        kubeconfig {} lab\n        \
                 pods insecure\n        fallthrough in-addr.arpa\n        ttl 30\n    }}\n",
                file.display()
            ),
            // In its place, the zones' files.
            None => {
                "    file cluster.db cluster.local\n    file reverse.db 96.10.in-addr.arpa\n".into()
            }
        };
        let new = if new_zone { "    file new.db corp.internal\n" } else { "" };
        let corefile = format!(
            ".:{} {{\n    bind 127.0.0.1\n    errors {{\n        consolidate 10s \".*\"\n    }}\n    \
             health 127.0.0.1:{} {{\n        lameduck 0s\n    }}\n    prometheus 127.0.0.1:{}\n\
             {cluster}{new}    \
             cache 30 {{\n        success 9984 30 0\n        denial 9984 30 0\n    }}\n    \
             forward . {} {{\n        max_concurrent {}\n    }}\n}}\n",
            self.port,
            self.health,
            self.metrics,
            upstreams.join(" "),
            self.build.max_concurrent,
        );
        lab.write(&format!("{}.Corefile", self.name), corefile);
    }

    /// Starts it where it is not running. It answers some tenths of a second later.
    pub(crate) fn launch(&mut self, lab: &Lab) {
        if self.process.is_none() {
            let file = lab.path(&format!("{}.Corefile", self.name));
            let args = ["-conf".as_ref(), file.as_os_str()];
            self.process = Some(Process::start(lab, &self.name, &self.build.program, args));
        }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        self.frozen = false;
    }

    /// Asks it to end, as Kubernetes does.
    pub(crate) fn terminate(&mut self, lab: &Lab) {
        if let Some(process) = self.process.take() {
            process.terminate(lab, secs(10));
        }
    }

    /// Has it read its Corefile again.
    pub(crate) fn reload(&self) {
        if let Some(process) = &self.process {
            process.signal("USR1");
        }
    }

    /// Takes its CPU away, or gives it back.
    pub(crate) fn freeze(&mut self, frozen: bool) {
        let Some(process) = self.process.as_ref().filter(|_| self.frozen != frozen) else { return };
        process.signal(if frozen { "STOP" } else { "CONT" });
        self.frozen = frozen;
    }

    /// Fails where it has ended by itself.
    pub(crate) fn assert_running(&self) {
        self.process.iter().for_each(Process::assert_running);
    }
}
