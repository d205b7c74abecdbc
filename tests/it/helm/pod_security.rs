//! The Pod Security Standard "restricted", as a function of a pod spec. Kubernetes checks the same
//! at admission; here it is held without a cluster.

use serde_yaml::Value;

const VOLUME_KINDS: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// What in `pod` (a pod spec) the standard forbids; empty where nothing is.
pub(super) fn violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[field] == true {
            found.push(field.to_owned());
        }
    }
    for volume in list(&pod["volumes"]) {
        let kinds = volume.as_mapping().into_iter().flat_map(|fields| fields.keys());
        for kind in kinds.filter_map(Value::as_str).filter(|kind| *kind != "name") {
            if !VOLUME_KINDS.contains(&kind) {
                found.push(format!("volume of kind {kind}"));
            }
        }
    }
    if !list(&pod["securityContext"]["sysctls"]).is_empty() {
        found.push("sysctls".to_owned());
    }
    let containers = ["initContainers", "containers", "ephemeralContainers"];
    for container in containers.iter().flat_map(|field| list(&pod[*field])) {
        let name = container["name"].as_str().unwrap_or("?");
        let problems = container_violations(&pod["securityContext"], container);
        found.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
    }
    if list(&pod["containers"]).is_empty() {
        found.push("no container, so nothing was looked at".to_owned());
    }
    found
}

fn container_violations(of_pod: &Value, container: &Value) -> Vec<&'static str> {
    let own = &container["securityContext"];
    // A container's own setting wins over the pod's.
    let effective = |field: &str| if own[field].is_null() { &of_pod[field] } else { &own[field] };
    let dropped = list(&own["capabilities"]["drop"]);
    let added = list(&own["capabilities"]["add"]);
    let seccomp = effective("seccompProfile")["type"].as_str();
    let rules = [
        ("privileged", own["privileged"] == true),
        ("allowPrivilegeEscalation is not false", own["allowPrivilegeEscalation"] != false),
        ("capabilities are not all dropped", !dropped.contains(&Value::from("ALL"))),
        ("capabilities are added", added.iter().any(|added| *added != "NET_BIND_SERVICE")),
        ("may run as root", effective("runAsNonRoot") != &Value::from(true)),
        ("runs as root", effective("runAsUser").as_u64() == Some(0)),
        ("no seccomp profile", !matches!(seccomp, Some("RuntimeDefault" | "Localhost"))),
        ("its own view of /proc", !matches!(own["procMount"].as_str(), None | Some("Default"))),
        ("own SELinux user or role", has_se_linux_identity(effective("seLinuxOptions"))),
        (
            "a port of the host",
            list(&container["ports"]).iter().any(|port| port["hostPort"].as_u64() > Some(0)),
        ),
    ];
    rules.into_iter().filter(|(_, broken)| *broken).map(|(problem, _)| problem).collect()
}

fn has_se_linux_identity(options: &Value) -> bool {
    !options["user"].is_null() || !options["role"].is_null()
}

fn list(value: &Value) -> &[Value] {
    value.as_sequence().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::violations;
    use serde_yaml::Value;

    const GOOD: &str = "
        securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
        containers:
          - name: a
            securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        volumes: [{name: v, emptyDir: {}}]";

    #[test]
    fn each_forbidden_thing_is_found() {
        for (right, wrong, problem) in [
            ("", "", None),
            ("emptyDir: {}", "hostPath: {path: /}", Some("volume of kind hostPath")),
            (
                "securityContext: {run",
                "hostPID: true\n        securityContext: {run",
                Some("hostPID"),
            ),
            (
                "Escalation: false",
                "Escalation: true",
                Some("a: allowPrivilegeEscalation is not false"),
            ),
            ("drop: [ALL]", "drop: [NET_RAW]", Some("a: capabilities are not all dropped")),
            ("drop: [ALL]", "drop: [ALL], add: [SYS_ADMIN]", Some("a: capabilities are added")),
            ("runAsNonRoot: true, ", "", Some("a: may run as root")),
            ("runAsNonRoot: true", "runAsNonRoot: true, runAsUser: 0", Some("a: runs as root")),
            ("RuntimeDefault", "Unconfined", Some("a: no seccomp profile")),
            ("{allow", "{privileged: true, allow", Some("a: privileged")),
            (
                "name: a",
                "name: a\n            ports: [{hostPort: 80}]",
                Some("a: a port of the host"),
            ),
            ("containers:", "others:", Some("no container, so nothing was looked at")),
        ] {
            let pod: Value = serde_yaml::from_str(&GOOD.replacen(right, wrong, 1)).unwrap();
            let found = violations(&pod);
            assert_eq!(found, Vec::from_iter(problem.map(str::to_owned)), "{wrong}");
        }
    }
}
