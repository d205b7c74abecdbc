//go:build tools

// Package tools pins the programs that the tests run. The import below is what the
// prometheus-operator's CRDs are generated from.
package tools

import _ "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
