# The cluster's own network and mount namespaces, and the processes that run in them.
# nsenter, not `ip netns exec`: that one remounts /sys and loses the cgroup mounts.

# Folders that containerd, CNI and kubelet use whatever they are told: hidden behind bind mounts.
private_folders="/run/containerd /run/netns /var/lib/cni /var/lib/kubelet /var/log/pods /var/log/containers"
# What kubelet insists on; it is shown these values, the machine's own stay as they are.
kubelet_sysctls="vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000"

in_node() { local node=$1; shift; nsenter --mount="$namespaces/mnt" --net="$namespaces/net$node" --wd="$PWD" -- "$@"; }
in_cluster() { in_node 1 "$@"; }
nodes() { local file; for file in "$namespaces"/net*; do [ -e "$file" ] && echo "${file##*/net}"; done; }
node_ip() { if [ "$1" = 1 ]; then echo "$api_ip"; else echo "192.168.$((98 - $1)).2"; fi; }

start() { # start NODE NAME CMD...
  local node=$1 name=$2; shift 2
  in_node "$node" bash -c 'echo $$ >"$1"; exec "${@:3}" >"$2" 2>&1' _ \
    "$state/run/$name.pid" "$state/log/$name.log" "$@" </dev/null >/dev/null 2>&1 &
  disown
}

stop() { # stop NAME: ask, wait 10 s, kill; a zombie counts as gone (PID 1 may reap late)
  local file=$state/run/$1.pid pid tenths
  [ -f "$file" ] || return 0
  pid=$(cat "$file")
  kill "$pid" 2>/dev/null || true
  for ((tenths = 0; tenths < 100; tenths++)); do
    case "$(ps -o stat= -p "$pid" || true)" in "" | Z*) rm -f "$file"; return 0 ;; esac
    sleep .1
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$file"
}

wait_for() { # wait_for SECONDS WHAT CMD...
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "timed out waiting for $what: see $state/log, then run 'hack/cluster down'"
    sleep .1
  done
}

make_namespaces() {
  mkdir -p "$namespaces" "$state"/{run,log,pki,etcd,sysctl,private}
  chmod 700 "$state"
  mount -t tmpfs none "$namespaces"
  mount --make-private "$namespaces"
  touch "$namespaces/mnt" "$namespaces/net1"
  unshare --mount="$namespaces/mnt" --net="$namespaces/net1" --propagation shared true
  # Here, not inside: a namespace file made after the mount namespace is invisible in it.
  ip link add "$link" type veth peer name eth0 netns "$namespaces/net1"
  ip addr add "$host_ip/24" dev "$link"
  ip link set "$link" up
  in_cluster bash -ec "ip link set lo up; ip addr add $api_ip/24 dev eth0; ip link set eth0 up
    ip route add default via $host_ip; echo 1 >/proc/sys/net/ipv4/ip_forward"
  hide_machine
}

hide_machine() {
  local setting file folder
  for setting in $kubelet_sysctls; do
    file=$state/sysctl/$(tr / . <<<"${setting%=*}")
    echo "${setting#*=}" >"$file"
    in_cluster mount --bind "$file" "/proc/sys/${setting%=*}"
  done
  for folder in $private_folders; do
    [ -d "$folder" ] || { mkdir -p "$folder"; echo "$folder" >>"$state/made"; }
    mkdir -p "$state/private$folder"
    in_cluster mount --bind "$state/private$folder" "$folder"
  done
  in_cluster mount --make-rshared /
}

join_node() { # join_node N: a further node is a network namespace behind a veth pair to the first
  local node=$1 net; net=$(node_ip "$node"); net=${net%.*}
  touch "$namespaces/net$node"
  unshare --net="$namespaces/net$node" true
  ip link add "node$node" netns "$namespaces/net1" type veth peer name eth0 netns "$namespaces/net$node"
  in_cluster bash -ec "ip addr add $net.1/24 dev node$node; ip link set node$node up
    ip route add $(pods_of "$node") via $net.2"
  in_node "$node" bash -ec "ip link set lo up; ip addr add $net.2/24 dev eth0; ip link set eth0 up
    ip route add default via $net.1; echo 1 >/proc/sys/net/ipv4/ip_forward"
}

remove_namespaces() {
  local node folder
  ip link del "$link" 2>/dev/null || true
  for node in $(nodes); do umount "$namespaces/net$node" 2>/dev/null || true; done
  umount "$namespaces/mnt" 2>/dev/null || true
  umount "$namespaces" 2>/dev/null || true
  for folder in $(tac "$state/made" 2>/dev/null || true); do
    rmdir --ignore-fail-on-non-empty "$folder" 2>/dev/null || true
  done
}
