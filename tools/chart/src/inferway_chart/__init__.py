"""The Helm chart, made from the kustomizations of manifests/ (docs/decisions/0018-the-chart-is-made-from-the-kustomizations.md).

kustomize renders everything once, with placeholders for the names; each object becomes a template. `parameters` lists the fields that
values set, and the conditions of objects. What has no counterpart in kustomize is in tools/chart/chart: the values with their
comments and schema, and helper templates.
"""
