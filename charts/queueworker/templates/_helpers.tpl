{{- define "queueworker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "queueworker.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "queueworker.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "queueworker.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- /* Name of what lies in no namespace. NAMESPACE-NAME alone is not one release's own: team-a/b and team/a-b. With -view it fits into 63. */ -}}
{{- define "queueworker.clusterName" -}}
{{- $name := include "queueworker.fullname" . -}}
{{- printf "%s-%s" .Release.Namespace $name | trunc 49 | trimAll "-." }}-{{ printf "%s/%s" .Release.Namespace $name | sha256sum | trunc 8 -}}
{{- end }}

{{- /* What selectors choose a component's pods by: (dict "root" $ "component" NAME). */ -}}
{{- define "queueworker.selectorLabelsOf" -}}
{{- dict
  "app.kubernetes.io/name" (include "queueworker.name" .root)
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" .component
| toYaml -}}
{{- end }}

{{- define "queueworker.selectorLabels" -}}
{{- include "queueworker.selectorLabelsOf" (dict "root" . "component" "operator") -}}
{{- end }}

{{- /* What the pods of all workers bear, whoever runs them: workerMonitor finds them by it. */ -}}
{{- define "queueworker.workerLabels" -}}
queueworker.dev/worker: "true"
{{- end }}

{{- /* Labels, each key once: (dict "root" $ "component" NAME "labels" MAP). First come the selectors', then MAP's, then commonLabels. */ -}}
{{- define "queueworker.labelsOf" -}}
{{- $selector := include "queueworker.selectorLabelsOf" . | fromYaml }}
{{- $told := dict
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_")
}}
{{- merge $selector (.labels | default dict) (.root.Values.commonLabels | default dict) $told | toYaml -}}
{{- end }}

{{- /* Labels of the operator's own objects. */ -}}
{{- define "queueworker.labels" -}}
{{- include "queueworker.labelsOf" (dict "root" . "component" "operator") -}}
{{- end }}

{{- define "queueworker.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "queueworker.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- /* An image by digest where one is pinned, else by tag; call with (dict "image" IMAGE "root" $). */ -}}
{{- define "queueworker.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end }}

{{- /* The watched namespaces as a JSON list; none in cluster scope. */ -}}
{{- define "queueworker.namespaces" -}}
{{- if eq .Values.scope "Cluster" -}}
{{- if .Values.watchNamespaces -}}
{{- fail "watchNamespaces has no meaning with scope Cluster: empty it, or set scope to Namespaced" -}}
{{- end -}}
[]
{{- else -}}
{{- .Values.watchNamespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- end -}}
{{- end }}

{{- /* Everything the operator may do where QueueWorkers live, and all of it used: docs/reference/rights.md. */ -}}
{{- define "queueworker.rules" -}}
- apiGroups: [queueworker.dev]
  resources: [queueworkers]
  verbs: [list, watch]
- apiGroups: [queueworker.dev]
  resources: [queueworkers/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [get, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch{{ if .Values.rbac.podDeletionCost }}, patch{{ end }}]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
  {{- with .Values.secretNames }}
  resourceNames: {{ toJson . }}
  {{- end }}
{{- end }}
