package loadmaster

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tandem/internal/pair"
)

// The parts of a backup that Restore may restore; they are added up
// (loadmaster.md 3.5).
const (
	// RestoreBase holds addresses and names. That of one unit must never be
	// restored on its partner, which a Client cannot know of a file.
	RestoreBase     = 1
	RestoreServices = 2
	RestoreGEO      = 4
	RestoreSSO      = 8
	RestoreAll      = RestoreBase | RestoreServices | RestoreGEO | RestoreSSO
)

const (
	// maxBackup bounds a backup in either direction, in bytes: what is larger is
	// not known to work in the JSON API (loadmaster.md 7 item 23).
	maxBackup = 50 << 20

	// transferTimeout is how long a file may take, as the vendor's SDK allows
	// (loadmaster.md 1.1). A caller with less time ends it by its context.
	transferTimeout = 500 * time.Second

	// fileField is where the JSON API has a file, in both directions.
	fileField = "data"
)

// Backup writes a backup of a unit's settings to w: all of it in one call of
// Write, or nothing. It has the unit's secrets in it, and not its private keys,
// which have a backup of their own (loadmaster.md 0.1 item 5, 3.5). A file of more
// than 50 MiB is ErrUnreadable.
//
// An error of w is passed on.
func (c *Client) Backup(ctx context.Context, u pair.Unit, w io.Writer) error {
	s, err := c.open(ctx, u)
	if err != nil {
		return err
	}
	defer s.unit.closeIdle() // as after a report
	data, err := s.call(ctx, command{name: "backup", file: true})
	if err != nil {
		return err
	}
	file, _ := data.child(fileField)
	if _, err := io.WriteString(w, file.text); err != nil {
		return fmt.Errorf("keep the backup of unit %q: %w", u.VM, err)
	}
	return nil
}

// Restore puts the parts of a backup that kind names, a sum of RestoreBase to
// RestoreSSO, on a unit. Success means that the unit took the file. Whether it
// needs a reboot before all is as in the file is not documented (loadmaster.md 7
// item 19): compare, and reboot where it differs. With RestoreBase the unit may
// have another address and other HA settings afterwards.
//
// It is sent once. The errors are those of every write; ErrTooLarge is a file of
// more than 50 MiB, of which nothing was sent. An error of r is of none of pair's
// kinds. Where only the XML API is to be had, it takes user and password, because
// an API key would have to stand in the URL (ErrInvalid).
func (c *Client) Restore(ctx context.Context, u pair.Unit, r io.Reader, kind int) error {
	if kind < RestoreBase || kind > RestoreAll {
		return fmt.Errorf("restore unit %q: kind %d: expected a sum of 1, 2, 4 and 8: %w", u.VM, kind, pair.ErrInvalid)
	}
	file, err := readFile(u, r)
	if err != nil {
		return err
	}
	s, err := c.open(ctx, u)
	if err != nil {
		return err
	}
	_, err = s.call(ctx, command{name: "restore", args: []arg{{"type", strconv.Itoa(kind)}}, upload: file, write: true})
	return err
}

// readFile reads a backup that is to be restored on a unit.
func readFile(u pair.Unit, r io.Reader) ([]byte, error) {
	file, err := io.ReadAll(io.LimitReader(r, maxBackup+1))
	switch {
	case err != nil:
		return nil, withoutKind(fmt.Sprintf("read the backup for unit %q", u.VM), err)
	case len(file) == 0:
		return nil, fmt.Errorf("restore unit %q: the backup is empty: %w", u.VM, pair.ErrInvalid)
	case len(file) > maxBackup:
		return nil, fmt.Errorf("restore unit %q: the backup has more than %d bytes: %w", u.VM, maxBackup, pair.ErrTooLarge)
	default:
		return file, nil
	}
}

// decodeFile reads an answer that should be a file. The XML API gives it as the
// body, the JSON API in base64 (loadmaster.md 1.1); either way it is the text of
// fileField then. What is no file is an error or a page, and read as such.
func decodeFile(status int, contentType string, body []byte) (answer, error) {
	file := body
	if status != http.StatusOK || !isFile(contentType, body) {
		a, err := decode(status, body)
		if err != nil || a.page || a.code >= http.StatusMultipleChoices {
			return a, err
		}
		encoded, _ := a.data.value(fileField)
		if file, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return answer{}, fmt.Errorf("read the file in the answer: %w", err)
		}
	}
	switch {
	case len(file) == 0:
		return answer{}, errors.New("expected a file in the answer, found none")
	case len(file) > maxBackup:
		return answer{}, fmt.Errorf("expected a file of at most %d bytes", maxBackup)
	}
	return answer{code: status, data: element{kids: []element{{name: fileField, text: string(file)}}}}, nil
}

// isFile tells a file from an answer in words. Files come as
// application/octet-stream, errors as text (loadmaster.md 1.1); where neither is
// said, a file does not begin as markup or JSON does. A file of random bytes
// might, so that does not count where the type is said.
func isFile(contentType string, body []byte) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch kind = strings.TrimSpace(kind); {
	case len(body) == 0, strings.HasPrefix(kind, "text/"), strings.HasSuffix(kind, "json"), strings.HasSuffix(kind, "xml"):
		return false
	case kind == "application/octet-stream":
		return !bytes.HasPrefix(body, []byte("<?xml")) && !bytes.HasPrefix(body, []byte("<Response"))
	default:
		return body[0] != '<' && body[0] != '{'
	}
}
