// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package template

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// The parts of a template that are read; everything else is left out.
var (
	fileSchema  = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "build"}}}
	buildSchema = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "sources"}},
		Blocks: []hcl.BlockHeaderSchema{
			{Type: "source", LabelNames: []string{"name"}},
			{Type: "provisioner", LabelNames: []string{"type"}},
			{Type: cleanupBlock, LabelNames: []string{"type"}},
			{Type: processorBlock, LabelNames: []string{"type"}},
			{Type: processorsBlock},
		},
	}
	processorsSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: processorBlock, LabelNames: []string{"type"}},
	}}
	nameSchema   = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "name"}}}
	filterSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "only"}, {Name: "except"}}}
)

// The settings that are read, and the types of blocks that are handled differently.
const (
	settingDirection = "direction"
	settingExitCodes = "valid_exit_codes"

	provisionerBlock = "provisioner"
	cleanupBlock     = "error-cleanup-provisioner"
	processorBlock   = "post-processor"
	processorsBlock  = "post-processors"
)

// readHCL returns the provisioners of a source in a file of HCL, in its native or its JSON form, and the blocks that
// run for no source.
func readHCL(file string, content []byte, source Source) (found, unreachable []Provisioner) {
	parse := func() (*hcl.File, hcl.Diagnostics) { return hclsyntax.ParseConfig(content, file, hcl.InitialPos) }
	if strings.HasSuffix(file, ".json") {
		parse = func() (*hcl.File, hcl.Diagnostics) { return hcljson.Parse(content, file) }
	}
	parsed, diagnostics := parse()
	if diagnostics.HasErrors() {
		return nil, nil
	}
	top, _, _ := parsed.Body.PartialContent(fileSchema)
	for _, build := range top.Blocks {
		body, _, _ := build.Body.PartialContent(buildSchema)
		names := sourceNames(body, source)
		if len(names) == 0 {
			continue
		}
		known, areKnown := allSourceNames(body)
		for _, block := range runningBlocks(body) {
			listed := filterOf(block.Body)
			var unknown []string
			if areKnown {
				unknown = without(listed.names, known)
			}
			isProvisioner := block.Type == provisionerBlock || block.Type == cleanupBlock
			switch {
			case listed.isOnly && len(unknown) > 0 && len(unknown) == len(listed.names):
				p := newProvisioner(block, content)
				p.Unknown = unknown
				unreachable = append(unreachable, p)
			case isProvisioner && listed.runsFor(names):
				p := newProvisioner(block, content)
				p.Unknown = unknown
				found = append(found, p)
			}
		}
	}
	return found, unreachable
}

// runningBlocks returns the provisioners and post-processors of a build.
func runningBlocks(build *hcl.BodyContent) []*hcl.Block {
	var all []*hcl.Block
	for _, block := range build.Blocks {
		switch block.Type {
		case "source":
		case processorsBlock:
			content, _, _ := block.Body.PartialContent(processorsSchema)
			all = append(all, content.Blocks...)
		default:
			all = append(all, block)
		}
	}
	return all
}

// without returns the names that are not among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// filter is the only or the except of a block.
type filter struct {
	names  []string
	isOnly bool
	known  bool // false when the block has neither, or the names are not written out
}

// filterOf returns the filter of a block. Of both, Packer takes only.
func filterOf(body hcl.Body) (f filter) {
	content, _, _ := body.PartialContent(filterSchema)
	attribute, isOnly := content.Attributes["only"]
	if !isOnly {
		attribute = content.Attributes["except"]
	}
	f.isOnly = isOnly
	if attribute != nil {
		f.names, f.known = stringList(attribute.Expr)
	}
	return f
}

// allSourceNames returns the names of all sources of a build, and false when they are not written out.
func allSourceNames(build *hcl.BodyContent) ([]string, bool) {
	var names []string
	if sources, ok := build.Attributes["sources"]; ok {
		list, known := stringList(sources.Expr)
		if !known {
			return nil, false
		}
		for _, name := range list {
			names = append(names, strings.TrimPrefix(name, "source."))
		}
	}
	for _, block := range build.Blocks {
		if block.Type != "source" {
			continue
		}
		kind, _, _ := strings.Cut(strings.TrimPrefix(block.Labels[0], "source."), ".")
		names = append(names, strings.TrimPrefix(block.Labels[0], "source."))
		content, _, _ := block.Body.PartialContent(nameSchema)
		if attribute, ok := content.Attributes["name"]; ok {
			value, known := constant(attribute.Expr)
			if !known || value.Type() != cty.String {
				return nil, false
			}
			names = append(names, kind+"."+value.AsString())
		}
	}
	return names, true
}

