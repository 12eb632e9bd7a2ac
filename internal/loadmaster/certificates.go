package loadmaster

import (
	"context"
	"fmt"
	"io"
	"strings"

	"tandem/internal/pair"
)

const (
	// certificatesOfServices is the part of a backup of certificates that is restored:
	// without the administrative one, which is its unit's own (loadmaster.md 2.5, 3.2).
	certificatesOfServices = "vs"

	// shortestPassphrase and longestPassphrase are what a unit takes, in letters and
	// digits of ASCII.
	shortestPassphrase = 7
	longestPassphrase  = 64
)

// BackupCertificates writes a backup of a unit's certificates with their private keys
// to w, encrypted by the unit with the passphrase: all of it in one call of Write, or
// nothing. That is the one way in which a private key moves (loadmaster.md 0.1 item 5).
// A passphrase has 7 to 64 letters and digits, is best made for one backup and thrown
// away after, and is in no error, log or URL here. A file of more than 50 MiB is
// ErrUnreadable. An error of w is passed on.
func (c *Client) BackupCertificates(ctx context.Context, u pair.Unit, passphrase string, w io.Writer) error {
	s, err := c.openWith(ctx, u, passphrase)
	if err != nil {
		return err
	}
	defer s.unit.closeIdle() // as after a report
	data, err := s.call(ctx, command{name: "backupcert", args: []arg{{"password", passphrase}}, file: true, secret: true})
	if err != nil {
		return err
	}
	file, _ := data.child(fileField)
	if _, err := io.WriteString(w, file.text); err != nil {
		return fmt.Errorf("keep the backup of the certificates of unit %q: %w", u.VM, err)
	}
	return nil
}

// RestoreCertificates puts the certificates of services in a backup, with their private
// keys, on a unit. It is sent once, and safe to repeat; the errors are those of Restore.
// What a unit has of it afterwards is to be read.
//
// In the XML API the file is the body, so that there the passphrase stands in the URL,
// which the unit may log. It opens nothing that the unit does not have.
func (c *Client) RestoreCertificates(ctx context.Context, u pair.Unit, passphrase string, r io.Reader) error {
	file, err := readFile(u, r)
	if err != nil {
		return err
	}
	s, err := c.openWith(ctx, u, passphrase)
	if err != nil {
		return err
	}
	defer s.unit.closeIdle() // as after a report
	restore := command{name: "restorecert", args: []arg{{"password", passphrase}, {"type", certificatesOfServices}}, upload: file, write: true, secret: true}
	_, err = s.call(ctx, restore)
	return err
}

// openWith opens a session in which a passphrase is a secret like the credentials:
// what the unit says may quote it.
func (c *Client) openWith(ctx context.Context, u pair.Unit, passphrase string) (*session, error) {
	const taken = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	odd := func(r rune) bool { return !strings.ContainsRune(taken, r) }
	if strings.ContainsFunc(passphrase, odd) || len(passphrase) < shortestPassphrase || len(passphrase) > longestPassphrase {
		return nil, fmt.Errorf("certificates of unit %q: passphrase: expected %d to %d letters and digits: %w", u.VM, shortestPassphrase, longestPassphrase, pair.ErrInvalid)
	}
	s, err := c.open(ctx, u)
	if err != nil {
		return nil, err
	}
	s.hider = s.creds.hider(passphrase)
	return s, nil
}
