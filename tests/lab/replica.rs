//! A real CoreDNS, which can be killed, frozen, reloaded and started again on its ports.

use std::net::SocketAddr;

use super::names;
use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::process::Process;
use crate::lab::process::go_tool;
use crate::lab::secs;

/// One CoreDNS of the service.
pub(crate) struct Replica {
    name: String,
    port: u16,
    pub(crate) metrics: u16,
    health: u16,
    upstreams: Vec<u16>,
    max_concurrent: u32,
    process: Option<Process>,
    frozen: bool,
}

impl Replica {
    /// Starts it and waits until it answers scrapes.
    pub(crate) fn start(lab: &Lab, i: usize, upstreams: Vec<u16>, max_concurrent: u32) -> Replica {
        let [port, metrics, health] = [(); 3].map(|()| free_port());
        lab.write("cluster.db", names::cluster_zone());
        lab.write("reverse.db", names::reverse_zone());
        lab.write("new.db", names::new_zone());
        let name = format!("coredns-{i}");
        let (process, frozen) = (None, false);
        let mut replica =
            Replica { name, port, metrics, health, upstreams, max_concurrent, process, frozen };
        replica.configure(lab, false);
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

    /// Writes what it reads at its next start or reload.
    pub(crate) fn configure(&self, lab: &Lab, with_new_zone: bool) {
        let upstreams: Vec<String> =
            self.upstreams.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let new = if with_new_zone { "    file new.db corp.internal\n" } else { "" };
        // The stock Corefile, with a zone's file for the kubernetes plugin, and with answers forgotten when
        // their TTL says so: CoreDNS would keep them for five seconds at least.
        let corefile = format!(
            ".:{} {{\n    bind 127.0.0.1\n    errors {{\n        consolidate 10s \".*\"\n    }}\n    \
             health 127.0.0.1:{} {{\n        lameduck 0s\n    }}\n    prometheus 127.0.0.1:{}\n    \
             file cluster.db cluster.local\n    file reverse.db 96.10.in-addr.arpa\n{new}    \
             cache 30 {{\n        success 9984 30 0\n        denial 9984 30 0\n    }}\n    \
             forward . {} {{\n        max_concurrent {}\n    }}\n}}\n",
            self.port,
            self.health,
            self.metrics,
            upstreams.join(" "),
            self.max_concurrent,
        );
        lab.write(&format!("{}.Corefile", self.name), corefile);
    }

    /// Starts it where it is not running. It answers some tenths of a second later.
    pub(crate) fn launch(&mut self, lab: &Lab) {
        if self.process.is_none() {
            let file = lab.path(&format!("{}.Corefile", self.name));
            let args = ["-conf".as_ref(), file.as_os_str()];
            self.process = Some(Process::start(lab, &self.name, &go_tool("coredns"), args));
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
