package loadmaster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tandem/internal/loadmaster"
	"tandem/internal/pair"
)

func textLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// inBubble runs a test against a scripted unit in virtual time.
func inBubble(t *testing.T, answer func(call) reply, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, answer)) })
}

var fullReport = pair.Report{
	State: pair.Active, Role: pair.First, Preferred: pair.PreferFirst, Partner: "10.0.0.5", CheckPort: 8444,
	Firmware: "7.2.59.0.22007.RELEASE", BootedAt: time.Unix(1637800000, 0).UTC(), ChangedAt: time.Unix(1637849309, 0).UTC(),
}

func TestReportIsTheSameInBothDialects(t *testing.T) {
	unit := newHealthy()
	onlyV1 := func(c call) reply {
		if c.api == "v2" {
			return reply{status: 404, body: fixture(t, "v2-error-html-404.html")}
		}
		return unit.answer(c)
	}
	tests := []struct {
		name   string
		creds  loadmaster.Credentials
		answer func(call) reply
	}{
		{"v2 with an API key", withKey, unit.answer},
		{"v2 with user and password", withPassword, unit.answer},
		{"v1 with an API key", withKey, onlyV1},
		{"v1 with user and password", withPassword, onlyV1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.answer, func(t *testing.T, w *world) {
				w.secrets.set(tt.creds)
				got, err := w.client.Report(t.Context(), w.pair)
				if err != nil || got != fullReport {
					t.Errorf("got %+v, %v\nwant %+v", got, err, fullReport)
				}
				login := secretKey
				if tt.creds.User != "" {
					login = "bal:" + secretPassword
				}
				for _, c := range w.calls {
					if c.login != login {
						t.Errorf("%v was called with login %q", c, c.login)
					}
					if strings.Contains(c.url, "K3y") || strings.Contains(c.url, "p+w") {
						t.Errorf("%v has a secret in its URL %s", c, c.url)
					}
				}
			})
		})
	}
}

func TestConnectionsAreTheSameInBothDialects(t *testing.T) {
	unit := newHealthy()
	for api, answer := range map[string]func(call) reply{"v2": unit.answer, "v1": onlyV1(unit.answer)} {
		inBubble(t, answer, func(t *testing.T, w *world) {
			if n, err := w.client.Connections(t.Context(), w.pair); err != nil || n != 7 {
				t.Errorf("%s: %d connections, %v; want 7", api, n, err)
			}
		})
	}
	inBubble(t, func(c call) reply { return field(c, "ChangeTime", "1637849309") }, func(t *testing.T, w *world) {
		if n, err := w.client.Connections(t.Context(), w.pair); !errors.Is(err, pair.ErrUnreadable) || n != 0 {
			t.Errorf("without the services: %d connections, %v; want ErrUnreadable", n, err)
		}
	})
}

func TestReportIsCheap(t *testing.T) {
	unit := newHealthy()
	inBubble(t, unit.answer, func(t *testing.T, w *world) {
		report := func(want ...string) {
			t.Helper()
			w.forget()
			if _, err := w.client.Report(t.Context(), w.pair); err != nil {
				t.Fatal(err)
			}
			for i, s := range want {
				want[i] = "v2 " + s
			}
			if got := w.asked(); !slices.Equal(got, want) {
				t.Errorf("got calls %q\nwant %q", got, want)
			}
			if n := w.connections(); n != 1 {
				t.Errorf("the calls used %d connections, want 1", n)
			}
			time.Sleep(15 * time.Second)
		}
		report("get boottime", "get hastatus", "get version", "getazurehaparams", "stats")
		report("get boottime", "get hastatus", "getazurehaparams")
		unit.boot++ // a reboot may bring new firmware
		report("get boottime", "get hastatus", "get version", "getazurehaparams")
		report("get boottime", "get hastatus", "getazurehaparams")
		report("get boottime", "get hastatus", "getazurehaparams", "stats") // a minute later
	})
}

func TestFirmwareIsReadEachTimeWhereTheBootTimeIsNotTold(t *testing.T) {
	unit := newHealthy()
	inBubble(t, func(c call) reply {
		if c.cmd == "get boottime" {
			return failed(c, 422, "Unknown parameter value boottime.")
		}
		return unit.answer(c)
	}, func(t *testing.T, w *world) {
		for _, version := range []string{"7.2.59.0.22007.RELEASE", "7.2.60.0.22200.RELEASE"} {
			unit.version = version
			if got, err := w.client.Report(t.Context(), w.pair); err != nil || got.Firmware != version {
				t.Errorf("got firmware %q, %v; want %q", got.Firmware, err, version)
			}
		}
	})
}

