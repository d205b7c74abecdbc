{{/* Names and labels. */}}

{{- define "portent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "portent.fullname" -}}
{{- $name := include "portent.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "portent.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "portent.selectorLabels" -}}
app.kubernetes.io/name: {{ include "portent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "portent.labels" -}}
{{ include "portent.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "portent.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "portent.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "portent.image" -}}
{{- $image := .Values.image -}}
{{- $repository := ternary (printf "%s/%s" $image.registry $image.repository) $image.repository (ne $image.registry "") -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The claim that the pod mounts; empty where there is none. */}}
{{- define "portent.claim" -}}
{{- if .Values.persistence.enabled -}}
{{- default (include "portent.fullname" .) .Values.persistence.existingClaim -}}
{{- end -}}
{{- end -}}

{{- define "portent.configName" -}}
{{- default (include "portent.fullname" .) .Values.configFrom.existing -}}
{{- end -}}

{{/* portent.yml: what the values say, with `config` laid over it. No value passes through tpl: `$` and braces are Portent's. */}}
{{- define "portent.config" -}}
{{- if .Values.configFile -}}
{{- .Values.configFile -}}
{{- else -}}
{{- $watches := list -}}
{{- range $preset, $on := dict "coredns" .Values.presets.coredns "node_ports" .Values.presets.nodePorts "snmp_ports" .Values.presets.snmpPorts -}}
{{- if $on -}}{{- $watches = append $watches (dict "name" $preset "preset" $preset) -}}{{- end -}}
{{- end -}}
{{- $prometheus := dict "url" .Values.prometheus.url -}}
{{- with .Values.prometheus.httpConfig -}}{{- $_ := set $prometheus "http_config" . -}}{{- end -}}
{{- $config := dict "source" (dict "prometheus" $prometheus) "watches" $watches -}}
{{- if not (hasKey .Values.config "store") -}}{{- $_ := set $config "store" (dict "path" "/var/lib/portent") -}}{{- end -}}
{{- if .Values.labelsApi.enabled -}}{{- $_ := set $config "web" (dict "labels_api" true) -}}{{- end -}}
{{- $config = mergeOverwrite (deepCopy $config) (deepCopy .Values.config) -}}
{{- if not (dig "source" "prometheus" "url" "" $config) -}}
{{- fail "prometheus.url is not set: give the address of the Prometheus to read, e.g. --set prometheus.url=http://prometheus-operated.monitoring.svc:9090" -}}
{{- end -}}
{{- if not $config.watches -}}
{{- fail "nothing to watch: switch a preset on (presets.coredns, presets.nodePorts, presets.snmpPorts) or set config.watches" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
{{- end -}}

{{/* The ports at which Prometheus' pods may listen: the address names the Service's, which need not be theirs. */}}
{{- define "portent.prometheusPorts" -}}
{{- if .Values.networkPolicy.prometheusPorts -}}
{{- toJson .Values.networkPolicy.prometheusPorts -}}
{{- else -}}
{{- $ports := list 9090 -}}
{{- with urlParse (default .Values.prometheus.url (dig "source" "prometheus" "url" "" .Values.config)) -}}
{{- if .host -}}
{{- $port := regexFind ":[0-9]+$" .host | trimPrefix ":" | default (ternary "443" "80" (eq .scheme "https")) -}}
{{- $ports = append $ports (int $port) -}}
{{- end -}}
{{- end -}}
{{- toJson ($ports | uniq) -}}
{{- end -}}
{{- end -}}

{{/* Settings that contradict each other, each with what to do. */}}
{{- define "portent.check" -}}
{{- if gt (int .Values.replicas) 1 -}}
{{- fail "replicas is above 1: two pods would learn apart and serve the same series with other values, and a store takes one; set replicas=1, or install a second release that watches something else" -}}
{{- end -}}
{{- if and (or .Values.configFile .Values.configFrom.existing) (or .Values.labelsApi.enabled .Values.config) -}}
{{- fail "config and labelsApi.enabled have no effect beside configFile or configFrom.existing: write them into that file (labelsApi.enabled is `web: {labels_api: true}` there)" -}}
{{- end -}}
{{- if and (or .Values.webConfig.tls .Values.webConfig.auth) (not .Values.webConfig.existingSecret) -}}
{{- fail "webConfig.tls and webConfig.auth describe the web configuration in webConfig.existingSecret, which is not set" -}}
{{- end -}}
{{- end -}}

{{- define "portent.probe" -}}
{{- if .root.Values.webConfig.auth -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" .root.Values.webConfig.tls }}
{{- end }}
{{- with .timing }}
{{ toYaml . }}
{{- end }}
{{- end -}}
