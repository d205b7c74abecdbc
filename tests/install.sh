#!/usr/bin/env bash
# Installs what the tests run and is not there yet. Run again, it does nothing.
#   Debian packages: Prometheus, Alertmanager, two exporters, snmpd, dnsperf, etcd, openssl, buildah
#   tests/tools/bin: CoreDNS, Helm, kubectl-validate, controller-gen, the prometheus-operator's CRDs, a Kubernetes
#                    control plane (versions in the go.mod files of tests/tools), older CoreDNS and a newer
#                    Prometheus (versions below), cargo-deny, TensorBoard (versions in
#                    tests/tools/tensorboard-requirements.txt)
set -euo pipefail
cd "$(dirname "$0")/tools"

CARGO_DENY=0.20.2
# Metrics of three generations: these two, and that of go.mod.
OLDER_COREDNS=(1.6.9 1.8.0)
# Of the first line that stores native histograms as a setting, 3.16, by its Go module's number.
PROMETHEUS_3=0.316.0

main() {
  mkdir -p bin
  debian_packages
  go_tools
  cargo_deny
  tensorboard
}

# package → the program that shows that it is installed
packages=(
  prometheus:prometheus
  prometheus-alertmanager:prometheus-alertmanager
  prometheus-node-exporter:prometheus-node-exporter
  prometheus-snmp-exporter:prometheus-snmp-exporter
  snmpd:snmpd
  dnsperf:dnsperf
  etcd-server:etcd
  openssl:openssl
  buildah:buildah
  make:make
)

debian_packages() {
  local missing=() entry
  for entry in "${packages[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${entry#*:}" >/dev/null || missing+=("${entry%%:*}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || fail "not found: ${missing[*]}. They are Debian's packages; install them in this system's way"

  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  # The tests start their own on loopback. Only services that came with this installation are stopped.
  if [ -d /run/systemd/system ]; then
    for entry in "${missing[@]}"; do
      as_root systemctl disable --now "$entry" 2>/dev/null || true
    done
  fi
}

go_tools() {
  local stamp=bin/.stamp want
  want=$(cat {.,kubectl-validate,kubernetes}/go.{mod,sum} ../install.sh | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
  command -v go >/dev/null || fail "Go 1.26 is needed to build CoreDNS and Helm: https://go.dev/dl/ (tar -C /usr/local -xzf go1.26.*.tar.gz, then /usr/local/go/bin on the PATH)"
  # Older ones (1.21 and later) fetch the toolchain that go.mod names by themselves.
  go version | grep -qE 'go1\.(2[1-9]|[3-9][0-9])' || fail "Go 1.26 is needed, this is $(go version): https://go.dev/dl/"

  say "building CoreDNS, Helm, Kubernetes, Prometheus 3 and more, once (about fifteen minutes on two cores)"
  build bin/coredns github.com/coredns/coredns
  build bin/helm helm.sh/helm/v4/cmd/helm
  build bin/controller-gen sigs.k8s.io/controller-tools/cmd/controller-gen
  (cd kubectl-validate && build ../bin/kubectl-validate sigs.k8s.io/kubectl-validate)
  kubernetes
  older_and_newer
  rm -rf bin/crds
  bin/controller-gen crd \
    paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1 output:crd:dir=bin/crds
  printf '%s\n' "$want" >"$stamp"
}

# build FILE PACKAGE [LDFLAGS], in the module of the current folder
build() {
  CGO_ENABLED=0 go build -trimpath -ldflags "-s -w ${3-}" -o "$1" "$2"
}

# Its programs do not know their version unless they are told, and clients ask for it.
kubernetes() (
  cd kubernetes
  local version program
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  for program in kube-apiserver kube-controller-manager kubectl; do
    build "../bin/$program" "k8s.io/kubernetes/cmd/$program" "-X k8s.io/component-base/version.gitVersion=$version"
  done
)

# What cannot be in a module with its other versions. Go checks these against its checksum database.
older_and_newer() {
  local version
  for version in "${OLDER_COREDNS[@]}"; do
    build_at "bin/coredns-$version" "github.com/coredns/coredns@v$version"
  done
  # Without service discovery, of which one module cannot be fetched.
  build_at bin/prometheus-3 "github.com/prometheus/prometheus/cmd/prometheus@v$PROMETHEUS_3" -tags remove_all_sd
}

# build_at FILE PACKAGE@VERSION [FLAGS…]
build_at() {
  local file=$1 package=$2 folder
  shift 2
  folder=$(mktemp -d)
  GOBIN=$folder CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "$@" "$package"
  mv "$folder"/* "$file"
  rmdir "$folder"
}

cargo_deny() {
  [ "$(bin/cargo-deny --version 2>/dev/null)" = "cargo-deny $CARGO_DENY" ] && return
  say "building cargo-deny $CARGO_DENY"
  # Its own release profile links for speed, which takes minutes and is not needed here.
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --quiet --locked --version "$CARGO_DENY" --root bin/cargo-deny.d cargo-deny
  ln -sf cargo-deny.d/bin/cargo-deny bin/cargo-deny
}

tensorboard() {
  local venv=bin/tensorboard.d list=tensorboard-requirements.txt
  cmp -s "$list" "$venv/.done" && return
  python3 -c 'import ensurepip' 2>/dev/null || python_venv
  say "installing TensorBoard"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --only-binary :all: -r "$list"
  ln -sf tensorboard.d/bin/tensorboard bin/tensorboard
  cp "$list" "$venv/.done"
}

python_venv() {
  command -v apt-get >/dev/null || fail "Python's venv is needed for TensorBoard: install it in this system's way"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

say() { echo "install: $*"; }
fail() { echo "install: $*" >&2; exit 1; }

main "$@"