func TestReportWithoutHastatus(t *testing.T) {
	tests := []struct {
		name       string
		activetime string
		want       pair.HAState
	}{
		{"an active time of zero is a standby", "0", pair.Standby},
		{"any other active time says nothing, since a single unit has one too", "1637800000", pair.StateUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			unit := newHealthy()
			inBubble(t, func(c call) reply {
				switch c.cmd {
				case "get hastatus":
					return failed(c, 422, "Unknown parameter value hastatus.")
				case "get activetime":
					return field(c, "activetime", tt.activetime)
				}
				return unit.answer(c)
			}, func(t *testing.T, w *world) {
				got, err := w.client.Report(t.Context(), w.pair)
				if err != nil || got.State != tt.want || got.Role != pair.First {
					t.Errorf("got %+v, %v; want state %v", got, err, tt.want)
				}
				w.forget()
				if _, err := w.client.Report(t.Context(), w.pair); err != nil || slices.Contains(w.asked(), "v2 get hastatus") {
					t.Errorf("hastatus is asked for again: %q, %v", w.asked(), err)
				}
				unit.boot++
				w.forget()
				if _, err := w.client.Report(t.Context(), w.pair); err != nil || !slices.Contains(w.asked(), "v2 get hastatus") {
					t.Errorf("after a reboot hastatus is not asked for: %q, %v", w.asked(), err)
				}
			})
		})
	}
}

func TestReportDoesWithoutSingleFacts(t *testing.T) {
	unit := newHealthy()
	for _, missing := range []string{"get boottime", "get version", "getazurehaparams", "stats"} {
		for name, instead := range map[string]func(call) reply{
			"unknown":   func(c call) reply { return failed(c, 405, "Unknown command") },
			"forbidden": func(c call) reply { return failed(c, 403, "no") },
			"unreadable": func(call) reply {
				return ok(`{"code":`)
			},
			"not told":  func(call) reply { return ok(`{"code":200,"status":"ok"}`) },
			"endless":   func(call) reply { return ok(`{"code":200,"x":"` + strings.Repeat("x", 2<<20) + `"}`) },
			"confusing": func(call) reply { return ok(`{"code":200,"version":"a\u001b[2Jb"}`) },
		} {
			t.Run(missing+" "+name, func(t *testing.T) {
				inBubble(t, func(c call) reply {
					if c.cmd == missing {
						return instead(c)
					}
					return unit.answer(c)
				}, func(t *testing.T, w *world) {
					want := fullReport
					switch missing {
					case "get boottime":
						want.BootedAt = time.Time{}
					case "get version":
						want.Firmware = ""
					case "getazurehaparams":
						want = pair.Report{State: want.State, Firmware: want.Firmware, BootedAt: want.BootedAt, ChangedAt: want.ChangedAt}
					case "stats":
						want.ChangedAt = time.Time{}
					}
					if got, err := w.client.Report(t.Context(), w.pair); err != nil || got != want {
						t.Errorf("got %+v, %v\nwant %+v", got, err, want)
					}
				})
			})
		}
	}
}

func TestEveryAnswerHasItsKind(t *testing.T) {
	page := fixture(t, "v2-error-html-404.html")
	tests := []struct {
		name  string
		reply func(call) reply
		read  error
		write error
		says  string
	}{
		{"missing value", func(call) reply { return reply{status: 400, body: fixture(t, "v1-error-400-missing-value.xml")} }, pair.ErrInvalid, pair.ErrInvalid, "String Value missing"},
		{"bad credentials", func(call) reply { return reply{status: 401, body: fixture(t, "v2-error-401.json")} }, pair.ErrRefused, pair.ErrRefused, "Authorization Required"},
		{"a login page", func(call) reply { return reply{status: 401, body: "<html>"} }, pair.ErrRefused, pair.ErrRefused, "credentials"},
		{"a bare word", func(call) reply { return reply{status: 401, body: "Unauthorized"} }, pair.ErrRefused, pair.ErrRefused, "credentials"},
		{"no permission", func(c call) reply { return failed(c, 403, "denied") }, pair.ErrRefused, pair.ErrRefused, "permission"},
		{"API switched off", func(call) reply { return reply{status: 404, body: page} }, pair.ErrRefused, pair.ErrRefused, "switched off"},
		{"sent to a login", func(call) reply {
			return reply{status: 302, header: map[string]string{"Location": "/login"}}
		}, pair.ErrRefused, pair.ErrRefused, "login"},
		{"unknown command", func(call) reply { return reply{status: 405, body: fixture(t, "v1-error-405-unknown-command.xml")} }, pair.ErrNotFound, pair.ErrNotFound, "Unknown command"},
		{"unknown parameter", func(call) reply { return reply{status: 422, body: fixture(t, "v1-error-422-unknown-param.xml")} }, pair.ErrNotFound, pair.ErrNotFound, "lmversion"},
		{"bad value", func(call) reply { return reply{status: 422, body: fixture(t, "v2-error-422-unknown-vs.json")} }, pair.ErrInvalid, pair.ErrInvalid, "Unknown VS"},
		{"bad value with HTTP 200", func(call) reply { return ok(fixture(t, "v2-error-422-unknown-vs.json")) }, pair.ErrInvalid, pair.ErrInvalid, "Unknown VS"},
		{"too many", func(c call) reply { return failed(c, 429, "slowly") }, pair.ErrThrottled, pair.ErrThrottled, "patience"},
		{"fault of the unit", func(c call) reply { return failed(c, 500, "oops") }, pair.ErrUnreadable, pair.ErrUnknownOutcome, "oops"},
		{"half an answer", func(call) reply { return ok(`{"code":200,`) }, pair.ErrUnreadable, pair.ErrUnknownOutcome, "JSON"},
		{"a page with 200", func(call) reply { return ok(page) }, pair.ErrUnreadable, pair.ErrUnknownOutcome, "expected JSON or XML"},
		{"nothing with 200", func(call) reply { return ok("") }, pair.ErrUnreadable, pair.ErrUnknownOutcome, "expected JSON or XML"},
		{"too much", func(call) reply { return ok(strings.Repeat(" ", 1<<20+1)) }, pair.ErrUnreadable, pair.ErrUnknownOutcome, "at most 1048576 bytes"},
		{"something that is not HTTP", func(call) reply { return reply{hangUp: true, raw: "220 hello\r\n"} }, pair.ErrUnreadable, pair.ErrUnknownOutcome, "hello"},
		{"less than was announced", func(call) reply { return reply{hangUp: true, raw: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"} }, pair.ErrUnreachable, pair.ErrUnknownOutcome, "EOF"},
		{"nothing but the end", func(call) reply { return hangUp }, pair.ErrUnreachable, pair.ErrUnknownOutcome, "EOF"},
		{"no answer in time", func(call) reply { return reply{delay: time.Minute, status: 200} }, pair.ErrUnreachable, pair.ErrUnknownOutcome, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check := func(t *testing.T, what string, err, want error) {
				t.Helper()
				if !errors.Is(err, want) {
					t.Fatalf("%s: got %v, want %v", what, err, want)
				}
				for _, part := range []string{"10.0.0.4:8443", what, tt.says} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%s: the error does not say %q: %v", what, part, err)
					}
				}
			}
			inBubble(t, tt.reply, func(t *testing.T, w *world) {
				_, err := w.client.HAParameters(t.Context(), w.pair)
				check(t, "getazurehaparams", err, tt.read)
			})
			inBubble(t, tt.reply, func(t *testing.T, w *world) {
				check(t, "reboot", w.client.Reboot(t.Context(), w.pair), tt.write)
			})
		})
	}
}

