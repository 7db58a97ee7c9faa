// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package repotest has the tests of the repository as a whole: the layering, the examples, the documentation, the
// scripts and the files for other programs (pre-commit, goreleaser). It has only tests.
package repotest
