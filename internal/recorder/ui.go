// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"fmt"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// UI is the Ui to pass to the provisioners together with the recorder. Everything they say is shown as it is, after one
// line that says what is going on.
func (r *Recorder) UI(ui packersdk.Ui) packersdk.Ui {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellUser = func() {
		ui.Say("Recording the provisioners: nothing of them runs yet, the machine does it after its launch")
	}
	return &listener{Ui: ui, r: r}
}

// tell says once that what follows is recorded. The caller holds the lock.
func (r *Recorder) tell() {
	if !r.told && r.tellUser != nil {
		r.tellUser()
	}
	r.told = true
}

// listener is a Ui that the recorder hears.
type listener struct {
	packersdk.Ui

	r *Recorder
}

func (l *listener) hear(line string) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	if m := pausing.FindStringSubmatch(line); m != nil {
		if pause, err := time.ParseDuration(m[1]); err == nil {
			l.r.pause += pause
		}
	}
	if l.r.speaker.hear(line) {
		l.r.tell()
	}
}

// Say implements packersdk.Ui.
func (l *listener) Say(line string) {
	l.hear(line)
	l.Ui.Say(line)
}

// Sayf implements packersdk.Ui.
func (l *listener) Sayf(format string, args ...any) { l.Say(fmt.Sprintf(format, args...)) }

// Message implements packersdk.Ui.
func (l *listener) Message(line string) {
	l.hear(line)
	l.Ui.Message(line) //nolint:staticcheck // deprecated for those who say something, not for those who pass it on
}

// Ask implements packersdk.Ui. After a refusal nobody is asked: the answer would not change the end.
func (l *listener) Ask(question string) (string, error) {
	select {
	case <-l.r.refused:
		return "", errStopped
	default:
		return l.Ui.Ask(question)
	}
}

// Askf implements packersdk.Ui.
func (l *listener) Askf(format string, args ...any) (string, error) {
	return l.Ask(fmt.Sprintf(format, args...))
}