func TestUnitThatCannotBeReached(t *testing.T) {
	tests := []struct {
		name string
		dial func(context.Context, string, string) (net.Conn, error)
		want error
	}{
		{"refused", func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}, pair.ErrUnreachable},
		{"silent", func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, pair.ErrUnreachable},
		{"something that is not TLS", func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				_, _ = far.Read(make([]byte, 64<<10))
				_, _ = io.WriteString(far, "SSH-2.0-OpenSSH_9.6\r\n")
				_, _ = io.Copy(io.Discard, far)
			}()
			return near, nil
		}, pair.ErrUnreadable},
		{"plain HTTP", func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				_, _ = far.Read(make([]byte, 64<<10))
				_, _ = io.WriteString(far, "HTTP/1.0 400 Bad Request\r\n\r\n")
				_, _ = io.Copy(io.Discard, far)
			}()
			return near, nil
		}, pair.ErrUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, loadmaster.Options{Secrets: &secrets{creds: withKey}, DialContext: tt.dial})
				u := pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s"}}
				_, err := c.Report(t.Context(), u)
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), "10.0.0.4:8443") {
					t.Errorf("read: got %v, want %v", err, tt.want)
				}
				err = c.Reboot(t.Context(), u)
				if !errors.Is(err, tt.want) {
					t.Errorf("a write that was never sent: got %v, want %v", err, tt.want)
				}
				c.Close()
				time.Sleep(time.Minute) // whatever was started has ended, or the bubble complains
			})
		})
	}
}

func TestDroppedReadIsTriedOnceMore(t *testing.T) {
	drops := 1
	unit := newHealthy()
	flaky := func(c call) reply {
		if drops > 0 {
			drops--
			return hangUp
		}
		return unit.answer(c)
	}
	inBubble(t, flaky, func(t *testing.T, w *world) {
		start := time.Now()
		if _, err := w.client.HAParameters(t.Context(), w.pair); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < time.Second || d > 1250*time.Millisecond {
			t.Errorf("the second attempt came after %v, want about a second", d)
		}
		drops = 2
		w.forget()
		_, err := w.client.HAParameters(t.Context(), w.pair)
		if !errors.Is(err, pair.ErrUnreachable) || len(w.asked()) != 2 {
			t.Errorf("two drops: got %v after %q, want ErrUnreachable after two attempts", err, w.asked())
		}
	})
}

func TestWriteIsNeverRepeated(t *testing.T) {
	writes := map[string]func(context.Context, *world) error{
		"azurehaparam": func(ctx context.Context, w *world) error {
			return w.client.SetHAParameters(ctx, w.pair, wanted)
		},
		"azurehamode": func(ctx context.Context, w *world) error { return w.client.SetHAMode(ctx, w.pair, pair.Second) },
		"reboot":      func(ctx context.Context, w *world) error { return w.client.Reboot(ctx, w.pair) },
		"restore": func(ctx context.Context, w *world) error {
			return w.client.Restore(ctx, w.pair, strings.NewReader(theBackup), loadmaster.RestoreAll)
		},
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(call) reply { return hangUp }, func(t *testing.T, w *world) {
				// A kept connection must not be used for a write, where a drop
				// could not be told from a drop before the write.
				_, _ = w.client.HAParameters(t.Context(), w.pair)
				w.forget()
				err := write(t.Context(), w)
				if got := w.asked(); !errors.Is(err, pair.ErrUnknownOutcome) || !slices.Equal(got, []string{"v2 " + name}) {
					t.Errorf("got %v after %q, want ErrUnknownOutcome after one attempt", err, got)
				}
			})
		})
	}
}

