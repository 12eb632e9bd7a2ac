package loadmaster_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	lab "tandem/internal/lab/loadmaster"
	"tandem/internal/loadmaster"
	"tandem/internal/pair"
)

func addrPort(u pair.Unit) netip.AddrPort { return netip.AddrPortFrom(u.Address, 8444) }

// onlyV1 makes a unit that takes the XML API only.
func onlyV1(answer func(call) reply) func(call) reply {
	return func(c call) reply {
		if c.api == "v2" {
			return reply{status: 404, body: "<html>"}
		}
		return answer(c)
	}
}

func TestABackupIsTheSameInBothDialects(t *testing.T) {
	unit := newHealthy()
	tests := []struct {
		name   string
		creds  loadmaster.Credentials
		answer func(call) reply
	}{
		{"v2 with an API key", withKey, unit.answer},
		{"v2 with user and password", withPassword, unit.answer},
		{"v1 with an API key", withKey, onlyV1(unit.answer)},
		{"v1 with user and password", withPassword, onlyV1(unit.answer)},
		{"v1 that does not say what it sends", withPassword, onlyV1(func(c call) reply {
			return reply{status: 200, body: theBackup, header: map[string]string{"Content-Type": ""}}
		})},
		{"v2 in lines", withKey, func(call) reply {
			text := base64.StdEncoding.EncodeToString([]byte(theBackup))
			return ok(fmt.Sprintf(`{"code":200,"Data":%q,"status":"ok"}`, text[:20]+"\r\n"+text[20:]+"\n"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.answer, func(t *testing.T, w *world) {
				w.secrets.set(tt.creds)
				var got strings.Builder
				if err := w.client.Backup(t.Context(), w.pair, &got); err != nil || got.String() != theBackup {
					t.Errorf("got %q, %v; want %q", got.String(), err, theBackup)
				}
			})
		})
	}
}

func TestNothingOfWhatIsNoBackupIsKept(t *testing.T) {
	octets := map[string]string{"Content-Type": "application/octet-stream"}
	inV1 := func(a reply) func(call) reply { return onlyV1(func(call) reply { return a }) }
	tests := []struct {
		name   string
		answer func(call) reply
		want   error
		says   string
	}{
		{"the example, whose data is shortened by dots", func(call) reply { return ok(fixture(t, "v2-backup.json")) }, pair.ErrUnreadable, "illegal base64"},
		{"a success without a file", func(c call) reply { return done(c) }, pair.ErrUnreadable, "found none"},
		{"an empty file", func(call) reply { return ok(`{"code":200,"data":"","status":"ok"}`) }, pair.ErrUnreadable, "found none"},
		{"a page", func(call) reply { return ok("<html>log in</html>") }, pair.ErrUnreadable, "page"},
		{"a user without the right", func(c call) reply { return failed(c, 403, "no") }, pair.ErrRefused, "permission"},
		{"a unit that does not know the command", func(c call) reply { return failed(c, 405, "Unknown command") }, pair.ErrNotFound, "firmware"},
		{"an error in words in v1", inV1(reply{status: 422, body: fixture(t, "v1-error-422-unknown-vs.xml")}), pair.ErrInvalid, "Unknown VS"},
		{"an error in v1 that calls itself a file", inV1(reply{status: 200, body: fixture(t, "v1-error-422-unknown-vs.xml"), header: octets}), pair.ErrInvalid, "Unknown VS"},
		{"a success in v1 that is none", inV1(reply{status: 200, body: fixture(t, "v1-plain-success.xml")}), pair.ErrUnreadable, "found none"},
		{"nothing in v1", inV1(reply{status: 200, header: octets}), pair.ErrUnreadable, "page or nothing"},
		{"a page in v1", inV1(reply{status: 200, body: "<html>log in</html>", header: map[string]string{"Content-Type": ""}}), pair.ErrUnreadable, "page"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.answer, func(t *testing.T, w *world) {
				var kept bytes.Buffer
				err := w.client.Backup(t.Context(), w.pair, &kept)
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || kept.Len() != 0 {
					t.Errorf("got %v and %q; want %v that says %q, and nothing", err, kept.String(), tt.want, tt.says)
				}
			})
		})
	}
	t.Run("a file that is cut off is asked for once more", func(t *testing.T) {
		inBubble(t, onlyV1(func(call) reply {
			return reply{hangUp: true, raw: "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 100\r\n\r\nhalf"}
		}), func(t *testing.T, w *world) {
			var kept bytes.Buffer
			if err := w.client.Backup(t.Context(), w.pair, &kept); !errors.Is(err, pair.ErrUnreachable) || kept.Len() != 0 || len(w.asked()) != 3 {
				t.Errorf("got %v and %q after %q", err, kept.String(), w.asked())
			}
		})
	})
	t.Run("an error of who keeps it is passed on", func(t *testing.T) {
		inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
			full := errors.New("the disk is full")
			if err := w.client.Backup(t.Context(), w.pair, failingWriter{full}); !errors.Is(err, full) {
				t.Errorf("got %v", err)
			}
		})
	})
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestAFileMayTakeLongAndNoOtherCall(t *testing.T) {
	slow := func(c call) reply {
		a := newHealthy().answer(c)
		a.delay = time.Minute
		return a
	}
	inBubble(t, slow, func(t *testing.T, w *world) {
		if err := w.client.Backup(t.Context(), w.pair, io.Discard); err != nil {
			t.Errorf("backup: %v", err)
		}
		if err := w.client.Restore(t.Context(), w.pair, strings.NewReader("x"), loadmaster.RestoreAll); err != nil {
			t.Errorf("restore: %v", err)
		}
		if _, err := w.client.Connections(t.Context(), w.pair); !errors.Is(err, pair.ErrUnreachable) {
			t.Errorf("connections: %v, want ErrUnreachable", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.client.Restore(ctx, w.pair, strings.NewReader("x"), loadmaster.RestoreAll); !errors.Is(err, pair.ErrUnknownOutcome) {
			t.Errorf("a restore given up after a second: %v, want ErrUnknownOutcome", err)
		}
	})
}

func TestARestoreIsTheSameInBothDialects(t *testing.T) {
	for name, only := range map[string]func(func(call) reply) func(call) reply{"v2": func(a func(call) reply) func(call) reply { return a }, "v1": onlyV1} {
		t.Run(name, func(t *testing.T) {
			unit := newHealthy()
			inBubble(t, only(unit.answer), func(t *testing.T, w *world) {
				w.secrets.set(withPassword)
				if err := w.client.Restore(t.Context(), w.pair, strings.NewReader(theBackup), loadmaster.RestoreServices|loadmaster.RestoreGEO); err != nil {
					t.Fatal(err)
				}
				if want := []string{"6 " + theBackup}; !slices.Equal(unit.restored, want) {
					t.Errorf("restored %q, want %q", unit.restored, want)
				}
				for _, c := range w.calls {
					if strings.Contains(c.url, "apikey") || strings.Contains(c.url, "pass") {
						t.Errorf("the URL has a secret: %s", c.url)
					}
				}
			})
		})
	}
	t.Run("as in the example", func(t *testing.T) {
		var example map[string]string
		if err := json.Unmarshal([]byte(fixture(t, "request-v2-restore.json")), &example); err != nil {
			t.Fatal(err)
		}
		inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
			if err := w.client.Restore(t.Context(), w.pair, strings.NewReader("x"), 15); err != nil {
				t.Fatal(err)
			}
			sent := w.calls[0]
			if sent.cmd != example["cmd"] || fmt.Sprint(sent.args) != fmt.Sprint(map[string]string{"type": example["type"]}) || sent.login != secretKey || sent.file != "x" {
				t.Errorf("sent %+v, want as in %v", sent, example)
			}
		})
	})
}

