{{- define "stepup.name" -}}
{{- regexFind "^.*[^-]" (default .Chart.Name .Values.nameOverride | trunc 40) -}}
{{- end -}}

{{/* The name of the release's objects. At most 40 characters, because -uninstall and -packs come after it. */}}
{{- define "stepup.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- regexFind "^.*[^-]" (trunc 40 .Values.fullnameOverride) -}}
{{- else if contains (include "stepup.name" .) .Release.Name -}}
{{- regexFind "^.*[^-]" (trunc 40 .Release.Name) -}}
{{- else -}}
{{- regexFind "^.*[^-]" (printf "%s-%s" .Release.Name (include "stepup.name" .) | trunc 40) -}}
{{- end -}}
{{- end -}}

{{/* Values that look like numbers or booleans are quoted here and in all templates: a release may be called 1234. */}}
{{- define "stepup.instanceLabels" -}}
app.kubernetes.io/name: {{ include "stepup.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* What Service, Deployment and budget select: the serving pods, never those of hooks. */}}
{{- define "stepup.selectorLabels" -}}
{{ include "stepup.instanceLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "stepup.labels" -}}
{{ include "stepup.instanceLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: stepup
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of a pod, by (dict "root" . "component" "server"). One map, so that a label named twice is there once. */}}
{{- define "stepup.podLabels" -}}
{{- $labels := include "stepup.labels" .root | fromYaml -}}
{{- toYaml (mergeOverwrite $labels (deepCopy (.root.Values.podLabels | default dict)) (dict "app.kubernetes.io/component" .component)) -}}
{{- end -}}

{{- define "stepup.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "stepup.fullname" .) -}}
{{- end -}}

{{- define "stepup.image" -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $tagged .Values.image.digest -}}
{{- else -}}
{{- $tagged -}}
{{- end -}}
{{- end -}}

{{/* settle.resources as resource.group, comma separated. */}}
{{- define "stepup.settleResources" -}}
{{- $names := list -}}
{{- range .Values.settle.resources -}}
{{- $group := .group -}}
{{- range .resources -}}
{{- $names = append $names (ternary . (printf "%s.%s" . $group) (eq $group "")) -}}
{{- end -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{/* Lays .over on .base, in place: objects are merged, null takes away, all else replaces. */}}
{{- define "stepup.overlay" -}}
{{- $base := .base -}}
{{- range $key, $value := .over -}}
{{- if kindIs "invalid" $value -}}
{{- $_ := unset $base $key -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $base $key)) -}}
{{- include "stepup.overlay" (dict "base" (get $base $key) "over" $value) -}}
{{- else -}}
{{- $_ := set $base $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whom the guard lets through, comma separated: the Job that uninstalls, cert-manager if it keeps the certificate, and guard.exempt. */}}
{{- define "stepup.guardExempt" -}}
{{- $account := "system:serviceaccount:%s:%s" -}}
{{- $names := list (printf $account .Release.Namespace (printf "%s-uninstall" (include "stepup.fullname" .))) -}}
{{- if .Values.certManager.enabled -}}
{{- with .Values.certManager.serviceAccount -}}
{{- $names = append $names (printf $account .namespace .name) -}}
{{- end -}}
{{- end -}}
{{- range .Values.guard.exempt -}}
{{- $names = append $names (printf $account .namespace .name) -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}