func TestWriteUsesAFreshConnection(t *testing.T) {
	inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
		if _, err := w.client.HAParameters(t.Context(), w.pair); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := w.client.Reboot(t.Context(), w.pair); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.connections(); n != 3 {
			t.Errorf("a read and two writes used %d connections, want 3", n)
		}
	})
}

func TestDropBeforeTheWriteIsNotUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		c := newClient(t, loadmaster.Options{
			Secrets: &secrets{creds: withKey},
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				dials++
				near, far := net.Pipe()
				go func() {
					_, _ = far.Read(make([]byte, 64<<10))
					_ = far.Close()
				}()
				return near, nil
			},
		})
		err := c.Reboot(t.Context(), pair.Unit{VM: "lm1", Address: unitAddr, API: pair.API{Secret: "s"}})
		if !errors.Is(err, pair.ErrUnreachable) || errors.Is(err, pair.ErrUnknownOutcome) || dials != 1 {
			t.Errorf("got %v after %d dials, want ErrUnreachable after one", err, dials)
		}
	})
}

func TestGivingUp(t *testing.T) {
	slow := func(call) reply { return reply{delay: time.Minute, status: 200} }
	inBubble(t, slow, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.client.Report(ctx, w.pair)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pair.ErrUnreachable) {
			t.Errorf("read: got %v, want the context's end and nothing about the unit", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = w.client.Reboot(ctx, w.pair)
		if !errors.Is(err, pair.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("write: got %v, want ErrUnknownOutcome and the context's end", err)
		}
	})
}

var wanted = loadmaster.HAParameters{Role: pair.First, Partner: "10.0.0.5", CheckPort: 8444, Preferred: pair.PreferNone, AllInterfaces: true}

func TestSetHAParametersSendsAllFourAndReadsBack(t *testing.T) {
	inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
		if err := w.client.SetHAParameters(t.Context(), w.pair, wanted); err != nil {
			t.Fatal(err)
		}
		if got := w.asked(); !slices.Equal(got, []string{"v2 azurehaparam", "v2 getazurehaparams"}) {
			t.Errorf("got calls %q", got)
		}
		want := map[string]string{"partner": "10.0.0.5", "hcp": "8444", "haprefered": "0", "hcai": "1"}
		if got := w.calls[0].args; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got arguments %v, want %v", got, want)
		}
		if got, err := w.client.HAParameters(t.Context(), w.pair); err != nil || got != wanted {
			t.Errorf("got %+v, %v; want %+v", got, err, wanted)
		}
	})
}

func TestRequestIsThatOfTheExample(t *testing.T) {
	var example map[string]string
	if err := json.Unmarshal([]byte(fixture(t, "request-v2-azurehaparam.json")), &example); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"apiuser", "apipass", "cmd"} {
		delete(example, k)
	}
	inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
		w.secrets.set(withPassword)
		p := loadmaster.HAParameters{Partner: "10.1.0.5", CheckPort: 8444, Preferred: pair.PreferFirst}
		if err := w.client.SetHAParameters(t.Context(), w.pair, p); err != nil {
			t.Fatal(err)
		}
		if got := w.calls[0].args; fmt.Sprint(got) != fmt.Sprint(example) {
			t.Errorf("got %v, want %v", got, example)
		}
	})
}

func TestWriteIsOnlyBelievedWhenSeen(t *testing.T) {
	unit := newHealthy()
	tests := []struct {
		name   string
		answer func(call) reply
		write  func(context.Context, *world) error
		says   string
	}{
		{"the unit says yes and does nothing", func(c call) reply {
			if c.cmd == "azurehaparam" {
				return done(c)
			}
			return unit.answer(c)
		}, func(ctx context.Context, w *world) error { return w.client.SetHAParameters(ctx, w.pair, wanted) }, "preference first, expected none, all interfaces false, expected true"},
		{"the unit keeps its partner", func(c call) reply {
			if c.cmd == "azurehaparam" {
				c.args["partner"] = "10.0.0.6"
			}
			return unit.answer(c)
		}, func(ctx context.Context, w *world) error { return w.client.SetHAParameters(ctx, w.pair, wanted) }, `partner "10.0.0.6", expected "10.0.0.5"`},
		{"reading back fails", func(c call) reply {
			if c.cmd == "getazurehaparams" {
				return failed(c, 500, "oops")
			}
			return unit.answer(c)
		}, func(ctx context.Context, w *world) error { return w.client.SetHAParameters(ctx, w.pair, wanted) }, "reading back failed"},
		{"the mode stays", func(c call) reply {
			if c.cmd == "azurehamode" {
				return done(c)
			}
			return unit.answer(c)
		}, func(ctx context.Context, w *world) error { return w.client.SetHAMode(ctx, w.pair, pair.Second) }, "role first, expected second"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, tt.answer, func(t *testing.T, w *world) {
				err := tt.write(t.Context(), w)
				if !errors.Is(err, pair.ErrUnknownOutcome) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, want ErrUnknownOutcome that says %q", err, tt.says)
				}
			})
		})
	}
}

