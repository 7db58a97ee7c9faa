// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The size of user data is limited, and the guest program takes half of it. A document has the functions that a launch
// of it alone needs, as by another tool; Deliver adds those that its launch needs.

// feature is a part of the guest program that some launches do not need: its functions, each with the body that stands
// for it where others call it, or "" where nothing does.
type feature map[string]string

var (
	// featureReplay runs recorded provisioners.
	featureReplay = feature{
		"bakery_replay": "", "bakery_end_operation": "", "bakery_has_operations_left": "return 1",
		"bakery_has_ended_operation": "",
		"bakery_lookup_user":         "", "bakery_find_umask": "", "bakery_run_as_user": "", "bakery_exec_with_env": "",
		"bakery_command": "", "bakery_end_command": "", "bakery_accept": "", "bakery_try": "", "bakery_pause": "",
		"bakery_upload": "", "bakery_keep_link": "",
		"bakery_updir": "", "bakery_shred_removed": ":", "bakery_fill_facts": "",
	}
	// featureMerge puts the steps of recorded provisioners into the list of steps.
	featureMerge = feature{"bakery_merge_steps": "sed -i '/^recorded /d' $bakery_dir/units"}
	// featureTail reports the last lines of a failed step where nothing encrypts them.
	featureTail = feature{"bakery_report_tail": ""}
	// featureBoothooks runs boothooks.
	featureBoothooks = feature{
		"bakery_run_boothooks": "! bakery_is_ignored bootcmd || : >/run/bakery-bootcmd.ignore",
	}
	// featureOpaque watches the runcmd of what only cloud-init can read.
	featureOpaque = feature{"bakery_watch_runcmd": ""}
	// featureUserData removes the user data where the rest of what cloud-init keeps stays.
	featureUserData = feature{"bakery_wipe_user_data": ""}
	// featureFacts puts values of the machine into what is recorded.
	featureFacts = feature{"bakery_fill_facts": ":"}
	// featureAccept accepts more exit statuses of recorded commands than 0.
	featureAccept = feature{"bakery_accept": ""}
	// featureTransfers fetches files and uploads the log and the commitment.
	featureTransfers = feature{
		"bakery_get": "", "bakery_put": "", "bakery_read_answer": "", "bakery_put_commitment": "",
		"bakery_explain_transfer": "",
		"bakery_upload_log":       ":", "bakery_keep_output": ":", "bakery_pack_log": ":", "bakery_get_archive": "",
		"bakery_download": "",
	}
	// featureLines sends the lines that the steps print.
	featureLines = feature{
		"bakery_exec_log_stream": "", "bakery_start_streaming": ":", "bakery_stop_streaming": ":",
	}
	// featureWipe fills the free space.
	featureWipe = feature{"bakery_wipe_free_space": ""}
	// featureCommands runs the commands of runcmd.
	featureCommands = feature{
		"bakery_run_commands": "", "bakery_stop_accounting": ":", "bakery_write_script": "", "bakery_write_check": "",
		"bakery_write_wait": "", "bakery_account_for": "", "bakery_prepare_command": "", "bakery_replace_command": "",
	}
	// featureArchives unpacks fs/ and the recording.
	featureArchives = feature{"bakery_extract": "", "bakery_restore_labels": "", "bakery_dir": ""}
)

// unneeded returns the features that a launch does not need of a document with these steps.
func (d Delivery) unneeded(units []byte, l Launch) []feature {
	contains := func(text string) bool { return bytes.Contains(units, []byte(text)) }
	var all []feature
	if d.Recording == nil {
		all = append(all, featureReplay, featureMerge)
		if !contains("\nextract fs ") {
			all = append(all, featureArchives)
		}
	}
	if d.Recording != nil && !d.Recording.Facts {
		all = append(all, featureFacts)
	}
	if d.Recording != nil && !d.Recording.Accepts {
		all = append(all, featureAccept)
	}
	if d.FSURL+d.RecordingURL+d.LogURL+l.CommitURL == "" && !contains("\ndownload fs ") {
		all = append(all, featureTransfers)
	}
	if !contains("\ncommand ") {
		all = append(all, featureCommands)
	}
	if d.Key == nil {
		all = append(all, featureLines)
	} else {
		all = append(all, featureTail)
	}
	if !slices.Contains(d.SkipCleanup, "cloudinit_files") {
		all = append(all, featureUserData)
	}
	if !d.WipeFreeSpace {
		all = append(all, featureWipe)
	}
	return all
}

