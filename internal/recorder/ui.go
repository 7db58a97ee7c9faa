// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"fmt"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// UI returns the Ui to pass to the provisioners together with the recorder. It passes everything on to ui, after one
// line that says that the provisioners are only recorded.
func (r *Recorder) UI(ui packersdk.Ui) packersdk.Ui {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.announce = func() {
		ui.Say("Recording the provisioners: they do not run now, the machine runs them after its launch")
	}
	return &recordingUI{Ui: ui, r: r}
}

// announceOnce tells the user, once, that the provisioners are only recorded. The caller holds the lock.
func (r *Recorder) announceOnce() {
	if !r.announced && r.announce != nil {
		r.announce()
	}
	r.announced = true
}

// recordingUI is a Ui that also passes each line to the recorder.
type recordingUI struct {
	packersdk.Ui

	r *Recorder
}

func (l *recordingUI) handle(line string) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	if m := pausing.FindStringSubmatch(line); m != nil {
		if pause, err := time.ParseDuration(m[1]); err == nil {
			l.r.pause += pause
		}
	}
	if l.r.tracker.handle(line) {
		l.r.announceOnce()
	}
}

// Say implements packersdk.Ui.
func (l *recordingUI) Say(line string) {
	l.handle(line)
	l.Ui.Say(line)
}

// Sayf implements packersdk.Ui.
func (l *recordingUI) Sayf(format string, args ...any) { l.Say(fmt.Sprintf(format, args...)) }

// Message implements packersdk.Ui.
func (l *recordingUI) Message(line string) {
	l.handle(line)
	l.Ui.Message(line) //nolint:staticcheck // deprecated for callers, but this only passes the call on
}

// Ask implements packersdk.Ui. After a refusal it does not ask, because the answer could not change the result.
func (l *recordingUI) Ask(question string) (string, error) {
	select {
	case <-l.r.refused:
		return "", errStopped
	default:
		return l.Ui.Ask(question)
	}
}

// Askf implements packersdk.Ui.
func (l *recordingUI) Askf(format string, args ...any) (string, error) {
	return l.Ask(fmt.Sprintf(format, args...))
}
