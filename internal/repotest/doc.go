// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package repotest holds the tests of what belongs to no package: the layering, the examples, the
// documentation, the scripts and the files other programs read (pre-commit, goreleaser). It has no
// code of its own.
package repotest
