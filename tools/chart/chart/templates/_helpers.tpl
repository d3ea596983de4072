{{/* The text of a setting: numbers and booleans as in JSON, so that 1000000 is not 1e+06. */}}
{{- define "inferway.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* The settings of the data plane, as JSON. */}}
{{- define "inferway.gateway-settings" -}}
{{- $data := dict "INFERWAY_GATEWAY" .Values.gatewayName -}}
{{- range $name, $value := .Values.gateway.settings -}}
{{- $_ := set $data $name (include "inferway.text" $value) -}}
{{- end -}}
{{- toJson $data -}}
{{- end }}

{{/* The settings of the operator, as JSON. */}}
{{- define "inferway.operator-settings" -}}
{{- $data := dict "INFERWAY_OPERATOR_GATEWAY" .Values.gatewayName "INFERWAY_OPERATOR_NAMESPACE" .Values.namespaces.gateway -}}
{{- if not (kindIs "invalid" .Values.hostnamePolicy) -}}
{{- $_ := set $data "INFERWAY_OPERATOR_HOSTNAME_POLICY_FILE" "/etc/inferway/hostname-policy.yaml" -}}
{{- end -}}
{{- if .Values.webhook.enabled -}}
{{- range $name, $value := .Values.webhook.settings -}}
{{- $_ := set $data $name (include "inferway.text" $value) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := .Values.operator.settings -}}
{{- $_ := set $data $name (include "inferway.text" $value) -}}
{{- end -}}
{{- toJson $data -}}
{{- end }}

{{/* The hostname policy as a file, as JSON. */}}
{{- define "inferway.hostname-policy" -}}
{{- toJson (dict "hostname-policy.yaml" (toYaml .Values.hostnamePolicy)) -}}
{{- end }}

{{/* The name of a ConfigMap (root, name): it ends in the hash that kustomize adds (of the content, without the name), so a changed setting rolls the pods. */}}
{{- define "inferway.configMapName" -}}
{{- $root := index . 0 -}}
{{- $name := printf "inferway-%s%s" (index . 1) $root.Values.nameSuffix -}}
{{- $data := include (printf "inferway.%s" (index . 1)) $root | fromJson -}}
{{- $hash := dict "kind" "ConfigMap" "name" "" "data" $data | toJson | sha256sum | trunc 10 -}}
{{- $name }}-{{ $hash | replace "0" "g" | replace "1" "h" | replace "3" "k" | replace "a" "m" | replace "e" "t" -}}
{{- end }}

{{/* An image (root, values of the image). */}}
{{- define "inferway.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end -}}
{{- end }}