func TestSetHAMode(t *testing.T) {
	inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
		if err := w.client.SetHAMode(t.Context(), w.pair, pair.Second); err != nil {
			t.Fatal(err)
		}
		if got := w.calls[0].args["hamode"]; got != "second" {
			t.Errorf("got hamode %q, want second", got)
		}
	})
}

func TestNothingInvalidIsSent(t *testing.T) {
	with := func(edit func(*loadmaster.HAParameters)) func(context.Context, *world) error {
		return func(ctx context.Context, w *world) error {
			p := wanted
			edit(&p)
			return w.client.SetHAParameters(ctx, w.pair, p)
		}
	}
	tests := []struct {
		name string
		do   func(context.Context, *world) error
	}{
		{"a masked value is never written back", with(func(p *loadmaster.HAParameters) { p.Partner = "********" })},
		{"a missing partner", with(func(p *loadmaster.HAParameters) { p.Partner = "" })},
		{"a partner with a line break", with(func(p *loadmaster.HAParameters) { p.Partner = "a\nb" })},
		{"a partner with a control character", with(func(p *loadmaster.HAParameters) { p.Partner = "a\x00b" })},
		{"a missing check port", with(func(p *loadmaster.HAParameters) { p.CheckPort = 0 })},
		{"a missing preference", with(func(p *loadmaster.HAParameters) { p.Preferred = pair.PreferenceUnknown })},
		{"no role", func(ctx context.Context, w *world) error {
			return w.client.SetHAMode(ctx, w.pair, pair.RoleUnknown)
		}},
		{"a parameter that is a path", func(ctx context.Context, w *world) error {
			_, err := w.client.Parameter(ctx, w.pair, "../x")
			return err
		}},
		{"a unit without an address", func(ctx context.Context, w *world) error {
			w.pair.Address = netip.Addr{}
			return w.client.Reboot(ctx, w.pair)
		}},
		{"a pin that is none", func(ctx context.Context, w *world) error {
			w.pair.API.TLS.SHA256 = "abc"
			return w.client.Reboot(ctx, w.pair)
		}},
		{"credentials without anything", func(ctx context.Context, w *world) error {
			w.secrets.set(loadmaster.Credentials{Password: "x"})
			return w.client.Reboot(ctx, w.pair)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
				if err := tt.do(t.Context(), w); !errors.Is(err, pair.ErrInvalid) || len(w.asked()) != 0 {
					t.Errorf("got %v after %q, want ErrInvalid and no call", err, w.asked())
				}
			})
		})
	}
}

func TestParameter(t *testing.T) {
	tests := []struct {
		name  string
		param string
		body  string
		want  string
		err   error
	}{
		{"XML with padding", "cachesize", fixture(t, "v1-get-param.xml"), "100", nil},
		{"JSON list", "nameserver", `{"code":200,"nameserver":["8.8.8.8","8.8.4.4"],"status":"ok"}`, "8.8.8.8,8.8.4.4", nil},
		{"another case", "syslogport", `{"code":200,"SyslogPort":514,"status":"ok"}`, "514", nil},
		{"a masked secret reads as it is", "backuppassword", fixture(t, "v1-getall-excerpt.xml"), "********", nil},
		{"a name that the envelope has too", "status", `{"code":200,"status":"ok"}`, "", pair.ErrNotFound},
		{"a parameter that is not there", "motd", `{"code":200,"status":"ok"}`, "", pair.ErrNotFound},
		{"an empty parameter", "motd", xmlAnswer("<motd></motd>"), "", nil},
		{"our own secret is not shown", "motd", xmlAnswer("<motd>p w:&quot;&amp;&lt;\\+é</motd>"), "[redacted]", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(call) reply { return ok(strings.ReplaceAll(tt.body, "é", "\xe9")) }, func(t *testing.T, w *world) {
				w.secrets.set(withPassword)
				got, err := w.client.Parameter(t.Context(), w.pair, tt.param)
				if got != tt.want || !errors.Is(err, tt.err) {
					t.Errorf("got %q, %v; want %q, %v", got, err, tt.want, tt.err)
				}
			})
		})
	}
}

