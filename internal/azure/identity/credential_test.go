package identity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"tandem/internal/pair"
)

const endpointSecret = "identity-header-value"

// identityEndpoint is the App Service's own, over plain HTTP. The SDK keeps
// tokens for the whole process, so every test that gets one asks for a client id of
// its own.
func identityEndpoint(t *testing.T, answer http.HandlerFunc) {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	t.Setenv("IDENTITY_ENDPOINT", server.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", endpointSecret)
}

var scope = policy.TokenRequestOptions{Scopes: []string{"https://management.core.windows.net//.default"}}

func TestManagedIdentity(t *testing.T) {
	asked := make(chan *http.Request, 2)
	clientID := fmt.Sprintf("managed-identity-%d", time.Now().UnixNano())
	identityEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"t0ken","expires_on":"%d","resource":"r","token_type":"Bearer"}`, time.Now().Add(24*time.Hour).Unix())
	})
	public, err := Public.Configuration(CustomCloud{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{Source: Managed, Cloud: public, ClientID: clientID})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		token, err := c.GetToken(t.Context(), scope)
		if err != nil || token.Token != "t0ken" {
			t.Fatalf("got %v, %v", token, err)
		}
	}
	if len(asked) != 1 {
		t.Fatalf("the endpoint was asked %d times; a token is kept", len(asked))
	}
	r := <-asked
	if got := r.URL.Query().Get("client_id"); got != clientID {
		t.Errorf("client_id %q", got)
	}
	if got := r.URL.Query().Get("resource"); got != "https://management.core.windows.net/" {
		t.Errorf("resource %q", got)
	}
	if r.Header.Get("X-Identity-Header") != endpointSecret {
		t.Error("the identity header is missing")
	}
}

func TestTokenFailures(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   error
	}{
		{"an identity that is not assigned is refused", answering(http.StatusBadRequest, `{"error":"invalid_request","error_description":"no identity"}`), pair.ErrRefused},
		{"a wrong identity header is refused", answering(http.StatusUnauthorized, ""), pair.ErrRefused},
		{"an endpoint in trouble cannot be asked", answering(http.StatusServiceUnavailable, "<html>"), pair.ErrUnreachable},
		{"a throttled endpoint cannot be asked", answering(http.StatusTooManyRequests, ""), pair.ErrUnreachable},
		{"an endpoint that hangs up cannot be asked", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, pair.ErrUnreachable},
		{"the end of the context stays what it is", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, context.DeadlineExceeded},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			times := make(chan struct{}, 9)
			identityEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				times <- struct{}{}
				tt.answer(w, r)
			})
			c, err := New(Options{Source: Managed, ClientID: fmt.Sprintf("failure-%d", i)})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err = c.GetToken(ctx, scope)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if text := err.Error(); strings.Contains(text, endpointSecret) || strings.ContainsAny(text, "\n\r") || !strings.HasPrefix(text, "get a token for ") {
				t.Errorf("not a fit text: %q", text)
			}
			if len(times) != 1 {
				t.Errorf("asked %d times; the next pass is the next attempt", len(times))
			}
		})
	}
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name    string
		options Options
	}{
		{"nobody acts as somebody by accident", Options{}},
		{"a client id means nothing for a person", Options{Source: Person, ClientID: "x"}},
		{"a tenant that could be an option of the tool is refused", Options{Source: Person, TenantID: "--help; x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.options); !errors.Is(err, pair.ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPersonWhoIsNotSignedIn(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no tool is there to ask
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	identityEndpoint(t, func(http.ResponseWriter, *http.Request) {
		t.Error("a person's command asked the machine's identity")
	})
	c, err := New(Options{Source: Person})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetToken(t.Context(), scope); !errors.Is(err, pair.ErrRefused) {
		t.Errorf("got %v, want it refused", err)
	}
}
