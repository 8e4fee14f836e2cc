{{/* Stops with a sentence where the API server does not serve a kind that a switch asks for. dict: root, value, api. */}}
{{- define "stepup.needs" -}}
{{- if not (or .root.Values.metrics.assumeCRDs (.root.Capabilities.APIVersions.Has .api)) -}}
{{- fail (printf "%s is true, but the API server does not serve %s: install the Prometheus operator first, or set metrics.assumeCRDs=true if the chart is rendered without a cluster (helm template, Argo CD)" .value .api) -}}
{{- end -}}
{{- end -}}

{{/* Labels of what Prometheus or Grafana find: the chart's, and more. dict: root, more. */}}
{{- define "stepup.labelsAnd" -}}
{{- $labels := include "stepup.labels" .root | fromYaml -}}
{{- toYaml (mergeOverwrite $labels (deepCopy (.more | default dict)) (dict "app.kubernetes.io/component" "metrics")) -}}
{{- end -}}