func TestV1IsRememberedForAnHour(t *testing.T) {
	unit := newHealthy()
	for _, code := range []int{401, 404, 302} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inBubble(t, func(c call) reply {
				if c.api == "v2" {
					return reply{status: code, body: "<html>"}
				}
				return unit.answer(c)
			}, func(t *testing.T, w *world) {
				read := func(want ...string) {
					t.Helper()
					w.forget()
					if _, err := w.client.HAParameters(t.Context(), w.pair); err != nil {
						t.Fatal(err)
					}
					if got := w.asked(); !slices.Equal(got, want) {
						t.Errorf("got calls %q, want %q", got, want)
					}
				}
				read("v2 getazurehaparams", "v1 getazurehaparams")
				if !strings.Contains(w.logged.String(), "Session Management") {
					t.Errorf("the log has no hint: %s", w.logged)
				}
				read("v1 getazurehaparams")
				_, err := w.client.Parameter(t.Context(), w.pair, "nonsense")
				if err == nil || !strings.Contains(err.Error(), "Session Management") || !strings.Contains(err.Error(), fmt.Sprint(code)) {
					t.Errorf("the error has no hint: %v", err)
				}
				time.Sleep(time.Hour)
				read("v2 getazurehaparams", "v1 getazurehaparams")
				w.secrets.set(withPassword)
				read("v2 getazurehaparams", "v1 getazurehaparams")
			})
		})
	}
}

func TestV1IsNotTriedWhereV2Answers(t *testing.T) {
	for _, code := range []int{403, 405, 422, 500} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inBubble(t, func(c call) reply { return failed(c, code, "no") }, func(t *testing.T, w *world) {
				if _, err := w.client.HAParameters(t.Context(), w.pair); err == nil || len(w.asked()) != 1 {
					t.Errorf("got %v after %q, want an error after one call", err, w.asked())
				}
			})
		})
	}
}

func TestRefusedCredentialsRest(t *testing.T) {
	unit := newHealthy()
	good := withPassword
	strict := func(c call) reply {
		if c.login != good.User+":"+good.Password {
			return failed(c, 401, "no")
		}
		return unit.answer(c)
	}
	inBubble(t, strict, func(t *testing.T, w *world) {
		for i := range 3 { // as if the record never knew of it, or a person cleared it each time
			w.forget()
			_, err := w.client.Report(t.Context(), w.pair)
			if after := pair.RetryAfter(err, 0); !errors.Is(err, pair.ErrRefused) || after != time.Hour {
				t.Fatalf("refusal %d: got %v, wait %v; want ErrRefused, wait an hour after two logins", i, err, after)
			}
			if got := w.asked(); !slices.Equal(got, []string{"v2 get boottime", "v1 get boottime"}) {
				t.Fatalf("refusal %d: got calls %q", i, got)
			}
			time.Sleep(2*time.Minute - time.Second)
			w.forget()
			err = w.client.Reboot(t.Context(), w.pair)
			if !errors.Is(err, pair.ErrRefused) || len(w.asked()) != 0 || pair.RetryAfter(err, 0) != 2*time.Minute {
				t.Fatalf("while resting: got %v after %q, want ErrRefused and no call", err, w.asked())
			}
			time.Sleep(2 * time.Minute) // since it was asked last
		}
		if _, err := w.client.Report(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) {
			t.Fatal(err)
		}
		w.secrets.set(good)
		if _, err := w.client.Report(t.Context(), w.pair); err != nil {
			t.Errorf("other credentials wait for those before: %v", err)
		}
		w.secrets.set(withKey)
		if _, err := w.client.Report(t.Context(), w.pair); pair.RetryAfter(err, 0) != 2*time.Minute {
			t.Errorf("one login asks for a rest of two minutes: %v", err)
		}
	})
}

// TestOneTryIsOneLogin: a unit that took the JSON API refuses the key from now
// on. The XML API is not tried, and nothing is tried while others ask who do not
// know of the refusal, as where the record cannot be stored.
func TestOneTryIsOneLogin(t *testing.T) {
	unit := newHealthy()
	rotated := false
	inBubble(t, func(c call) reply {
		if rotated {
			return failed(c, 401, "no")
		}
		return unit.answer(c)
	}, func(t *testing.T, w *world) {
		if _, err := w.client.Report(t.Context(), w.pair); err != nil {
			t.Fatal(err)
		}
		rotated = true
		w.forget()
		for range 3600 / 15 {
			if _, err := w.client.Report(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) || pair.RetryAfter(err, 0) != 2*time.Minute {
				t.Fatalf("got %v, want ErrRefused and a rest of two minutes", err)
			}
			time.Sleep(15 * time.Second)
		}
		if got := w.asked(); !slices.Equal(got, []string{"v2 get boottime"}) {
			t.Errorf("calls in an hour: %q, want one login", got)
		}
		time.Sleep(2 * time.Minute)
		if _, err := w.client.Report(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) || len(w.asked()) != 2 {
			t.Errorf("got %v after %q, want another try two minutes after the last question", err, w.asked())
		}
	})
}

func TestRefusalsOfOneMomentCountAsOne(t *testing.T) {
	inBubble(t, func(c call) reply { return failed(c, 401, "no") }, func(t *testing.T, w *world) {
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				if _, err := w.client.HAParameters(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) || pair.RetryAfter(err, 0) == 0 {
					t.Errorf("got %v, want ErrRefused and a rest", err)
				}
			})
		}
		all.Wait()
		time.Sleep(2 * time.Minute)
		w.forget()
		if _, err := w.client.HAParameters(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) || len(w.asked()) == 0 {
			t.Errorf("got %v after %q, want a try as two minutes after one refusal", err, w.asked())
		}
	})
}

