// Package vault keeps backups of units: in a container of Azure's blob storage, or in
// memory with the same contract.
//
// A backup holds a unit's secrets, so nothing of its content leaves this package but
// to whoever asks for that one file, and none of it stands in an error. When to take
// one, and which are too many, is left to others.
package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// Vault is a place for backups. It is safe for concurrent use.
type Vault struct{ backend backend }

// backend is a container. The errors are those of internal/pair.
type backend interface {
	// put writes a blob, and is pair.ErrExists where there is one of that name.
	put(ctx context.Context, name string, meta map[string]string, file []byte) error
	list(ctx context.Context, prefix string) ([]blob, error)
	// get reads a blob, and no more of it than most bytes and one.
	get(ctx context.Context, name string, most int64) (blob, []byte, error)
	// remove is no error where there is no such blob.
	remove(ctx context.Context, name string) error
}

// blob is what a container tells of one.
type blob struct {
	name string
	size int64
	meta map[string]string // by names in lower case
}

// What stands beside a file. The mark tells our own files from others: what has none
// is neither shown nor deleted.
const (
	metaMark     = "tandem"
	metaVM       = "vm"
	metaFirmware = "firmware"
	metaHash     = "sha256"
	metaFor      = "purpose"

	markValue = "backup-1"
	ending    = ".backup"
	// textMost bounds a text that stands beside a file, in bytes.
	textMost = 64
)

// Put keeps a backup under its id and returns what is known of it then: size and
// hash are those of the file. One that is kept already is pair.ErrExists, and stays
// as it is. An empty file is pair.ErrInvalid, and one of more than pair.BackupMost
// bytes pair.ErrTooLarge. After pair.ErrUnknownOutcome it may be kept or not.
func (v *Vault) Put(ctx context.Context, name string, b pair.Backup, file []byte) (pair.Backup, error) {
	r, at, err := pair.ParseBackupID(b.ID)
	switch {
	case err != nil:
		return b, err
	case len(file) == 0:
		return b, fmt.Errorf("keep backup %s: it is empty: %w", b.ID, pair.ErrInvalid)
	case len(file) > pair.BackupMost:
		return b, fmt.Errorf("keep backup %s: it has more than %d bytes: %w", b.ID, pair.BackupMost, pair.ErrTooLarge)
	}
	b.Unit, b.At, b.Size, b.SHA256 = r, at, int64(len(file)), hashOf(file)
	b.VM, b.Firmware = plain(b.VM), plain(b.Firmware)
	meta := map[string]string{metaMark: markValue, metaVM: b.VM, metaFirmware: b.Firmware, metaHash: b.SHA256, metaFor: b.For.String()}
	for k, text := range meta {
		if text == "" { // which blob storage does not take
			delete(meta, k)
		}
	}
	if err := v.backend.put(ctx, blobName(name, b.ID), meta, file); err != nil {
		return b, fmt.Errorf("keep backup %s of pair %s: %w", b.ID, name, err)
	}
	return b, nil
}

// List returns what is known of a pair's backups, the newest first.
func (v *Vault) List(ctx context.Context, name string) ([]pair.Backup, error) {
	blobs, err := v.backend.list(ctx, blobName(name, ""))
	if err != nil {
		return nil, fmt.Errorf("list the backups of pair %s: %w", name, err)
	}
	var all []pair.Backup
	for _, found := range blobs {
		if b, ours := read(name, found); ours {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b pair.Backup) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, nil
}

// Get returns a backup with its file, whose hash and size are those that were noted
// when it was kept: another file is pair.ErrUnreadable.
func (v *Vault) Get(ctx context.Context, name, id string) (pair.Backup, []byte, error) {
	if _, _, err := pair.ParseBackupID(id); err != nil {
		return pair.Backup{}, nil, err
	}
	found, file, err := v.backend.get(ctx, blobName(name, id), pair.BackupMost)
	if err != nil {
		return pair.Backup{}, nil, fmt.Errorf("read backup %s of pair %s: %w", id, name, err)
	}
	b, ours := read(name, found)
	switch {
	case !ours:
		return b, nil, fmt.Errorf("read backup %s of pair %s: it does not say that Tandem wrote it: %w", id, name, pair.ErrUnreadable)
	case len(file) > pair.BackupMost:
		return b, nil, fmt.Errorf("read backup %s of pair %s: it has more than %d bytes: %w", id, name, pair.BackupMost, pair.ErrTooLarge)
	case hashOf(file) != b.SHA256:
		return b, nil, fmt.Errorf("read backup %s of pair %s: its content is not what was kept, by the hash: %w", id, name, pair.ErrUnreadable)
	}
	b.Size = int64(len(file))
	return b, file, nil
}

// Delete forgets a backup. One that is gone already is no error.
func (v *Vault) Delete(ctx context.Context, name, id string) error {
	_, _, err := pair.ParseBackupID(id)
	if err == nil {
		err = v.backend.remove(ctx, blobName(name, id))
	}
	if err != nil && !errors.Is(err, pair.ErrNotFound) {
		return fmt.Errorf("delete backup %s of pair %s: %w", id, name, err)
	}
	return nil
}

// blobName is where a backup of a pair is kept; without an id, what they all begin
// with.
func blobName(name, id string) string {
	if id == "" {
		return name + "/"
	}
	return name + "/" + id + ending
}

// read tells what a blob says of itself, and whether it is a backup of ours.
func read(name string, found blob) (pair.Backup, bool) {
	id, has := strings.CutSuffix(strings.TrimPrefix(found.name, blobName(name, "")), ending)
	r, at, err := pair.ParseBackupID(id)
	b := pair.Backup{
		ID: id, Unit: r, At: at, VM: plain(found.meta[metaVM]), Firmware: plain(found.meta[metaFirmware]), Size: found.size,
		SHA256: plain(found.meta[metaHash]),
	}
	if err := b.For.UnmarshalText([]byte(found.meta[metaFor])); err != nil {
		b.For = pair.BackupUnknown // of another release
	}
	return b, has && err == nil && found.meta[metaMark] == markValue
}

func hashOf(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// plain leaves of a text what can stand in a header and on a terminal.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), textMost)]
}