func TestWhatARestoreDoesNotSend(t *testing.T) {
	broken := errors.New("the blob is broken")
	tests := []struct {
		name string
		file io.Reader
		kind int
		want error
		says string
	}{
		{"no part", strings.NewReader("x"), 0, pair.ErrInvalid, "kind 0"},
		{"a part that there is not", strings.NewReader("x"), 16, pair.ErrInvalid, "kind 16"},
		{"an empty backup", strings.NewReader(""), 15, pair.ErrInvalid, "empty"},
		{"a backup without an end", endless{}, 15, pair.ErrTooLarge, "more than"},
		{"a backup that cannot be read", iotest.ErrReader(broken), 15, nil, "the blob is broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
				err := w.client.Restore(t.Context(), w.pair, tt.file, tt.kind)
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || len(w.asked()) != 0 {
					t.Errorf("got %v after %q; want one that says %q, and no call", err, w.asked(), tt.says)
				}
			})
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// The XML API takes a file as the whole body, so an API key could only stand in
// the URL.
func TestAKeyDoesNotGoIntoAURLForAFile(t *testing.T) {
	restore := func(w *world) error {
		return w.client.Restore(context.Background(), w.pair, strings.NewReader("x"), loadmaster.RestoreAll)
	}
	t.Run("where the unit takes only v1", func(t *testing.T) {
		inBubble(t, onlyV1(newHealthy().answer), func(t *testing.T, w *world) {
			if err := restore(w); !errors.Is(err, pair.ErrRefused) || !slices.Equal(w.asked(), []string{"v2 restore"}) {
				t.Errorf("got %v after %q", err, w.asked())
			}
			if _, err := w.client.Report(t.Context(), w.pair); err != nil { // now v1 is spoken
				t.Fatal(err)
			}
			w.forget()
			if err := restore(w); !errors.Is(err, pair.ErrInvalid) || !strings.Contains(err.Error(), "user and password") || len(w.asked()) != 0 {
				t.Errorf("got %v after %q", err, w.asked())
			}
		})
	})
	t.Run("where the key is wrong, which is one failed login", func(t *testing.T) {
		inBubble(t, func(c call) reply { return failed(c, 401, "no") }, func(t *testing.T, w *world) {
			if err := restore(w); !errors.Is(err, pair.ErrRefused) || pair.RetryAfter(err, 0) != 2*time.Minute || len(w.asked()) != 1 {
				t.Errorf("got %v after %q", err, w.asked())
			}
		})
	})
}

func TestSimulatedBackupIsRestoredOnABlankUnit(t *testing.T) {
	for name, opts := range map[string]lab.Options{"v2": {}, "v1": {V2NeedsSessionManagement: true}, "after a reboot": {RestoreNeedsReboot: true}} {
		t.Run(name, func(t *testing.T) {
			withSimulated(t, opts, func(t *testing.T, s *simulated) {
				s.secrets.set(loadmaster.Credentials{APIKey: secretKey, User: "bal", Password: secretPassword})
				var backup bytes.Buffer
				if err := s.client.Backup(t.Context(), s.defs[1], &backup); err != nil || backup.Len() == 0 {
					t.Fatalf("%d bytes, %v", backup.Len(), err)
				}
				s.second.PowerOff()
				s.second.Replace()
				s.second.PowerOn()
				time.Sleep(time.Minute)
				if _, err := s.client.Report(t.Context(), s.defs[1]); !errors.Is(err, pair.ErrUntrusted) {
					t.Fatalf("a new unit has a new certificate: %v", err)
				}
				s.defs[1].API.TLS.SHA256 = s.second.CertificateSHA256()
				s.second.License(secretKey, secretPassword)
				if r, err := s.client.Report(t.Context(), s.defs[1]); err != nil || r.State != pair.NotConfigured {
					t.Fatalf("%+v, %v", r, err)
				}
				if err := s.client.Restore(t.Context(), s.defs[1], &backup, loadmaster.RestoreAll); err != nil {
					t.Fatal(err)
				}
				if err := s.client.Reboot(t.Context(), s.defs[1]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if r, err := s.client.Report(t.Context(), s.defs[1]); err != nil || r.Role != pair.Second || r.Partner != "10.0.0.4" {
					t.Errorf("%+v, %v", r, err)
				}
				if n, err := s.client.Connections(t.Context(), s.defs[1]); err != nil || n != 0 {
					t.Errorf("%d connections, %v", n, err)
				}
			})
		})
	}
}
