// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package wildcard matches the patterns of IAM policies and EC2 filters, in which * stands for any text and ? for any
// byte. It may not know either of them.
package wildcard

import "strings"

// Match reports whether the whole of s matches a pattern.
func Match(pattern, s string) bool { return match(pattern, s, false) }

// MatchEscaped is Match where a backslash before * or ? makes it an ordinary byte, as in filters of EC2.
func MatchEscaped(pattern, s string) bool { return match(pattern, s, true) }

// match goes back to the last * when the text after it does not match, and never to one before that. So no pattern
// takes more steps than its length times the text's.
func match(pattern, s string, escape bool) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		escaped := escape && p < len(pattern) && pattern[p] == '\\'
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case escaped && p+1 < len(pattern) && pattern[p+1] == s[i]:
			p += 2
			i++
		case !escaped && p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
