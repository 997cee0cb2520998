{{- /* What the demo and `helm test` have in common: a database that nobody keeps, and workers of its queue. */ -}}

{{- /* Metadata: (dict "root" $ "name" NAME "namespace" NAMESPACE "component" NAME "annotations" MAP). */ -}}
{{- define "queueworker.throwaway.metadata" -}}
name: {{ .name }}
namespace: {{ .namespace }}
labels: {{- include "queueworker.labelsOf" . | nindent 2 }}
{{- with .annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Three Secrets, NAME-db, NAME-worker-db and NAME-owner-db; an upgrade keeps the passwords: metadata's keys. */ -}}
{{- define "queueworker.throwaway.secrets" -}}
{{- $old := (lookup "v1" "Secret" .namespace (printf "%s-owner-db" .name)).data | default dict }}
{{- $owner := $old.password | default "" | b64dec | default (randAlphaNum 24) }}
{{- $passwords := dict "owner" $owner "worker" (sha256sum (print "worker" $owner)) "operator" (sha256sum (print "operator" $owner)) }}
{{- $users := dict "owner" "postgres" "worker" "worker" "operator" "operator" }}
{{- $secrets := dict "owner" "-owner-db" "worker" "-worker-db" "operator" "-db" }}
{{- $here := . }}
{{- range $who, $password := $passwords }}
---
apiVersion: v1
kind: Secret
metadata: {{- include "queueworker.throwaway.metadata" (merge (dict "name" (print $here.name (get $secrets $who))) $here) | nindent 2 }}
stringData:
  dsn: postgresql://{{ get $users $who }}:{{ $password }}@{{ $here.name }}-postgres.{{ $here.namespace }}.svc:5432/postgres
  {{- if eq $who "owner" }}
  password: {{ $password }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* A ConfigMap NAME-code with files of files/throwaway: metadata's keys and "files" LIST "more" MAP. */ -}}
{{- define "queueworker.throwaway.code" -}}
{{- $here := . }}
apiVersion: v1
kind: ConfigMap
metadata: {{- include "queueworker.throwaway.metadata" (merge (dict "name" (print .name "-code")) .) | nindent 2 }}
data:
  {{- range .files }}
  {{ . }}: |
    {{- $here.root.Files.Get (print "files/throwaway/" .) | nindent 4 }}
  {{- end }}
  {{- with .more }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /* A Service NAME-postgres for the pods of COMPONENT: metadata's keys. */ -}}
{{- define "queueworker.throwaway.service" -}}
apiVersion: v1
kind: Service
metadata: {{- include "queueworker.throwaway.metadata" (merge (dict "name" (print .name "-postgres")) .) | nindent 2 }}
spec:
  selector: {{- include "queueworker.selectorLabelsOf" . | nindent 4 }}
  publishNotReadyAddresses: true # helm test's pod is Ready only when its own container runs
  ports:
    - {name: postgres, port: 5432, targetPort: postgres}
{{- end }}

{{- /* The server's container: metadata's keys. Its data are in the pod's volume `data`. */ -}}
{{- define "queueworker.throwaway.postgres" -}}
name: postgres
image: {{ include "queueworker.image" (dict "image" .root.Values.demo.postgres.image "root" .root) }}
imagePullPolicy: {{ .root.Values.demo.postgres.image.pullPolicy }}
command: [bash, -ec]
args:
  - |
    if [ ! -s /data/pg/PG_VERSION ]; then
      initdb -D /data/pg -U postgres -A scram-sha-256 --pwfile=<(echo "$POSTGRES_PASSWORD") -E UTF8 --locale=C.UTF-8 -N >/dev/null
      echo "host all all all scram-sha-256" >>/data/pg/pg_hba.conf
    fi
    rm -f /data/pg/postmaster.pid
    exec postgres -D /data/pg -c listen_addresses='*' -c unix_socket_directories=/data -c fsync=off
env:
  - name: POSTGRES_PASSWORD
    valueFrom: {secretKeyRef: {name: {{ .name }}-owner-db, key: password}}
ports:
  - {name: postgres, containerPort: 5432}
startupProbe: {exec: {command: [pg_isready, -q, -h, 127.0.0.1]}, periodSeconds: 1, failureThreshold: 120}
resources:
  requests: {cpu: 50m, memory: 64Mi}
  limits: {memory: 256Mi}
securityContext: {{- toYaml (merge (dict "runAsUser" 999 "runAsGroup" 999) .root.Values.securityContext) | nindent 2 }} # the image's own user: initdb wants a name
volumeMounts:
  - {name: data, mountPath: /data}
{{- end }}

{{- /* The environment of a program that prepares the database: metadata's keys. */ -}}
{{- define "queueworker.throwaway.logins" -}}
{{- range $variable, $secret := dict "QUEUEWORKER_DSN" "owner-db" "WORKER_DSN" "worker-db" "OPERATOR_DSN" "db" }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ $.name }}-{{ $secret }}, key: dsn}}
{{- end }}
{{- end }}

