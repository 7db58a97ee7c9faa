// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machinelog

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// keptLogs is how many logs of failed bakes are kept that no log_file was named for.
const keptLogs = 20

// failedLogName is the name of such a log: that of the image, and the id of the bake.
var failedLogName = regexp.MustCompile(`^.+-[0-9a-f]{16}\.log$`)

// FailurePath returns the file for the log of a bake that failed: log_file, or a new one in Packer's cache directory.
// The directory of the template belongs to the user.
func (c *LogConfig) FailurePath(imageName, bakeID string) (string, error) {
	if c.LogFile != "" {
		return c.LogFile, nil
	}
	dir, err := packersdk.CachePath("bakery-logs")
	if err != nil {
		return "", fmt.Errorf("find Packer's cache directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	removeOldLogs(dir)
	return filepath.Join(dir, fileName(imageName)+"-"+bakeID+".log"), nil
}

// fileName returns the name of an image as that of a file.
func fileName(imageName string) string {
	const longest = 128 // an image's name is no longer; what is rendered later may be
	name := strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '-'
		}
		return r
	}, cmp.Or(imageName, "image"))
	return strings.ToValidUTF8(name[:min(len(name), longest)], "")
}

// removeOldLogs makes room for a new log. It removes nothing but logs of failed bakes.
func removeOldLogs(dir string) {
	entries, _ := os.ReadDir(dir) // what cannot be read cannot be removed
	var logs []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && e.Type().IsRegular() && failedLogName.MatchString(e.Name()) {
			logs = append(logs, info)
		}
	}
	slices.SortFunc(logs, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, old := range logs[min(len(logs), keptLogs-1):] {
		_ = os.Remove(filepath.Join(dir, old.Name())) // another bake may have removed it
	}
}
