{{/* Checks that the schema cannot express: each message says what to set. Included once, by deployment.yaml. */}}
{{- define "stepup.check" -}}
{{- include "stepup.checkNames" . -}}
{{- include "stepup.checkPorts" . -}}
{{- include "stepup.checkBudget" . -}}
{{- include "stepup.checkLabels" . -}}
{{- include "stepup.checkPacks" . -}}
{{- include "stepup.checkEngines" . -}}
{{- include "stepup.checkCertificates" . -}}
{{- end -}}

{{- define "stepup.checkNames" -}}
{{- $name := include "stepup.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "the name %q, made from the release name, is not valid for a Service: set fullnameOverride to a name of a-z, 0-9 and - that begins with a letter" $name) -}}
{{- end -}}
{{- with .Values.serviceAccount -}}
{{- if and (not .create) (has .name (list nil "" "default")) -}}
{{- fail "serviceAccount.create is false: set serviceAccount.name to a service account that exists, other than default, which stepup would share with every pod in the namespace that names no account" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stepup.checkPorts" -}}
{{- if eq (int .Values.webhook.port) (int .Values.statusPort) -}}
{{- fail (printf "webhook.port and statusPort are both %d; choose two different ports" (int .Values.statusPort)) -}}
{{- end -}}
{{- if .Values.hostNetwork -}}
{{- range $value, $port := dict "webhook.port" .Values.webhook.port "statusPort" .Values.statusPort -}}
{{- if has (int $port) (list 10250 10256) -}}
{{- fail (printf "%s is %d, which the kubelet or kube-proxy uses on every node, and hostNetwork is true; choose another port, such as 10260" $value (int $port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A budget that allows no eviction blocks every drain of a node. */}}
{{- define "stepup.checkBudget" -}}
{{- $replicas := int .Values.replicas -}}
{{- $least := .Values.podDisruptionBudget.minAvailable -}}
{{- $needed := 0 -}}
{{- if kindIs "string" $least -}}
{{- /* Rounded up, as Kubernetes does. */ -}}
{{- $needed = div (add (mul $replicas (int (trimSuffix "%" $least))) 99) 100 | int -}}
{{- else -}}
{{- $needed = int $least -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.enabled (gt $replicas 1) (ge $needed $replicas) -}}
{{- fail (printf "podDisruptionBudget.minAvailable is %v of %d replicas, so no pod could be evicted and no node drained; set it to at most %d, or increase replicas" $least $replicas (sub $replicas 1)) -}}
{{- end -}}
{{- end -}}

{{- define "stepup.checkLabels" -}}
{{- range $value, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels -}}
{{- range $label, $_ := $labels -}}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|component|version|part-of|managed-by)|helm\\.sh/chart)$" $label -}}
{{- fail (printf "%s: the chart sets %s itself, and selectors use it; choose another label" $value $label) -}}
{{- end -}}
{{- if regexMatch "^(.+\\.)?(stepup\\.dev|rbac\\.authorization\\.k8s\\.io)/" $label -}}
{{- fail (printf "%s: %s is a label that stepup reads, or that adds its roles to Kubernetes' own; choose another label" $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stepup.checkPacks" -}}
{{- $known := list -}}
{{- range $path, $_ := .Files.Glob "packs/*.yaml" -}}
{{- $known = append $known (base $path | trimSuffix ".yaml") -}}
{{- end -}}
{{- range $name, $_ := .Values.packs -}}
{{- if not (has $name $known) -}}
{{- fail (printf "packs: there is no pack %q; the packs are: %s" $name (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "stepup.checkEngines" -}}
{{- $names := list -}}
{{- range .Values.engines -}}
{{- if has .name $names -}}
{{- fail (printf "engines: two engines have the name %s; give each its own name" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- if and $.Values.networkPolicy.enabled (hasPrefix "https:" .url) (not $.Values.networkPolicy.extraEgress) -}}
{{- fail (printf "engines: %s is at %s, but the NetworkPolicy allows egress to the API server only; add a rule for the engine to networkPolicy.extraEgress" .name .url) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Fails on certificate lifetimes that leave no time to rotate. */}}
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
{{- fail (printf "certificates.leafSeconds is %d; cert-manager issues no certificate for less than an hour" $leaf) -}}
{{- end -}}
{{- if and .Values.certManager.enabled (not .Values.certManager.issuerRef.name) (lt $authority (mul 3 $leaf)) -}}
{{- fail (printf "certificates.authoritySeconds is %d; with certManager.enabled it must be at least three times certificates.leafSeconds (%d), since a leaf is not renewed with its authority" $authority $leaf) -}}
{{- end -}}
{{- end -}}
