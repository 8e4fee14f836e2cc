{{- define "stepup.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the release's objects. At most 40 characters, because -uninstall and -packs come after it. */}}
{{- define "stepup.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "stepup.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "stepup.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "stepup.instanceLabels" -}}
app.kubernetes.io/name: {{ include "stepup.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
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
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "stepup.image" -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $tagged .Values.image.digest -}}
{{- else -}}
{{- $tagged -}}
{{- end -}}
{{- end -}}

{{/* The restricted Pod Security Standard. */}}
{{- define "stepup.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "stepup.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
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

{{/* Fails on lives of certificates that leave no time to rotate them. */}}
{{- define "stepup.checkCertificates" -}}
{{- $authority := int64 .Values.certificates.authoritySeconds -}}
{{- $leaf := int64 .Values.certificates.leafSeconds -}}
{{- $spread := int64 .Values.certificates.spreadSeconds -}}
{{- if lt $leaf (mul 6 $spread) -}}
{{- fail (printf "certificates.leafSeconds is %d; it must be at least six times certificates.spreadSeconds (%d)" $leaf $spread) -}}
{{- end -}}
{{- if lt $authority $leaf -}}
{{- fail (printf "certificates.authoritySeconds is %d; it must not be less than certificates.leafSeconds (%d)" $authority $leaf) -}}
{{- end -}}
{{- if and .Values.certManager.enabled (lt $leaf 3600) -}}
{{- fail (printf "certificates.leafSeconds is %d; cert-manager issues nothing for less than an hour" $leaf) -}}
{{- end -}}
{{- if and .Values.certManager.enabled (not .Values.certManager.issuerRef.name) (lt $authority (mul 3 $leaf)) -}}
{{- fail (printf "certificates.authoritySeconds is %d; with certManager.enabled it must be at least three times certificates.leafSeconds (%d), since a leaf is not renewed with its authority" $authority $leaf) -}}
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
