package loadmaster_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"tandem/internal/pair"
)

const passphrase = "Once0nlyPhrase"

// keeper is a unit with certificates, which quotes the passphrase in whatever it says.
func keeper(refused, fails bool) func(call) reply {
	return func(c call) reply {
		switch {
		case refused && c.api == "v2":
			return reply{status: 404, body: "<html>"}
		case fails:
			return failed(c, 422, "wrong password "+c.args["password"])
		case c.cmd == "backupcert" && c.api == "v2":
			return ok(fmt.Sprintf(`{"code":200,"data":%q,"status":"ok"}`, base64.StdEncoding.EncodeToString([]byte(theBackup))))
		case c.cmd == "backupcert":
			return reply{status: 200, body: theBackup, header: map[string]string{"Content-Type": "application/octet-stream"}}
		}
		return done(c)
	}
}

func TestCertificatesMoveByABackup(t *testing.T) {
	for _, refused := range []bool{false, true} {
		t.Run(fmt.Sprintf("without the JSON API: %v", refused), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, keeper(refused, false))
				w.secrets.set(withPassword)
				var file bytes.Buffer
				if err := w.client.BackupCertificates(context.Background(), w.pair, passphrase, &file); err != nil || file.String() != theBackup {
					t.Fatalf("%v, %q", err, file.String())
				}
				backup := w.calls[len(w.calls)-1]
				if backup.args["password"] != passphrase || strings.Contains(backup.url, passphrase) {
					t.Errorf("backup by %s with %v", backup.url, backup.args)
				}
				if err := w.client.RestoreCertificates(context.Background(), w.pair, passphrase, &file); err != nil {
					t.Fatal(err)
				}
				restore := w.calls[len(w.calls)-1]
				if restore.file != theBackup || restore.args["password"] != passphrase || restore.args["type"] != "vs" {
					t.Errorf("restore with %v of %q", restore.args, restore.file)
				}
				if strings.Contains(w.logged.String(), passphrase) {
					t.Errorf("logged: %s", w.logged)
				}
			})
		})
	}
}

func TestAPassphraseIsNeverSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, keeper(false, true))
		err := w.client.BackupCertificates(context.Background(), w.pair, passphrase, &bytes.Buffer{})
		restored := w.client.RestoreCertificates(context.Background(), w.pair, passphrase, strings.NewReader("x"))
		for _, err := range []error{err, restored} {
			if !errors.Is(err, pair.ErrInvalid) || strings.Contains(err.Error(), passphrase) || !strings.Contains(err.Error(), "[redacted]") {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestPassphrasesThatAUnitWouldNotTake(t *testing.T) {
	w := newWorld(t, keeper(false, false))
	for _, bad := range []string{"", "short1", strings.Repeat("a", 65), "has a blank", "ümlauts1", "dash-dash"} {
		err := w.client.BackupCertificates(context.Background(), w.pair, bad, &bytes.Buffer{})
		if !errors.Is(err, pair.ErrInvalid) || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
	if err := w.client.RestoreCertificates(context.Background(), w.pair, passphrase, strings.NewReader("")); !errors.Is(err, pair.ErrInvalid) {
		t.Errorf("an empty file: got %v", err)
	}
	if len(w.asked()) > 0 {
		t.Errorf("sent %q", w.asked())
	}
}
