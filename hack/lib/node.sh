# One node: containerd, kubelet and kube-proxy in a network namespace and a cgroup subtree of its own.

# Absolute and short: a Unix socket's path holds 107 bytes.
socket_of() { echo "$state/run/containerd$1.sock"; }
containers_of() { local node=$1; shift; ctr -a "$(socket_of "$node")" -n k8s.io "$@"; }
pods_of() { echo "10.244.$(($1 - 1)).0/24"; }

import_images() { local node=$1 image; shift; for image; do containers_of "$node" images import "$image" >/dev/null; done; }

start_containers() { # start_containers NODE ARCHIVE...
  local node=$1; shift
  mkdir -p "$state/node$node"/{cni,kubelet}
  write_network "$node"
  write_containerd "$node"
  start "$node" "containerd$node" containerd -c "$state/node$node/containerd.toml"
  wait_for 30 "containerd of node$node" ctr -a "$(socket_of "$node")" version
  import_images "$node" "$@"
}

start_node() {
  local node=$1 name=node$1 folder=$state/node$1
  in_node "$node" ip route replace "$services" dev eth0 # without a route, traffic to a Service never meets its DNAT
  certificate "$name" "/O=system:nodes/CN=system:node:$name" clientAuth,serverAuth "DNS:$name,IP:$(node_ip "$node")"
  kubeconfig "$name"
  make_cgroups "$name"
  write_kubelet "$node"
  write_proxy "$node"
  start "$node" "kubelet$node" kubelet --config="$folder/kubelet.yaml" --kubeconfig="$pki/$name.kubeconfig" \
    --hostname-override="$name" --node-ip="$(node_ip "$node")" --root-dir="$folder/kubelet" --cert-dir="$folder/kubelet/pki"
  start "$node" "kube-proxy$node" kube-proxy --config="$folder/proxy.yaml"
  wait_for 60 "$name" node_is_ready "$name"
}
node_is_ready() { k get node "$1" | grep -q ' Ready'; }

make_cgroups() { # two kubelets on one machine must not fight, and `down` must know what to remove
  local root=/sys/fs/cgroup hierarchy setting controllers
  if [ -e "$root/cgroup.controllers" ]; then
    controllers=$(cat "$root/cgroup.controllers")
    printf '+%s ' $controllers >"$root/cgroup.subtree_control"
    mkdir -p "$root/kube-$1"
    printf '+%s ' $controllers >"$root/kube-$1/cgroup.subtree_control"
    return
  fi
  for hierarchy in "$root"/*/; do
    [ -e "$hierarchy/cgroup.procs" ] && [ ! -e "$hierarchy/cgroup.controllers" ] || continue
    mkdir -p "$hierarchy/kube-$1"
    for setting in cpuset.cpus cpuset.mems; do
      [ ! -e "$hierarchy/$setting" ] || cat "$hierarchy/$setting" >"$hierarchy/kube-$1/$setting"
    done
  done
}

write_network() {
  cat >"$state/node$1/cni/10-bridge.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$state/node$1/addresses",
            "ranges": [[{"subnet": "$(pods_of "$1")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
EOF
}

write_containerd() { # restrict_oom_score_adj: a machine may lack CAP_SYS_RESOURCE; unprivileged ports: as containerd 2
  cat >"$state/node$1/containerd.toml" <<EOF
version = 2
root  = "$state/node$1/containerd"
state = "$state/run/node$1"
[grpc]
  address = "$(socket_of "$1")"
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/node$1/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$pause_image"
  disable_apparmor = true
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir  = "/usr/lib/cni"
    conf_dir = "$state/node$1/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
EOF
}

write_kubelet() {
  echo "nameserver 127.0.0.1" >"$state/node$1/resolv.conf"
  cat >"$state/node$1/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /kube-node$1
failSwapOn: false
protectKernelDefaults: true
enforceNodeAllocatable: [pods]
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $pki/ca.crt}, webhook: {enabled: true}}
authorization: {mode: Webhook}
tlsCertFile: $pki/node$1.crt
tlsPrivateKeyFile: $pki/node$1.key
containerRuntimeEndpoint: unix://$(socket_of "$1")
resolvConf: $state/node$1/resolv.conf
clusterDomain: cluster.local
clusterDNS: [$api_ip]
podLogsDir: $state/node$1/logs
volumePluginDir: $state/node$1/kubelet/plugins
nodeStatusReportFrequency: 1m
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
maxPods: 250
EOF
}

write_proxy() {
  cat >"$state/node$1/proxy.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: $pods
hostnameOverride: node$1
bindAddress: $(node_ip "$1")
metricsBindAddress: 127.0.0.1:10249
clientConnection: {kubeconfig: $pki/proxy.kubeconfig}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
oomScoreAdj: 0
EOF
}

stop_containers() { # stop_containers NODE: containers, then containerd, then the shims that outlive it
  local node=$1 container pid
  [ -S "$(socket_of "$node")" ] || return 0
  for container in $(containers_of "$node" tasks ls -q 2>/dev/null); do
    containers_of "$node" tasks rm -f "$container" >/dev/null 2>&1 || true
  done
  for container in $(containers_of "$node" containers ls -q 2>/dev/null); do
    containers_of "$node" containers rm "$container" >/dev/null 2>&1 || true
  done
  stop "containerd$node"
  for pid in $(pgrep -f -- "containerd-shim-runc-v2 .*-address $(socket_of "$node")" || true); do
    kill -9 "$pid" 2>/dev/null || true
  done
}

remove_cgroups() {
  local folder
  for folder in /sys/fs/cgroup/kube-node* /sys/fs/cgroup/*/kube-node*; do
    [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
}