// unitsOf returns the list of steps in a document, after a line break. A script of the user's may contain such lines
// too.
func unitsOf(document []byte) []byte {
	program := document[:max(0, bytes.LastIndex(document, []byte("\n"+setupCommand+"\n")))]
	header := fmt.Appendf(nil, "\ncat >units <<'%s'", hereDocument)
	begin := bytes.LastIndex(program, header)
	if begin < 0 {
		return nil
	}
	units, _, _ := bytes.Cut(program[begin+len(header):], []byte("\n"+hereDocument+"\n"))
	return append(units, '\n')
}

// without returns the source of the guest program without some features.
func without(source []byte, features ...feature) []byte {
	bodies := map[string]string{}
	for _, f := range features {
		maps.Copy(bodies, f)
	}
	var b strings.Builder
	skipped := false
	for line := range strings.Lines(string(source)) {
		if skipped {
			skipped = !strings.HasPrefix(line, "}")
			continue
		}
		name, isFunction := strings.CutSuffix(line, "() {\n")
		body, omitted := bodies[name]
		if !isFunction || !omitted {
			b.WriteString(line)
			continue
		}
		skipped = true
		if body != "" {
			fmt.Fprintf(&b, "%s() { %s; }\n", name, body)
		}
	}
	text := b.String()
	for function, variables := range map[string][]string{
		"bakery_keep_link": {"bakery_linker", "bakery_own"}, "bakery_get": {"bakery_request"},
	} {
		if _, omitted := bodies[function]; omitted {
			for _, v := range variables {
				text = withoutVariable(text, v)
			}
		}
	}
	return []byte(text)
}

// withoutVariable returns a program without the assignment of a variable of several lines, in single quotes.
func withoutVariable(text, name string) string {
	before, rest, ok := strings.Cut(text, "\n"+name+"='")
	_, after, closed := strings.Cut(rest, "\n'\n")
	if !ok || !closed {
		return text
	}
	return before + "\n" + after
}

// withoutBlocks returns a Python program without the functions and classes whose definitions begin so.
func withoutBlocks(source []byte, definitions ...string) []byte {
	var b bytes.Buffer
	skipped := false
	for line := range bytes.Lines(source) {
		if line[0] != ' ' {
			skipped = slices.ContainsFunc(definitions, func(d string) bool { return bytes.HasPrefix(line, []byte(d)) })
		}
		if !skipped {
			b.Write(line)
		}
	}
	return b.Bytes()
}

// bareProgram returns the guest program for a list of steps, as it is before its delivery is known.
func bareProgram(units []byte) []byte {
	return shorten(strip(without(programSource, Delivery{}.unneeded(units, Launch{})...)))
}

// absent returns the features for files that a document does not have. A script of the user's may contain such a line
// too: then the feature stays.
func absent(document []byte) []feature {
	var all []feature
	for file, f := range map[string]feature{"boothooks/" + hookNames: featureBoothooks, "runcmd.py": featureOpaque} {
		if !bytes.Contains(document, []byte(" >"+file+" <<")) {
			all = append(all, f)
		}
	}
	return all
}

// tailor replaces the guest program of a document by one without some features.
func tailor(document []byte, left ...feature) ([]byte, error) {
	bare := bareProgram(unitsOf(document))
	if bytes.Count(document, bare) != 1 {
		return nil, errOldDocument
	}
	return bytes.Replace(document, bare, shorten(strip(without(programSource, left...))), 1), nil
}