{{- /* What every pod spec begins with. */ -}}
{{- define "queueworker.throwaway.pod" -}}
enableServiceLinks: false
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* A Deployment NAME of workers: metadata's keys and "image" IMAGE "replicas" NUMBER-OR-NOTHING. */ -}}
{{- define "queueworker.throwaway.workers" -}}
apiVersion: apps/v1
kind: Deployment
metadata: {{- include "queueworker.throwaway.metadata" . | nindent 2 }}
spec:
  {{- if hasKey . "replicas" }}
  replicas: {{ .replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "queueworker.selectorLabelsOf" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "queueworker.labelsOf" (merge (dict "labels" (include "queueworker.workerLabels" . | fromYaml)) .) | nindent 8 }}
    spec:
      {{- include "queueworker.throwaway.pod" . | nindent 6 }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 30
      containers:
        - name: worker
          image: {{ include "queueworker.image" (dict "image" .image "root" .root) }}
          imagePullPolicy: {{ .image.pullPolicy }}
          command: [queueworker, worker, --app, "tasks:app", --queue, demo, --concurrency, "4"]
          workingDir: /code
          env:
            - name: QUEUEWORKER_DSN
              valueFrom: {secretKeyRef: {name: {{ .name }}-worker-db, key: dsn}}
            - name: QUEUEWORKER_POD_NAME # how the operator knows which pod is idle
              valueFrom: {fieldRef: {fieldPath: metadata.name}}
            - name: QUEUEWORKER_POD_NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - name: QUEUEWORKER_POD_UID
              valueFrom: {fieldRef: {fieldPath: metadata.uid}}
            - name: QUEUEWORKER_GRACE_S
              value: "20"
          ports:
            - {name: http, containerPort: 8080}
          readinessProbe: # each second: the start-up time that the operator learns ends here
            httpGet: {path: /readyz, port: http}
            periodSeconds: 1
          livenessProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 10
            timeoutSeconds: 3
          resources:
            requests: {cpu: 20m, memory: 64Mi}
            limits: {memory: 256Mi}
          securityContext: {{- toYaml .root.Values.securityContext | nindent 12 }}
          volumeMounts:
            - {name: code, mountPath: /code, readOnly: true}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: code
          configMap: {name: {{ .name }}-code}
        - name: tmp
          emptyDir: {sizeLimit: 16Mi}
{{- end }}

{{- /* A QueueWorker NAME for the Deployment NAME: metadata's keys and "startWithin" "maxReplicas". */ -}}
{{- define "queueworker.throwaway.promise" -}}
apiVersion: queueworker.dev/v1alpha1
kind: QueueWorker
metadata: {{- include "queueworker.throwaway.metadata" . | nindent 2 }}
spec:
  scaleTargetRef: {kind: Deployment, name: {{ .name }}}
  queues: [demo]
  database: {secretRef: {name: {{ .name }}-db}}
  startWithin: {{ .startWithin }}
  minReplicas: 0
  maxReplicas: {{ .maxReplicas }}
{{- end }}

{{- /* Where throw-away QueueWorkers live: where the operator serves them, by preference the release's namespace. */ -}}
{{- define "queueworker.throwaway.namespace" -}}
{{- $watched := include "queueworker.namespaces" . | fromJsonArray }}
{{- if or (not $watched) (has .Release.Namespace $watched) }}{{ .Release.Namespace }}{{ else }}{{ first $watched }}{{ end }}
{{- end }}

{{- /* The operator's right to the Secret NAME-db, where it may get only named ones: metadata's keys. */ -}}
{{- define "queueworker.throwaway.secretRight" -}}
{{- if and .root.Values.rbac.create .root.Values.secretNames }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{- include "queueworker.throwaway.metadata" (merge (dict "name" (print .name "-db")) .) | nindent 2 }}
rules:
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: [{{ .name }}-db]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{- include "queueworker.throwaway.metadata" (merge (dict "name" (print .name "-db")) .) | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}-db
subjects:
  - kind: ServiceAccount
    name: {{ include "queueworker.serviceAccountName" .root }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end }}
