package arm_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/network"
)

func newNetwork() *network.Network { return network.New(network.Options{}) }

func TestTokens(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		now := time.Now()
		token := func(audience string, expires time.Time) string {
			return "Bearer " + arm.UnsignedToken(ada, audience, "tenant", now, expires)
		}
		for _, tt := range []struct {
			name, header string
			status       int
			code         string
		}{
			{"none is refused", "", 401, "AuthenticationFailed"},
			{"another scheme is refused", "Basic ada", 401, "AuthenticationFailed"},
			{"nonsense is refused", "Bearer nonsense", 401, "InvalidAuthenticationToken"},
			{"nonsense in the form of a JWT is refused", "Bearer a.b.c", 401, "InvalidAuthenticationToken"},
			{"one that is too long is refused", "Bearer " + strings.Repeat("x", 20_000) + ".e30.", 401, "InvalidAuthenticationToken"},
			{"an expired one is refused", token("https://management.azure.com", now), 401, "ExpiredAuthenticationToken"},
			{"one for something else is refused", token("https://storage.azure.com", now.Add(time.Hour)), 401, "InvalidAuthenticationTokenAudience"},
			{"one from the table is accepted", "Bearer ada", 200, ""},
			{"an unsigned one is accepted", token("https://management.azure.com/", now.Add(time.Hour)), 200, ""},
		} {
			status, header, b := z.do(ctx, http.MethodGet, lbID, "", "Authorization", tt.header)
			if status != tt.status || !strings.Contains(b, tt.code) {
				t.Errorf("%s: got %d %s, want %d %s", tt.name, status, b, tt.status, tt.code)
			}
			if status == 401 && header.Get("Www-Authenticate") == "" {
				t.Errorf("%s: without WWW-Authenticate", tt.name)
			}
		}
	})
}

func TestBodiesAreBoundedAndStrict(t *testing.T) {
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		for _, tt := range []struct {
			name, body string
			status     int
		}{
			{"too much", `{"location": "` + strings.Repeat("x", 5<<20) + `"}`, 413},
			{"no JSON", "{", 400},
			{"no object", "[]", 400},
			{"null", "null", 400},
			{"two objects", "{} {}", 400},
			{"rules that are no list", `{"location": "westeurope", "properties": {"loadBalancingRules": {}}}`, 400},
			{"a rule that is no object", `{"location": "westeurope", "properties": {"loadBalancingRules": [1]}}`, 400},
			{"a rule without properties", `{"location": "westeurope", "properties": {"frontendIPConfigurations": [{"name": "f"}], "loadBalancingRules": [{"name": "r"}]}}`, 400},
			{"properties that are no object", `{"location": "westeurope", "properties": 1}`, 200},
		} {
			if status, _, b := z.do(ctx, http.MethodPut, lbID, tt.body); status != tt.status {
				t.Errorf("%s: got %d %s, want %d", tt.name, status, b, tt.status)
			}
		}
	})
}

