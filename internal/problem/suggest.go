// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package problem

// Nearest returns the name that word was most likely meant to be, or "" when none is close enough: at most one typing
// mistake (a letter added, missing, different, or two swapped) for every three letters of the word.
func Nearest(word string, names []string) string {
	best, allowed := "", max(1, len(word)/3)
	for _, name := range names {
		if len(name) > len(word)+allowed || len(word) > len(name)+allowed { // they differ by more than their lengths do
			continue
		}
		if d := distance(word, name); d <= allowed && name != word {
			best, allowed = name, d-1
		}
	}
	return best
}

// distance returns the optimal string alignment distance of two names, in bytes.
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
