# etcd, API server, controllers, scheduler, and DNS as a process on the API's address.

start_control_plane() {
  start 1 etcd etcd --data-dir "$state/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
  start_api_server
  wait_for 60 "the API server" k get --raw /readyz
  start_with_kubeconfig kube-controller-manager controllers --root-ca-file="$pki/ca.crt" \
    --service-account-private-key-file="$pki/accounts.key" --use-service-account-credentials=true \
    --cluster-cidr="$pods" --allocate-node-cidrs=false
  start_with_kubeconfig kube-scheduler scheduler
  wait_for 30 "the default ServiceAccount" k get serviceaccount default
}

start_api_server() {
  start 1 kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
    --bind-address="$api_ip" --advertise-address="$api_ip" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/accounts.pub" \
    --service-account-signing-key-file="$pki/accounts.key" --service-cluster-ip-range="$services" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --proxy-client-cert-file="$pki/front-proxy.crt" \
    --proxy-client-key-file="$pki/front-proxy.key" --enable-aggregator-routing=true
}

start_with_kubeconfig() { # start_with_kubeconfig PROGRAM CERTIFICATE FLAGS...
  local program=$1 config=$pki/$2.kubeconfig; shift 2
  start 1 "$program" "$program" --kubeconfig="$config" --authentication-kubeconfig="$config" \
    --authorization-kubeconfig="$config" --bind-address=127.0.0.1 --leader-elect=false "$@"
}

start_dns() { # without a Service, a pod or an image; names outside of the cluster fail at once
  k apply -f "$here/lib/dns-role.yaml" >/dev/null
  cat >"$state/Corefile" <<EOF
.:53 {
  bind $api_ip
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $pki/dns.kubeconfig
    ttl 5
  }
  template ANY ANY {
    rcode NXDOMAIN
  }
}
EOF
  start 1 coredns coredns -conf "$state/Corefile"
}

stop_control_plane() { # API server before etcd: otherwise it hangs for a minute
  local part; for part in coredns kube-scheduler kube-controller-manager kube-apiserver etcd; do stop $part; done
}