func TestIdentity(t *testing.T) {
	other := arm.Principal{AppID: "00000000-0000-0000-0000-0000000000ee", ObjectID: "00000000-0000-0000-0000-0000000000ff"}
	id, err := arm.NewIdentity(arm.IdentityConfig{Secret: "s3cret", System: tandem, UserAssigned: []arm.Principal{other}, TenantID: "tenant"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, query, secret string
		status              int
		clientID            string
	}{
		{"the system's identity is the usual one", "api-version=2019-08-01&resource=https://management.azure.com", "s3cret", 200, tandem.AppID},
		{"another is asked for by client id", "api-version=2019-08-01&resource=r&client_id=" + other.AppID, "s3cret", 200, other.AppID},
		{"or by object id", "api-version=2019-08-01&resource=r&object_id=" + other.ObjectID, "s3cret", 200, other.AppID},
		{"an unknown one is refused", "api-version=2019-08-01&resource=r&client_id=nope", "s3cret", 400, ""},
		{"a wrong secret is refused", "api-version=2019-08-01&resource=r", "wrong", 401, ""},
		{"no secret is refused", "api-version=2019-08-01&resource=r", "", 401, ""},
		{"no resource is refused", "api-version=2019-08-01", "s3cret", 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/msi/token?"+tt.query, nil)
			if tt.secret != "" {
				r.Header.Set("X-IDENTITY-HEADER", tt.secret)
			}
			w := httptest.NewRecorder()
			id.ServeHTTP(w, r)
			var b struct {
				AccessToken string `json:"access_token"`
				ExpiresOn   string `json:"expires_on"`
				Resource    string
				TokenType   string `json:"token_type"`
				ClientID    string `json:"client_id"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil {
				t.Fatal(err)
			}
			if w.Code != tt.status || b.ClientID != tt.clientID {
				t.Errorf("got %d %+v", w.Code, b)
			}
			if tt.status == 200 && (b.AccessToken == "" || b.ExpiresOn == "" || b.Resource == "" || b.TokenType != "Bearer") {
				t.Errorf("incomplete: %+v", b)
			}
		})
	}
	if _, err := arm.NewIdentity(arm.IdentityConfig{System: tandem}); err == nil {
		t.Error("an endpoint without a secret was made")
	}
}

// The production credential gets a token from the endpoint over plain HTTP,
// and the manager takes it.
func TestManagedIdentityCredential(t *testing.T) {
	id, err := arm.NewIdentity(arm.IdentityConfig{Secret: "s3cret", System: tandem, TenantID: "tenant"})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(id)
	defer s.Close()
	t.Setenv("IDENTITY_ENDPOINT", s.URL+"/msi/token")
	t.Setenv("IDENTITY_HEADER", "s3cret")
	credential, err := azidentity.NewManagedIdentityCredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://management.azure.com/.default"}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := arm.New(arm.Config{Subscriptions: []string{sub}, Audiences: []string{"https://management.azure.com"}}, &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.SeedVM(arm.VM{ID: vm1}); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, vm1+"?api-version=2025-04-01", nil)
	r.Header.Set("Authorization", "Bearer "+token.Token)
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestManagerIsMadeAndClosed(t *testing.T) {
	if _, err := arm.New(arm.Config{}, &recorder{}); err == nil {
		t.Error("a manager without a subscription was made")
	}
	if _, err := arm.New(arm.Config{Subscriptions: []string{sub}}, nil); err == nil {
		t.Error("a manager without a data path was made")
	}
	onAzure(t, arm.Options{}, func(ctx context.Context, z *azure) {
		if _, err := z.beginDown(ctx, 1); err != nil {
			t.Fatal(err)
		}
		z.manager.Close()
		if status, _, _ := z.do(ctx, http.MethodGet, lbID, ""); status != http.StatusServiceUnavailable {
			t.Errorf("a closed manager answers %d", status)
		}
		time.Sleep(time.Minute)
		if got := z.path.take(); len(got) != 0 {
			t.Errorf("a closed manager told the data path %q", got)
		}
	})
}

func TestSeedsAreChecked(t *testing.T) {
	m, err := arm.New(arm.Config{Subscriptions: []string{sub}}, &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, doc := range []string{
		"", "null", "{}", `{"id": "nonsense"}`,
		`{"id": "` + lbID + `/probes/x"}`,
		`{"id": "` + vm1 + `/start"}`,
		`{"id": "` + lbID + `", "properties": {"probes": [{"name": "p"}]}}`,
	} {
		if err := m.Seed([]byte(doc)); err == nil {
			t.Errorf("seeded %s", doc)
		}
	}
	if err := m.SeedNIC(arm.NIC{ID: nic1}); err == nil {
		t.Error("seeded an interface without an address")
	}
	if _, err := m.Document(lbID); err == nil {
		t.Error("a resource that was refused is there")
	}
	if err := m.Seed([]byte(`{"id": "` + lbID + `", "x": 1}`)); err != nil {
		t.Error(err)
	}
	if b, err := m.Document(strings.ToUpper(lbID)); err != nil || !strings.Contains(string(b), `"x":1`) {
		t.Errorf("got %s, %v", b, err)
	}
}

// No request, whatever its path and body, may panic or get no answer.
func FuzzRequests(f *testing.F) {
	for _, seed := range []struct{ method, path, body string }{
		{"GET", lbID, ""},
		{"PUT", lbID, `{"location": "westeurope", "properties": {"backendAddressPools": [{"name": "p", "properties": {"loadBalancerBackendAddresses": [{"properties": {"ipAddress": "10.0.0.1"}}]}}]}}`},
		{"PUT", poolID, `{"properties": {"loadBalancerBackendAddresses": [null, 1, {"name": 2}]}}`},
		{"PUT", natID, `{"properties": {"frontendPort": 1e99}}`},
		{"PATCH", lbID, `{"tags": {"a": null}}`},
		{"POST", lbID + "/loadBalancingRules/https/health", ""},
		{"POST", vm1 + "/start", ""},
		{"DELETE", lbID, ""},
		{"GET", "/subscriptions/" + sub + "/providers/Microsoft.Network/locations/x/operations/y", ""},
		{"GET", "/subscriptions//resourceGroups//providers///", ""},
		{"GET", lbID + "/unheardOf/x", ""},
	} {
		f.Add(seed.method, seed.path, seed.body)
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		m, err := arm.New(arm.Config{Subscriptions: []string{sub}, Tokens: map[string]arm.Principal{"t": tandem}}, &recorder{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		z := &azure{t: t, manager: m}
		z.seed()
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		r.Method, r.URL.Path, r.URL.RawQuery = method, path, "api-version=2025-05-01"
		r.Header.Set("Authorization", "Bearer t")
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		if w.Code < 200 || w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %q %q: %d %q", method, path, body, w.Code, w.Body)
		}
	})
}
