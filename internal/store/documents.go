package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tandem/internal/pair"
)

const (
	// documentChunk is how much of a packed document stands in one row, in bytes. As
	// text it is a third longer, and each of its characters counts twice.
	documentChunk = 300 << 10
	// documentChunks bounds a packed document: the settings of a pair with 2,000 services
	// and 10,000 real servers take two.
	documentChunks = 32
	// DocumentMost bounds a document, in bytes.
	DocumentMost = 128 << 20
)

// documentHead is the stored form of what is known of a document. It is written
// first, so that what a crash left half written is found, and deleted; nobody gets a
// document that is not whole.
type documentHead struct {
	Chunks int    `json:"chunks"`
	Size   int    `json:"size"`   // in bytes, unpacked
	SHA256 string `json:"sha256"` // of the packed text, in hexadecimal digits
}

type documentPart struct {
	Data []byte `json:"data"`
}

// PutDocument keeps a document of a pair under an id. The id names the content: one
// that is kept already stays, and what a crash left half written is completed, so
// that it may be repeated. A document that is too large is pair.ErrTooLarge.
//
// A record points to a document after it was kept, so that a crash in between leaves
// one that is not used, and never half of one that is.
func (s *Store) PutDocument(ctx context.Context, name, id string, doc []byte) error {
	if err := s.putDocument(ctx, name, id, doc); err != nil {
		return fmt.Errorf("keep document %s of pair %s: %w", id, name, err)
	}
	return nil
}

func (s *Store) putDocument(ctx context.Context, name, id string, doc []byte) error {
	part, err := documentPartition(name, id)
	if err != nil {
		return err
	}
	if len(doc) > DocumentMost {
		return fmt.Errorf("%d bytes, possible are %d: %w", len(doc), DocumentMost, pair.ErrTooLarge)
	}
	chunks := slices.Collect(slices.Chunk(packed(doc), documentChunk))
	if len(chunks) > documentChunks {
		return fmt.Errorf("%d packed parts, possible are %d: %w", len(chunks), documentChunks, pair.ErrTooLarge)
	}
	head := documentHead{Chunks: len(chunks), Size: len(doc), SHA256: sumOf(slices.Concat(chunks...))}
	if err := s.insertOnce(ctx, name, id, head); err != nil {
		return err
	}
	for n, c := range chunks {
		if err := s.insertOnce(ctx, part, chunkKey(n), documentPart{Data: c}); err != nil {
			return err
		}
	}
	return nil
}

// insertOnce inserts a row that may be there already.
func (s *Store) insertOnce(ctx context.Context, part, key string, value any) error {
	r, err := newRow(part, key, value)
	if err == nil {
		_, err = s.apply(ctx, tableSettings, part, r.insert())
	}
	if errors.Is(err, pair.ErrExists) {
		return nil
	}
	return err
}

// Document returns a document of a pair. One that is not there is pair.ErrNotFound,
// and one that is not whole, or not what was kept, pair.ErrUnreadable.
func (s *Store) Document(ctx context.Context, name, id string) ([]byte, error) {
	doc, err := s.document(ctx, name, id)
	if err != nil {
		return nil, fmt.Errorf("read document %s of pair %s: %w", id, name, err)
	}
	return doc, nil
}

func (s *Store) document(ctx context.Context, name, id string) ([]byte, error) {
	part, err := documentPartition(name, id)
	if err != nil {
		return nil, err
	}
	var head documentHead
	e, err := s.get(ctx, tableSettings, name, id)
	if err == nil {
		err = readRow(e).read(&head)
	}
	if err != nil {
		return nil, err
	}
	if head.Chunks < 1 || head.Chunks > documentChunks || head.Size < 0 || head.Size > DocumentMost {
		return nil, fmt.Errorf("%d parts of %d bytes: %w", head.Chunks, head.Size, pair.ErrUnreadable)
	}
	var text []byte
	for n := range head.Chunks {
		var c documentPart
		e, err := s.get(ctx, tableSettings, part, chunkKey(n))
		if errors.Is(err, pair.ErrNotFound) {
			return nil, fmt.Errorf("part %d is missing: %w", n, pair.ErrUnreadable)
		}
		if err == nil {
			err = readRow(e).read(&c)
		}
		if err != nil {
			return nil, err
		}
		text = append(text, c.Data...)
	}
	if sumOf(text) != head.SHA256 {
		return nil, fmt.Errorf("it is not what was kept: %w", pair.ErrUnreadable)
	}
	return unpacked(text, head.Size)
}

// Documents returns the ids of a pair's documents, those too of which only a part was
// written.
func (s *Store) Documents(ctx context.Context, name string) ([]string, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("list documents: %w", err)
	}
	rows, err := s.list(ctx, tableSettings, query{partition: name})
	if err != nil {
		return nil, fmt.Errorf("list documents of pair %s: %w", name, err)
	}
	ids := make([]string, len(rows))
	for n, e := range rows {
		ids[n] = e.key
	}
	return ids, nil
}

// DeleteDocument deletes a document, or what there is of it. One that is gone is no
// error.
func (s *Store) DeleteDocument(ctx context.Context, name, id string) error {
	part, err := documentPartition(name, id)
	if err == nil {
		err = s.deleteRows(ctx, part)
	}
	if err == nil { // last, or the parts would never be found again
		err = s.deleteRow(ctx, name, id)
	}
	if err != nil {
		return fmt.Errorf("delete document %s of pair %s: %w", id, name, err)
	}
	return nil
}

func (s *Store) deleteRows(ctx context.Context, part string) error {
	rows, err := s.list(ctx, tableSettings, query{partition: part})
	if err != nil {
		return err
	}
	for _, e := range rows {
		if err := s.removeRow(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) deleteRow(ctx context.Context, part, key string) error {
	e, err := s.get(ctx, tableSettings, part, key)
	if errors.Is(err, pair.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.removeRow(ctx, e)
}

func (s *Store) removeRow(ctx context.Context, e entity) error {
	_, err := s.apply(ctx, tableSettings, e.partition, op{opRemove, e})
	if errors.Is(err, pair.ErrNotFound) {
		return nil
	}
	return err
}

// maxDocument is the longest id of a document.
const maxDocument = 120

// documentPartition is where the parts of a document stand, each document by itself,
// so that a list of documents reads none of them.
func documentPartition(name, id string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if id == "" || len(id) > maxDocument || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", fmt.Errorf("id %.60q of a document: %w", id, pair.ErrInvalid)
	}
	return name + keySeparator + id, nil
}

func chunkKey(n int) string { return fmt.Sprintf("%03d", n) }

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// packed is a document as it is kept. Equal documents have equal bytes.
func packed(doc []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(doc) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

func unpacked(text []byte, size int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("unpack it: %w: %w", pair.ErrUnreadable, err)
	}
	doc, err := io.ReadAll(io.LimitReader(r, int64(size)+1))
	if err != nil {
		return nil, fmt.Errorf("unpack it: %w: %w", pair.ErrUnreadable, err)
	}
	if len(doc) != size {
		return nil, fmt.Errorf("it has not the %d bytes that were kept: %w", size, pair.ErrUnreadable)
	}
	return doc, nil
}
