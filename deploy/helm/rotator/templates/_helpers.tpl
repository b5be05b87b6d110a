{{- define "rotator.name" -}}
{{- if contains "rotator" .Release.Name -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-rotator" .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rotator.selector" -}}
app.kubernetes.io/name: rotator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rotator.labels" -}}
{{ include "rotator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "rotator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "rotator.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- /* Whether there is a daemon that listens. */ -}}
{{- define "rotator.listens" -}}
{{- if and .Values.http.enabled (eq .Values.mode "deployment") (or .Values.config .Values.http.configured) }}true{{ end -}}
{{- end -}}

{{- define "rotator.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if include "rotator.listens" . -}}
{{- $http := default dict $config.http -}}
{{- $_ := set $http "listen" (printf "%s:%v" .Values.http.address .Values.http.port) -}}
{{- if .Values.http.tokenSecret.name -}}
{{- $_ := set $http "token" (dict "env" "ROTATOR_HTTP_TOKEN") -}}
{{- end -}}
{{- $_ := set $config "http" $http -}}
{{- end -}}
{{ toYaml $config }}
{{- end -}}

{{- /* What would lose a state, or spend a token twice: said before anything is installed. */ -}}
{{- define "rotator.checks" -}}
{{- if not (or .Values.config .Values.existingConfigMap) -}}
{{- fail "rotator: there is no configuration: set config, or existingConfigMap" -}}
{{- end -}}
{{- if and .Values.config .Values.existingConfigMap -}}
{{- fail "rotator: config and existingConfigMap are both set: keep one" -}}
{{- end -}}
{{- $config := default dict .Values.config -}}
{{- $state := default dict $config.state -}}
{{- $escrow := default dict $config.escrow -}}
{{- $local := list -}}
{{- if and .Values.config (eq (default "local" $state.type) "local") -}}{{- $local = append $local "state" -}}{{- end -}}
{{- if eq (default "" $escrow.type) "file" -}}{{- $local = append $local "escrow" -}}{{- end -}}
{{- range $name, $store := default dict $config.stores -}}
{{- if eq (default "" $store.type) "local" -}}{{- $local = append $local (printf "stores.%s" $name) -}}{{- end -}}
{{- end -}}
{{- range default list $config.audit -}}
{{- if and .path (ne .path "-") (not (hasPrefix "/" .path)) -}}{{- $local = append $local "audit" -}}{{- end -}}
{{- end -}}
{{- $many := or (gt (int .Values.shards) 1) (and (eq .Values.mode "deployment") (gt (int .Values.deployment.replicas) 1)) -}}
{{- if and $local (not .Values.persistence.existingClaim) -}}
{{- fail (printf "rotator: %s of the configuration would be lost with the pod: take dynamodb or vault, or set persistence.existingClaim" (join ", " $local)) -}}
{{- end -}}
{{- if and .Values.persistence.existingClaim $many -}}
{{- fail "rotator: persistence.existingClaim is for one process: set deployment.replicas and shards to 1, or leave it out" -}}
{{- end -}}
{{- if and $local $many -}}
{{- fail (printf "rotator: %s of the configuration is for one process: take dynamodb or vault, or set deployment.replicas and shards to 1" (join ", " $local)) -}}
{{- end -}}
{{- end -}}

{{- define "rotator.template" -}}
metadata:
  labels:
    {{- include "rotator.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- if .Values.config }}
    rotator/config: {{ include "rotator.config" . | sha256sum }}
    {{- end }}
    kubectl.kubernetes.io/default-container: rotator
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "rotator.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- if eq .Values.mode "cronjob" }}
  restartPolicy: Never
  terminationGracePeriodSeconds: {{ .Values.cronjob.terminationGracePeriodSeconds }}
  {{- else }}
  terminationGracePeriodSeconds: {{ .Values.deployment.terminationGracePeriodSeconds }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- with .Values.topologySpreadConstraints }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "rotator.selector" . | nindent 10 }}
    {{- end }}
  containers:
    - name: rotator
      {{- if .Values.image.digest }}
      image: "{{ .Values.image.repository }}@{{ .Values.image.digest }}"
      {{- else }}
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      {{- end }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- if eq .Values.mode "cronjob" }}
        - once
        # Until the next pass at its latest, and a minute for what that takes.
        - --horizon={{ add (mul .Values.cronjob.everyMinutes 60) .Values.cronjob.startingDeadlineSeconds 60 }}s
        {{- else }}
        - run
        {{- end }}
        {{- if gt (int .Values.shards) 1 }}
        - --shard=auto/{{ .Values.shards }}
        {{- end }}
      env:
        {{- if include "rotator.stateful" . }}
        - name: ROTATOR_SHARD_INDEX
          valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
        {{- end }}
        {{- if and (include "rotator.listens" .) .Values.http.tokenSecret.name }}
        - name: ROTATOR_HTTP_TOKEN
          valueFrom: {secretKeyRef: {{ toJson (dict "name" .Values.http.tokenSecret.name "key" .Values.http.tokenSecret.key) }}}
        {{- end }}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if include "rotator.listens" . }}
      ports:
        - {name: http, containerPort: {{ .Values.http.port }}, protocol: TCP}
      # A start reads the whole fleet: it lives meanwhile, and is ready when it has.
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        initialDelaySeconds: 10
        periodSeconds: 20
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/rotator, readOnly: true}
        - {name: work, mountPath: /var/lib/rotator}
        - {name: tmp, mountPath: /tmp}
        {{- if .Values.sealKey.existingSecret }}
        - {name: seal, mountPath: /etc/rotator-seal, readOnly: true}
        {{- end }}
        {{- if .Values.serviceAccount.vaultToken.enabled }}
        - {name: vault-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ .Values.existingConfigMap | default (include "rotator.name" .) }}}
    - name: work
      {{- if .Values.persistence.existingClaim }}
      persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim }}}
      {{- else }}
      emptyDir: {sizeLimit: 64Mi}
      {{- end }}
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
    {{- if .Values.sealKey.existingSecret }}
    - name: seal
      secret:
        secretName: {{ .Values.sealKey.existingSecret }}
        defaultMode: 0440
        items: [{key: {{ .Values.sealKey.key | quote }}, path: key}]
    {{- end }}
    {{- if .Values.serviceAccount.vaultToken.enabled }}
    - name: vault-token
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken:
              path: token
              audience: {{ .Values.serviceAccount.vaultToken.audience | quote }}
              expirationSeconds: {{ .Values.serviceAccount.vaultToken.expirationSeconds }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* Daemons of several shards: a stateful set numbers them. */ -}}
{{- define "rotator.stateful" -}}
{{- if and (eq .Values.mode "deployment") (gt (int .Values.shards) 1) }}true{{ end -}}
{{- end -}}
