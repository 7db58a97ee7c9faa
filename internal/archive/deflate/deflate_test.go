// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package deflate

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// inflate is Go's own decoder, which knows nothing of this encoder.
func inflate(t testing.TB, compressed []byte) []byte {
	t.Helper()
	data, err := io.ReadAll(flate.NewReader(bytes.NewReader(compressed)))
	if err != nil {
		t.Fatalf("inflate: %v", err)
	}
	return data
}

func random(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(data)
	return data
}

func program(t testing.TB) []byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data[:min(len(data), 1<<20)]
}

func TestEveryKindOfDataComesBack(t *testing.T) {
	skewed := make([]byte, 0, 1<<20)
	for i := range 18 { // counts like Fibonacci's make codes longer than deflate allows
		skewed = append(skewed, bytes.Repeat([]byte{byte(i * 7)}, 1<<i)...)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(skewed), func(i, j int) { skewed[i], skewed[j] = skewed[j], skewed[i] })
	cases := map[string][]byte{
		"nothing":                       nil,
		"one byte":                      {'a'},
		"two bytes":                     []byte("ab"),
		"three bytes, twice":            []byte("abcabc"),
		"one byte again and again":      bytes.Repeat([]byte{0}, 1<<18),
		"a short text":                  []byte("hello, hello, hello, world"),
		"text":                          []byte(strings.Repeat("the quick brown fox jumps over the lazy dog\n", 5000)),
		"bytes of all values":           random(1 << 18),
		"a program":                     program(t),
		"symbols of very unequal count": skewed,
		"random, then text, then random": append(append(random(100_000),
			strings.Repeat("text ", 40_000)...), random(70_000)...),
		"a match of the longest length at the farthest distance": append(append(random(300), make([]byte, WindowSize-300)...), random(300)...),
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			compressed := append(new(Encoder).Append(nil, data, 0), Final...)
			if !bytes.Equal(inflate(t, compressed), data) {
				t.Errorf("%d bytes do not come back", len(data))
			}
			if limit := len(data) + len(data)/1000 + 32; len(compressed) > limit {
				t.Errorf("%d bytes became %d", len(data), len(compressed))
			}
		})
	}
}

func TestPiecesUseWhatCameBeforeThem(t *testing.T) {
	data := program(t)
	var e Encoder
	var pieces []byte
	const size = 100_000
	for start := 0; start < len(data); start += size {
		from := max(0, start-WindowSize)
		end := min(len(data), start+size)
		pieces = e.Append(pieces, data[from:end], start-from)
	}
	if !bytes.Equal(inflate(t, append(pieces, Final...)), data) {
		t.Fatal("the pieces do not come back")
	}
	whole := new(Encoder).Append(nil, data, 0)
	if len(pieces) > len(whole)+len(whole)/100 {
		t.Errorf("pieces take %d bytes, the whole %d", len(pieces), len(whole))
	}
}

func TestTheOutputDependsOnTheInputAlone(t *testing.T) {
	var used, fresh Encoder
	data := program(t)[:500_000]
	used.Append(nil, random(300_000), 0)
	if !bytes.Equal(used.Append(nil, data, 0), fresh.Append(nil, data, 0)) {
		t.Error("an encoder that was used before gives other bytes")
	}
}

func TestProgramsBecomeSmallerThanWithLevel6OfTheStandardLibrary(t *testing.T) {
	data := program(t)
	var standard bytes.Buffer
	w, err := flate.NewWriter(&standard, 6)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	w.Close()
	if ours := len(new(Encoder).Append(nil, data, 0)); ours > standard.Len() {
		t.Errorf("%d bytes became %d, with the standard library %d", len(data), ours, standard.Len())
	}
}

func FuzzEveryInputComesBack(f *testing.F) {
	f.Add([]byte("hello, hello, hello"), 3)
	f.Add(random(100), 50)
	f.Add(bytes.Repeat([]byte("ab"), 9000), 100)
	var e Encoder
	f.Fuzz(func(t *testing.T, data []byte, split int) {
		split = min(max(split, 0), len(data))
		compressed := e.Append(nil, data[:split], 0)
		from := max(0, split-WindowSize)
		compressed = e.Append(compressed, data[from:], split-from)
		if !bytes.Equal(inflate(t, append(compressed, Final...)), data) {
			t.Errorf("%q does not come back", data)
		}
	})
}

func BenchmarkProgram(b *testing.B) {
	data := program(b)
	b.SetBytes(int64(len(data)))
	var e Encoder
	var out []byte
	for b.Loop() {
		out = e.Append(out[:0], data, 0)
	}
}