func TestRefusalOfEitherAPIIsARefusal(t *testing.T) {
	tests := []struct {
		name   string
		v2, v1 reply
		want   error
	}{
		{"v2 refuses and v1 is not there", reply{status: 401}, reply{status: 404}, pair.ErrRefused},
		{"v2 is not there and v1 refuses", reply{status: 404}, reply{status: 401}, pair.ErrRefused},
		{"v2 refuses and v1 hangs up", reply{status: 401}, hangUp, pair.ErrUnreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(c call) reply {
				if c.api == "v2" {
					return tt.v2
				}
				return tt.v1
			}, func(t *testing.T, w *world) {
				if _, err := w.client.HAParameters(t.Context(), w.pair); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				w.forget()
				if _, err := w.client.HAParameters(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) || len(w.asked()) != 0 {
					t.Errorf("got %v after %q, want ErrRefused and no call", err, w.asked())
				}
			})
		})
	}
}

func TestV1ThatIsRefusedIsForgotten(t *testing.T) {
	unit := newHealthy()
	var v2, v1 reply
	inBubble(t, func(c call) reply {
		if a := map[string]reply{"v2": v2, "v1": v1}[c.api]; a.status != 0 {
			return a
		}
		return unit.answer(c)
	}, func(t *testing.T, w *world) {
		v2 = reply{status: 404}
		if _, err := w.client.HAParameters(t.Context(), w.pair); err != nil {
			t.Fatal(err)
		}
		v2, v1 = reply{}, reply{status: 404}
		if _, err := w.client.HAParameters(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) {
			t.Fatalf("got %v, want ErrRefused", err)
		}
		if _, err := w.client.HAParameters(t.Context(), w.pair); err != nil {
			t.Errorf("v2, which works now, is not tried: %v", err)
		}
	})
}

func TestCallerWhoIsGoneDoesNotCauseASecondAttempt(t *testing.T) {
	inBubble(t, func(call) reply { return hangUp }, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := w.client.HAParameters(ctx, w.pair)
		if !errors.Is(err, pair.ErrUnreachable) || len(w.asked()) != 1 {
			t.Errorf("got %v after %q, want ErrUnreachable after one attempt", err, w.asked())
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.client.HAParameters(gone, w.pair); !errors.Is(err, context.Canceled) || len(w.asked()) != 1 {
			t.Errorf("got %v after %q, want the context's end and no call", err, w.asked())
		}
	})
}

