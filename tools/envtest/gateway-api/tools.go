//go:build tools

// Package tools names the module whose definitions tests install, so that go.mod and go.sum pin it.
package tools

import _ "sigs.k8s.io/gateway-api/apis/v1beta1"