// sourceNames returns the names under which a build block uses a source, such as "bakery-userdata.web", or none.
func sourceNames(build *hcl.BodyContent, source Source) []string {
	var names []string
	own := source.Type + "." + source.Name
	if sources, ok := build.Attributes["sources"]; ok {
		if list, known := stringList(sources.Expr); !known || slices.ContainsFunc(list, func(s string) bool {
			return strings.TrimPrefix(s, "source.") == own
		}) {
			names = append(names, own)
		}
	}
	for _, block := range build.Blocks {
		if block.Type != "source" || strings.TrimPrefix(block.Labels[0], "source.") != own {
			continue
		}
		content, _, _ := block.Body.PartialContent(nameSchema)
		name := own
		if attribute, ok := content.Attributes["name"]; ok {
			if value, known := constant(attribute.Expr); known && value.Type() == cty.String {
				name = source.Type + "." + value.AsString()
			}
		}
		names = append(names, name)
	}
	return names
}

// runsFor reports whether a block runs for one of the names.
func (f filter) runsFor(names []string) bool {
	if !f.known || f.isOnly && len(f.names) == 0 {
		return true
	}
	isListed := slices.ContainsFunc(names, func(name string) bool { return slices.Contains(f.names, name) })
	return isListed == f.isOnly
}

func newProvisioner(block *hcl.Block, content []byte) Provisioner {
	p := Provisioner{Type: block.Labels[0], Cleanup: block.Type == cleanupBlock, File: block.DefRange.Filename,
		Line: block.DefRange.Start.Line}
	attributes, _ := block.Body.JustAttributes()
	for name, attribute := range attributes {
		value, known := constant(attribute.Expr)
		switch {
		case !known:
		case value.Type() == cty.Bool && value.True():
			p.True = append(p.True, name)
		case name == settingDirection:
			p.Downloads = value.Type() == cty.String && value.AsString() == "download"
		case name == settingExitCodes && value.CanIterateElements():
			for _, code := range value.AsValueSlice() {
				if code.Type() == cty.Number && !code.IsNull() {
					n, _ := code.AsBigFloat().Int64()
					p.ExitCodes = append(p.ExitCodes, int(n))
				}
			}
		}
	}
	slices.Sort(p.True)
	for _, traversal := range traversals(block.Body, attributes) {
		at := traversal.SourceRange().Start
		p.Uses = append(p.Uses, Variable{
			Name: elementName(traversal[1]), File: block.DefRange.Filename, Line: at.Line, Column: at.Column,
		})
	}
	if body, ok := block.Body.(*hclsyntax.Body); ok {
		p.Uses = append(p.Uses, renderedVariables(block.DefRange.Filename, content, body.SrcRange.Start.Byte,
			body.SrcRange.End.Byte)...)
	}
	slices.SortFunc(p.Uses, Variable.compare)
	return p
}

// elementName returns the name of build.Host or build["Host"].
func elementName(step hcl.Traverser) string {
	switch step := step.(type) {
	case hcl.TraverseAttr:
		return step.Name
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String && !step.Key.IsNull() && step.Key.IsKnown() {
			return step.Key.AsString()
		}
	}
	return ""
}

// traversals returns the references to build variables in a body.
func traversals(body hcl.Body, attributes hcl.Attributes) []hcl.Traversal {
	var all []hcl.Traversal
	if native, ok := body.(*hclsyntax.Body); ok {
		_ = hclsyntax.VisitAll(native, func(node hclsyntax.Node) hcl.Diagnostics {
			if expression, ok := node.(*hclsyntax.ScopeTraversalExpr); ok {
				all = append(all, expression.Traversal)
			}
			return nil
		})
	} else {
		for _, attribute := range attributes {
			all = append(all, attribute.Expr.Variables()...)
		}
	}
	return slices.DeleteFunc(all, func(t hcl.Traversal) bool { return len(t) < 2 || t.RootName() != "build" })
}

// constant returns the value of an expression without variables and functions.
func constant(expression hcl.Expression) (cty.Value, bool) {
	value, diagnostics := expression.Value(nil)
	return value, !diagnostics.HasErrors() && value.IsWhollyKnown() && !value.IsNull()
}

// stringList returns a list of strings that is written out.
func stringList(expression hcl.Expression) ([]string, bool) {
	value, known := constant(expression)
	if !known || !value.CanIterateElements() {
		return nil, false
	}
	var list []string
	for _, element := range value.AsValueSlice() {
		if element.IsNull() || element.Type() != cty.String {
			return nil, false
		}
		list = append(list, element.AsString())
	}
	return list, true
}
