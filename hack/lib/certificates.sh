# Keys, certificates and kubeconfig files of every part, each under its own name.

new_key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

certificate() ( # certificate NAME SUBJECT USAGE [SUBJECT-ALTERNATIVE-NAMES]
  cd "$pki"
  openssl req -new "${new_key[@]}" -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
  printf 'keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=%s\n%s\n' \
    "$3" "${4:+subjectAltName=$4}" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out "$1.crt" -extfile "$1.ext" 2>/dev/null
)

kubeconfig() { # kubeconfig NAME
  cat >"$pki/$1.kubeconfig" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: local, cluster: {server: "https://$api_ip:6443", certificate-authority: $pki/ca.crt}}]
users: [{name: $1, user: {client-certificate: $pki/$1.crt, client-key: $pki/$1.key}}]
contexts: [{name: local, context: {cluster: local, user: $1}}]
current-context: local
EOF
}

client() { certificate "$1" "$2" clientAuth; kubeconfig "$1"; } # client NAME SUBJECT

make_certificates() {
  openssl req -x509 "${new_key[@]}" -days 365 -keyout "$pki/ca.key" -out "$pki/ca.crt" -subj /CN=kube-ca \
    -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
  certificate apiserver /CN=kube-apiserver serverAuth \
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1,IP:$api_ip"
  certificate kubelet-client /O=system:masters/CN=kubelet-client clientAuth
  certificate front-proxy /CN=front-proxy clientAuth
  client admin /O=system:masters/CN=admin
  client controllers /CN=system:kube-controller-manager
  client scheduler /CN=system:kube-scheduler
  client proxy /CN=system:kube-proxy
  client dns /CN=cluster-dns
  openssl ecparam -name prime256v1 -genkey -noout -out "$pki/accounts.key"
  openssl ec -in "$pki/accounts.key" -pubout -out "$pki/accounts.pub" 2>/dev/null
}
