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
			{Type: dynamicBlock, LabelNames: []string{"type"}},
		},
	}
	processorsSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
		{Type: processorBlock, LabelNames: []string{"type"}}, {Type: dynamicBlock, LabelNames: []string{"type"}},
	}}
	dynamicSchema = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "labels"}}, Blocks: []hcl.BlockHeaderSchema{{Type: "content"}},
	}
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
	dynamicBlock     = "dynamic"
)

// readHCL returns the blocks of a source in a file of HCL, in its native or its JSON form, and those that run for no
// source.
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
			switch {
			case listed.isOnly && len(unknown) > 0 && len(unknown) == len(listed.names):
				p := newProvisioner(block, content)
				p.Unknown = unknown
				unreachable = append(unreachable, p)
			case listed.runsFor(names):
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
			all = append(all, runningBlocks(content)...)
		case dynamicBlock:
			all = append(all, generatedBlocks(block)...)
		default:
			all = append(all, block)
		}
	}
	return all
}

// generatedBlocks returns what a dynamic block generates, once: the blocks for all elements of for_each have the same
// settings, but for those that are not written out. The type of provisioner is "" when that is such a setting.
func generatedBlocks(dynamic *hcl.Block) []*hcl.Block {
	kind := dynamic.Labels[0]
	if kind != provisionerBlock && kind != cleanupBlock && kind != processorBlock && kind != processorsBlock {
		return nil
	}
	settings, _, _ := dynamic.Body.PartialContent(dynamicSchema)
	label := ""
	if attribute, ok := settings.Attributes["labels"]; ok {
		if labels, known := stringList(attribute.Expr); known && len(labels) == 1 {
			label = labels[0]
		}
	}
	var all []*hcl.Block
	for _, content := range settings.Blocks {
		all = append(all, &hcl.Block{
			Type: kind, Labels: []string{label}, Body: content.Body, DefRange: dynamic.DefRange,
		})
	}
	return runningBlocks(&hcl.BodyContent{Blocks: all})
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
	p := Provisioner{
		Type: block.Labels[0], Cleanup: block.Type == cleanupBlock, Processor: block.Type == processorBlock,
		File: block.DefRange.Filename, Line: block.DefRange.Start.Line,
	}
	attributes, _ := block.Body.JustAttributes()
	_, p.HasCodes = attributes[settingExitCodes]
	for name, attribute := range attributes {
		if value, known := constant(attribute.Expr); known {
			p.read(name, value)
		}
	}
	slices.Sort(p.True)
	p.Uses = variables(block, attributes)
	if body, ok := block.Body.(*hclsyntax.Body); ok {
		p.Uses = append(p.Uses, renderedVariables(block.DefRange.Filename, content, body.SrcRange.Start.Byte,
			body.SrcRange.End.Byte)...)
	}
	slices.SortFunc(p.Uses, Variable.compare)
	return p
}

// read takes over a setting that is written out.
func (p *Provisioner) read(name string, value cty.Value) {
	switch {
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
		slices.Sort(p.ExitCodes)
	}
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

// variables returns the references to build variables in a block.
func variables(block *hcl.Block, attributes hcl.Attributes) []Variable {
	var all []Variable
	add := func(t hcl.Traversal, changed string) {
		if len(t) < 2 || t.RootName() != "build" {
			return
		}
		at := t.SourceRange().Start
		all = append(all, Variable{
			Name: elementName(t[1]), File: block.DefRange.Filename, Line: at.Line, Column: at.Column, Changed: changed,
		})
	}
	if body, ok := block.Body.(*hclsyntax.Body); ok {
		_ = hclsyntax.Walk(body, &variableWalker{add: add})
		return all
	}
	for _, attribute := range attributes {
		for _, t := range attribute.Expr.Variables() {
			add(t, "")
		}
	}
	return all
}

// variableWalker finds references in native syntax, and the functions around them.
type variableWalker struct {
	add   func(t hcl.Traversal, changed string)
	calls []string // the functions around the node that change their argument, the innermost last
}

// changing are the functions of Packer's HCL that make another text of their argument.
var changing = []string{
	"abs", "base64decode", "base64encode", "base64gzip", "basename", "bcrypt", "chomp", "convert", "dirname", "indent",
	"length", "lower", "md5", "regex", "regex_replace", "regexall", "replace", "reverse", "rsadecrypt", "sha1",
	"sha256", "sha512", "split", "strlen", "strrev", "substr", "textdecodebase64", "textencodebase64", "title", "trim",
	"trimprefix", "trimsuffix", "upper", "urlencode", "uuidv5",
}

// Enter implements [hclsyntax.Walker].
func (w *variableWalker) Enter(node hclsyntax.Node) hcl.Diagnostics {
	switch node := node.(type) {
	case *hclsyntax.FunctionCallExpr:
		if slices.Contains(changing, node.Name) {
			w.calls = append(w.calls, node.Name)
		}
	case *hclsyntax.ScopeTraversalExpr:
		changed := ""
		if len(w.calls) > 0 {
			changed = w.calls[len(w.calls)-1]
		}
		w.add(node.Traversal, changed)
	}
	return nil
}

// Exit implements [hclsyntax.Walker].
func (w *variableWalker) Exit(node hclsyntax.Node) hcl.Diagnostics {
	if call, ok := node.(*hclsyntax.FunctionCallExpr); ok && slices.Contains(changing, call.Name) {
		w.calls = w.calls[:len(w.calls)-1]
	}
	return nil
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
