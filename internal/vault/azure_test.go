package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem/internal/lab/azurite"
	"tandem/internal/pair"
)

// running is the emulator that all tests of the package share; each has its own
// container in it.
var (
	running    azurite.Shared
	containers atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := running.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func emulator(t *testing.T) string {
	t.Helper()
	conn, err := running.ConnectionString(os.Getenv("TANDEM_TEST_AZURITE"))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// openAzure returns a vault of the test's own in the emulator.
func openAzure(t *testing.T) *Vault {
	t.Helper()
	v, err := NewAzure(AzureOptions{
		ConnectionString: emulator(t), Container: fmt.Sprintf("t%dx%d", time.Now().UnixNano(), containers.Add(1)),
	})
	if err != nil {
		t.Fatal(err)
	}
	client := v.backend.(*azure).client
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Delete(context.Background(), nil) })
	return v
}

func TestAzureKeepsTheContract(t *testing.T) { testContract(t, openAzure) }

func TestTheContainerIsNotMadeHere(t *testing.T) {
	v, err := NewAzure(AzureOptions{ConnectionString: emulator(t), Container: "nobody-made-this"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.List(t.Context(), "edge"); !errors.Is(err, pair.ErrNotFound) || !strings.Contains(err.Error(), "container does not exist") {
		t.Errorf("list: %v", err)
	}
	if _, err := v.Put(t.Context(), "edge", backup(pair.First, noon), []byte("x")); !errors.Is(err, pair.ErrNotFound) {
		t.Errorf("put: %v", err)
	}
}

// does is a transport that answers by itself.
type does func(*http.Request) (*http.Response, error)

func (d does) Do(r *http.Request) (*http.Response, error) { return d(r) }

type token struct{ err error }

func (k token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "sesame", ExpiresOn: time.Now().Add(time.Hour)}, k.err
}

func TestAFailureBecomesAKindAndNothingIsSentTwice(t *testing.T) {
	status := func(code int, name string, header ...string) does {
		return func(r *http.Request) (*http.Response, error) {
			h := http.Header{"X-Ms-Error-Code": {name}}
			for i := 0; i+1 < len(header); i += 2 {
				h.Set(header[i], header[i+1])
			}
			return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
		}
	}
	tests := []struct {
		name        string
		answer      does
		token       token
		read, write error
		sends       int64
	}{
		{"no answer leaves a write unknown", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, token{}, pair.ErrUnreachable, pair.ErrUnknownOutcome, 1},
		{"a failure of the service leaves a write unknown", status(500, "InternalError"), token{}, pair.ErrUnreachable, pair.ErrUnknownOutcome, 1},
		{"a busy service asks for patience", status(503, "ServerBusy", "Retry-After", "7"), token{}, pair.ErrThrottled, pair.ErrThrottled, 1},
		{"a missing role is refused", status(403, "AuthorizationPermissionMismatch"), token{}, pair.ErrRefused, pair.ErrRefused, 1},
		{"an identity without a token is refused", status(200, ""), token{errors.New("no identity")}, pair.ErrRefused, pair.ErrRefused, 0},
		{"an odd request is invalid", status(400, "InvalidHeaderValue"), token{}, pair.ErrInvalid, pair.ErrInvalid, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var sent atomic.Int64
			v, err := NewAzure(AzureOptions{URL: "https://account.blob.core.windows.net/backups", Credential: tt.token, Transport: does(func(r *http.Request) (*http.Response, error) {
				sent.Add(1)
				return tt.answer(r)
			})})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.List(t.Context(), "edge"); !errors.Is(err, tt.read) || sent.Load() != tt.sends {
				t.Errorf("list: %v after %d requests", err, sent.Load())
			}
			if _, err := v.Put(t.Context(), "edge", backup(pair.First, noon), []byte("x")); !errors.Is(err, tt.write) || sent.Load() != 2*tt.sends {
				t.Errorf("put: %v after %d requests", err, sent.Load())
			}
			if tt.read == pair.ErrThrottled {
				_, err := v.List(t.Context(), "edge")
				if pair.RetryAfter(err, 0) != 7*time.Second {
					t.Errorf("waits %v", pair.RetryAfter(err, 0))
				}
			}
		})
	}
}

func TestAConnectionStringIsNotRepeated(t *testing.T) {
	for what, o := range map[string]AzureOptions{
		"nothing":                    {},
		"an address alone":           {URL: "https://account.blob.core.windows.net/backups"},
		"a string that is no string": {ConnectionString: "AccountKey=topsecret", Container: "backups"},
	} {
		if _, err := NewAzure(o); !errors.Is(err, pair.ErrInvalid) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
