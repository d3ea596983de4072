//go:build tools

// Package tools names the program that tests of the chart start, so that go.mod and go.sum pin it. Nothing here is compiled.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
