package store

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tandem/internal/pair"
)

// random is a text that no packing makes shorter.
func random(size int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, size)
	for n := range b {
		b[n] = byte(r.Uint32())
	}
	return b
}

func testDocuments(t *testing.T, a account) {
	large := random(2*documentChunk + 7)
	for id, doc := range map[string][]byte{"base-1": []byte(`{"größe":1}`), "base-2": large, "base-3": nil} {
		for range 2 { // it may be repeated
			if err := a.PutDocument(t.Context(), "edge-weu", id, doc); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := a.Document(t.Context(), "edge-weu", id); err != nil || !bytes.Equal(got, doc) {
			t.Errorf("%s: got %d bytes and %v, want %d", id, len(got), err, len(doc))
		}
	}
	if err := a.PutDocument(t.Context(), "edge", "base-1", []byte("of another pair")); err != nil {
		t.Fatal(err)
	}
	ids, err := a.Documents(t.Context(), "edge-weu")
	if want := []string{"base-1", "base-2", "base-3"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("got %q and %v, want %q", ids, err, want)
	}
	for range 2 {
		if err := a.DeleteDocument(t.Context(), "edge-weu", "base-2"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = a.Document(t.Context(), "edge-weu", "base-2")
	wantKind(t, err, pair.ErrNotFound)
	if doc, err := a.Document(t.Context(), "edge", "base-1"); err != nil || string(doc) != "of another pair" {
		t.Errorf("the other pair's: %q, %v", doc, err)
	}
}

func testDocumentHalf(t *testing.T, a account) {
	doc := random(3 * documentChunk)
	if err := a.PutDocument(t.Context(), "edge-weu", "base-1", doc); err != nil {
		t.Fatal(err)
	}
	if err := a.deleteRow(t.Context(), "edge-weu:base-1", chunkKey(1)); err != nil { // as a crash leaves it
		t.Fatal(err)
	}
	_, err := a.Document(t.Context(), "edge-weu", "base-1")
	wantKind(t, err, pair.ErrUnreadable)
	if ids, err := a.Documents(t.Context(), "edge-weu"); err != nil || len(ids) != 1 {
		t.Errorf("it is not found again: %q, %v", ids, err)
	}
	if err := a.PutDocument(t.Context(), "edge-weu", "base-1", doc); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Document(t.Context(), "edge-weu", "base-1"); err != nil || !bytes.Equal(got, doc) {
		t.Errorf("it was not completed: %v", err)
	}
}

func testDocumentRefused(t *testing.T, a account) {
	for name, put := range map[string]struct {
		pair, id string
		doc      []byte
		kind     error
	}{
		"a name that is no pair's":       {"Edge", "base", nil, pair.ErrInvalid},
		"an id that cannot be a key":     {"edge-weu", "base/1", nil, pair.ErrInvalid},
		"an id that is too long":         {"edge-weu", strings.Repeat("a", maxDocument+1), nil, pair.ErrInvalid},
		"no id":                          {"edge-weu", "", nil, pair.ErrInvalid},
		"more than fits packed":          {"edge-weu", "base", random(documentChunks*documentChunk + 1), pair.ErrTooLarge},
		"more than is read, well packed": {"edge-weu", "base", make([]byte, DocumentMost+1), pair.ErrTooLarge},
	} {
		if err := a.PutDocument(t.Context(), put.pair, put.id, put.doc); err == nil {
			t.Errorf("%s is taken", name)
		} else {
			wantKind(t, err, put.kind)
		}
	}
	if ids, err := a.Documents(t.Context(), "edge-weu"); err != nil || len(ids) != 0 {
		t.Errorf("left behind: %q, %v", ids, err)
	}
}