func TestSwitchedOffAPIIsAskedAgain(t *testing.T) {
	unit := newHealthy()
	off := true
	inBubble(t, func(c call) reply {
		if off {
			return reply{status: 404, body: "<html>"}
		}
		return unit.answer(c)
	}, func(t *testing.T, w *world) {
		if _, err := w.client.Report(t.Context(), w.pair); !errors.Is(err, pair.ErrRefused) {
			t.Fatal(err)
		}
		off = false
		if got, err := w.client.Report(t.Context(), w.pair); err != nil || got != fullReport {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestCallLimitIsSharedByAllCallers(t *testing.T) {
	inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 5 {
					if _, err := w.client.HAParameters(t.Context(), w.pair); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		for i := range w.calls {
			if j := i + 30; j < len(w.calls) && w.calls[j].at.Sub(w.calls[i].at) < 3*time.Second {
				t.Fatalf("31 calls within %v from call %d on", w.calls[j].at.Sub(w.calls[i].at), i)
			}
		}
		if d := w.calls[len(w.calls)-1].at.Sub(w.calls[0].at); d > 16*time.Second {
			t.Errorf("100 calls took %v, want about 15s", d)
		}
	})
}

func TestCallerWhoCannotWaitIsThrottled(t *testing.T) {
	inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
		for range 10 {
			if _, err := w.client.HAParameters(t.Context(), w.pair); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := w.client.HAParameters(ctx, w.pair)
		if !errors.Is(err, pair.ErrThrottled) || pair.RetryAfter(err, 0) == 0 || len(w.asked()) != 10 {
			t.Errorf("got %v after %d calls, want ErrThrottled with a time and no call", err, len(w.asked()))
		}
	})
}

func TestRetryAfterOfTheUnitIsPassedOn(t *testing.T) {
	for _, status := range []int{429, 503} {
		answer := func(call) reply { return reply{status: status, header: map[string]string{"Retry-After": "7"}} }
		inBubble(t, answer, func(t *testing.T, w *world) {
			_, err := w.client.HAParameters(t.Context(), w.pair)
			if !errors.Is(err, pair.ErrThrottled) || pair.RetryAfter(err, 0) != 7*time.Second {
				t.Errorf("%d: got %v, wait %v; want ErrThrottled, 7s", status, err, pair.RetryAfter(err, 0))
			}
		})
	}
}

func TestErrorsOfTheSecretsAreNotAboutTheUnit(t *testing.T) {
	for _, cause := range []error{pair.ErrUnreachable, pair.ErrRefused, context.DeadlineExceeded} {
		inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
			w.secrets.err = fmt.Errorf("ask the vault: %w", cause)
			_, err := w.client.Report(t.Context(), w.pair)
			kept := errors.Is(cause, context.DeadlineExceeded)
			if err == nil || errors.Is(err, cause) != kept || !strings.Contains(err.Error(), "lm1-api") || !strings.Contains(err.Error(), "ask the vault") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSecretsAppearNowhere(t *testing.T) {
	leaks := func(text string) bool {
		for _, s := range []string{"K3y", "%41", `p w`, "p+w", "p%20w", "YmFsOn", "S3k"} {
			if strings.Contains(text, s) {
				return true
			}
		}
		return false
	}
	echo := func(status int) func(call) reply {
		return func(c call) reply {
			both, _ := json.Marshal(c.login)
			return reply{status: status, body: fmt.Sprintf(`{"code":%d,"message":"bad login %s %s","hastatus":%s,"version":%s,"Partner":%s,"HaMode":"first"}`,
				status, url.QueryEscape(c.login), strings.Trim(string(both), `"`), both, both, both)}
		}
	}
	tests := map[string]func(call) reply{
		"echo in errors":     echo(422),
		"echo in a refusal":  echo(401),
		"echo in fields":     echo(200),
		"echo from a fault":  echo(500),
		"broken JSON":        func(c call) reply { return ok(`{"code":` + c.login) },
		"broken XML":         func(c call) reply { return ok(`<?xml version="1.0"?><Response><Success><` + c.login) },
		"malformed HTTP":     func(c call) reply { return reply{hangUp: true, raw: "HTTP/" + c.login + " 200 OK\r\n\r\n"} },
		"hang up":            func(call) reply { return hangUp },
		"strange HTTP reply": func(c call) reply { return reply{status: 200, header: map[string]string{"Location": c.login}} },
	}
	for name, answer := range tests {
		for _, creds := range []loadmaster.Credentials{withKey, withPassword, {APIKey: secretKey, User: "bal", Password: secretPassword}} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, answer, func(t *testing.T, w *world) {
					w.secrets.set(creds)
					report, errReport := w.client.Report(t.Context(), w.pair)
					ha, errHA := w.client.HAParameters(t.Context(), w.pair)
					_, errParameter := w.client.Parameter(t.Context(), w.pair, "version")
					errSet := w.client.SetHAParameters(t.Context(), w.pair, wanted)
					errReboot := w.client.Reboot(t.Context(), w.pair)
					_, errConfigure := w.client.Configure(t.Context(), w.pair, pair.First, wanted)
					_, errConnections := w.client.Connections(t.Context(), w.pair)
					errBackup := w.client.Backup(t.Context(), w.pair, io.Discard)
					errRestore := w.client.Restore(t.Context(), w.pair, strings.NewReader("x"), loadmaster.RestoreAll)
					for _, err := range []error{errReport, errHA, errParameter, errSet, errReboot, errConfigure, errConnections, errBackup, errRestore} {
						for ; err != nil; err = errors.Unwrap(err) {
							if leaks(fmt.Sprintf("%v %+v %#v %q", err, err, err, err)) {
								t.Errorf("an error shows a secret: %v", err)
							}
						}
					}
					if text := fmt.Sprintf("%+v %+v", report, ha); leaks(text) {
						t.Errorf("an answer shows a secret: %s", text)
					}
					if leaks(w.logged.String()) {
						t.Errorf("the log shows a secret: %s", w.logged)
					}
				})
			})
		}
	}
}

func TestCredentialsPrintAsRedacted(t *testing.T) {
	c := loadmaster.Credentials{APIKey: "abc-key", User: "abc-user", Password: "abc-password"}
	in := struct{ C loadmaster.Credentials }{c}
	inJSON, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "c", c, "p", &c, "in", in)
	textLogger(&logged).Info("x", "c", c, "p", &c, "in", in)
	prints := []string{c.String(), c.GoString(), string(inJSON), logged.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T%v"} {
		prints = append(prints, fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, in), fmt.Sprint([]any{c}))
	}
	for _, p := range prints {
		if strings.Contains(p, "abc") || strings.Contains(p, fmt.Sprintf("%x", "abc")) {
			t.Errorf("credentials are shown: %s", p)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, opts := range map[string]loadmaster.Options{
		"no secrets":         {},
		"a negative timeout": {Secrets: &secrets{}, Timeout: -1},
	} {
		if _, err := loadmaster.New(opts); !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestUnusedUnitsAreForgotten(t *testing.T) {
	// Seen from outside: what was remembered has to be learned again.
	inBubble(t, newHealthy().answer, func(t *testing.T, w *world) {
		report := func() int {
			w.forget()
			if _, err := w.client.Report(t.Context(), w.pair); err != nil {
				t.Fatal(err)
			}
			return len(w.asked())
		}
		if first, second := report(), report(); first != 5 || second != 3 {
			t.Errorf("got %d and %d calls, want 5 and 3", first, second)
		}
		time.Sleep(2 * time.Hour)
		other := w.pair
		other.Address = netip.MustParseAddr("10.0.0.99")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.client.Report(ctx, other); err == nil {
			t.Error("an address where nobody is answered")
		}
		if again := report(); again != 5 {
			t.Errorf("got %d calls, want 5", again)
		}
	})
}

var _ http.Handler = (*unit)(nil)
