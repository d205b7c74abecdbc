//! Real port counters: snmpd behind snmp_exporter, and node_exporter.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a lab that cannot start says where")]

use crate::lab::Lab;
use crate::lab::free_port;
use crate::lab::process::Process;
use crate::lab::process::debian;
use crate::lab::repository;
use crate::lab::secs;

/// snmpd as the switch, and snmp_exporter before it.
pub(crate) struct Snmp {
    pub(crate) exporter: u16,
    pub(crate) agent: u16,
    _processes: [Process; 2],
}

impl Snmp {
    pub(crate) fn start(lab: &Lab) -> Snmp {
        let (exporter, agent) = (free_port(), free_port());
        let config = format!("agentaddress udp:127.0.0.1:{agent}\nrocommunity public 127.0.0.1\n");
        let config = lab.write("snmpd.conf", config).display().to_string();
        let pid = lab.path("snmpd.pid").display().to_string();
        // In the foreground, logging to stdout, with this file alone and without the AgentX peer.
        let args = ["-f", "-Lo", "-C", "-c", &config, "-p", &pid, "-I", "-smux"];
        // Else it writes into the system's own folder.
        let state = lab.folder("snmpd");
        let state = [("SNMP_PERSISTENT_DIR", state.as_path())];
        let program = debian("snmpd", "snmpd");
        let snmpd = Process::start_with_env(lab, "snmpd", &program, args, &state);

        let modules = repository().join("tests/it/lab/snmp.yml");
        let args = [
            format!("--config.file={}", modules.display()),
            format!("--web.listen-address=127.0.0.1:{exporter}"),
        ];
        let program = debian("prometheus-snmp-exporter", "prometheus-snmp-exporter");
        let process = Process::start(lab, "snmp_exporter", &program, args);
        let url =
            format!("http://127.0.0.1:{exporter}/snmp?module=if_mib&target=127.0.0.1:{agent}");
        process.ready(lab, &url, secs(30));
        Snmp { exporter, agent, _processes: [snmpd, process] }
    }
}

/// node_exporter with nothing but its network counters.
pub(crate) struct Node {
    pub(crate) port: u16,
    _process: Process,
}

impl Node {
    pub(crate) fn start(lab: &Lab) -> Node {
        let port = free_port();
        let args = [
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--collector.disable-defaults".to_owned(),
            "--collector.netdev".to_owned(),
            // Debian's default leaves out lo, which is where the lab's traffic is.
            "--collector.netdev.device-exclude=^$".to_owned(),
        ];
        let program = debian("prometheus-node-exporter", "prometheus-node-exporter");
        let process = Process::start(lab, "node_exporter", &program, args);
        process.ready(lab, &format!("http://127.0.0.1:{port}/metrics"), secs(20));
        Node { port, _process: process }
    }
}
