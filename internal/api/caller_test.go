package api_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"tandem/internal/api"
	"tandem/internal/pair"
)

// principal is the header of App Service authentication with these claims, each
// type=value.
func principal(claims ...string) string {
	type claim struct {
		Type  string `json:"typ"`
		Value string `json:"val"`
	}
	form := struct {
		Provider string  `json:"auth_typ"`
		NameType string  `json:"name_typ"`
		RoleType string  `json:"role_typ"`
		Claims   []claim `json:"claims"`
	}{Provider: "aad", NameType: "name", RoleType: "http://schemas.microsoft.com/ws/2008/06/identity/claims/role", Claims: []claim{}}
	for _, c := range claims {
		name, value, _ := strings.Cut(c, "=")
		form.Claims = append(form.Claims, claim{name, value})
	}
	b, err := json.Marshal(form)
	if err != nil {
		panic(err) // only text
	}
	return base64.StdEncoding.EncodeToString(b)
}

func TestAPrincipalHasANameAndTheHighestOfItsRoles(t *testing.T) {
	edited := func(from, to string) string {
		b, err := base64.StdEncoding.DecodeString(principal("preferred_username=ann@example.com", "roles=Tandem.Operator"))
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(b), from, to, 1)))
	}
	tests := []struct {
		name   string
		header string
		who    string // empty is nobody
		role   api.Role
	}{
		{"a reader", principal("preferred_username=ann@example.com", "roles=Tandem.Reader"), "ann@example.com", api.RoleReader},
		{"an operator", principal("name=Ann", "preferred_username=ann@example.com", "roles=Tandem.Operator"), "ann@example.com", api.RoleOperator},
		{"force, whatever the order of the roles", principal("preferred_username=ann", "roles=Tandem.Force", "roles=Tandem.Reader"), "ann", api.RoleForce},
		{"a role by its long name", principal("preferred_username=ann", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role=Tandem.Operator"), "ann", api.RoleOperator},
		{"a role by the type that the header names", edited(`"typ":"roles"`, `"typ":"http://schemas.microsoft.com/ws/2008/06/identity/claims/role"`), "ann@example.com", api.RoleOperator},
		{"roles of others are none", principal("preferred_username=ann", "roles=Reader", "roles=tandem.force", "roles="), "ann", api.RoleNone},
		{"what is no claim of a role gives none", principal("preferred_username=ann", "groups=Tandem.Force"), "ann", api.RoleNone},
		{"a program by its application id", principal("azp=8a1f", "roles=Tandem.Operator"), "8a1f", api.RoleOperator},
		{"a name that can be shown comes before one that cannot", principal("preferred_username=a\x1b[31m", "name=Ann", "roles=Tandem.Reader"), "Ann", api.RoleReader},
		{"the program's own name is nobody's", principal("preferred_username=Tandem", "oid=1234"), "1234", api.RoleNone},
		{"no name is nobody", principal("roles=Tandem.Force"), "", 0},
		{"another provider is not believed", edited(`"aad"`, `"github"`), "", 0},
		{"nothing is nobody", "", "", 0},
		{"no base64 is nobody", "{}", "", 0},
		{"no JSON is nobody", base64.StdEncoding.EncodeToString([]byte("ann")), "", 0},
		{"claims of another form are nobody", edited(`"claims":[`, `"claims":[1,`), "", 0},
		{"more than the limit is nobody", principal("preferred_username=ann", "x="+strings.Repeat("x", 64<<10)), "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			who, role, err := api.ParsePrincipal(tt.header)
			if who != tt.who || role != tt.role || (err == nil) != (tt.who != "") {
				t.Errorf("got %q with %s, %v; want %q with %s", who, role, err, tt.who, tt.role)
			}
			if err != nil && !errors.Is(err, api.ErrNobody) {
				t.Errorf("the error %v is of another kind", err)
			}
		})
	}
}

// FuzzPrincipal reads anything at all.
func FuzzPrincipal(f *testing.F) {
	f.Add(principal("preferred_username=ann", "roles=Tandem.Force"))
	f.Add(principal())
	f.Add("e30=")
	f.Add("")
	f.Fuzz(func(t *testing.T, header string) {
		who, role, err := api.ParsePrincipal(header)
		if err != nil && (!errors.Is(err, api.ErrNobody) || who != "" || role != api.RoleNone || len(err.Error()) > 600) {
			t.Errorf("%q: %q with %s, %v", header, who, role, err)
		}
		if err == nil && (who == "" || len(who) > 100 || role > api.RoleForce || strings.EqualFold(who, pair.OwnerTandem) || strings.ContainsAny(who, "\n\r\x1b")) {
			t.Errorf("%q was taken as %q with %s", header, who, role)
		}
	})
}

// guarded is an operator API that takes callers from the platform's header.
func guarded(t *testing.T, auth api.Auth) *served {
	t.Helper()
	s := wordsWith(t, api.Options{Jobs: procedures(t), Auth: api.AuthNone}, nil)
	handler, err := api.NewServer(api.Options{Store: s.store, Log: s.logger(), Jobs: procedures(t), Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	s.handler = handler
	return s
}

// TestEveryRouteNeedsItsRole asks every route as everybody.
func TestEveryRouteNeedsItsRole(t *testing.T) {
	s := guarded(t, api.AuthEntra)
	callers := []struct {
		header http.Header
		role   api.Role
	}{
		{nil, api.RoleNone},
		{http.Header{api.PrincipalHeader: {principal("preferred_username=ann")}}, api.RoleNone},
		{http.Header{api.PrincipalHeader: {principal("preferred_username=ann", "roles=Tandem.Reader")}}, api.RoleReader},
		{http.Header{api.PrincipalHeader: {principal("preferred_username=ann", "roles=Tandem.Operator")}}, api.RoleOperator},
		{http.Header{api.PrincipalHeader: {principal("preferred_username=ann", "roles=Tandem.Force")}}, api.RoleForce},
	}
	for _, r := range api.Routes() {
		path := strings.NewReplacer("{pair}", "edge", "{id}", pair.ID("edge", 1, 1)).Replace(r.Path)
		for _, c := range callers {
			resp := s.askWith(r.Method, path, "nonsense", c.header)
			refused := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden
			if refused != (c.role < r.Needs) || (c.header == nil) != (resp.StatusCode == http.StatusUnauthorized) {
				t.Errorf("%s %s as %s: status %d, and it needs %s", r.Method, r.Path, c.role, resp.StatusCode, r.Needs)
			}
			if reads := r.Method == http.MethodGet || r.Path == "/api/plan"; reads != (r.Needs == api.RoleReader) {
				t.Errorf("%s %s needs %s", r.Method, r.Path, r.Needs)
			}
		}
	}
}

func TestNobodyIsToldToSignIn(t *testing.T) {
	s := guarded(t, api.AuthEntra)
	for name, header := range map[string]http.Header{
		"no header":   nil,
		"a wrong one": {api.PrincipalHeader: {"nonsense"}},
		"two of them": {api.PrincipalHeader: {principal("preferred_username=ann", "roles=Tandem.Force"), principal("preferred_username=eve")}},
	} {
		resp := s.askWith("GET", "/api/pairs", "", header)
		if got := resp.Header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("%s: WWW-Authenticate %q", name, got)
		}
		if p := s.problem(resp); p.Kind != "unauthenticated" || p.Status != 401 {
			t.Errorf("%s: problem %+v", name, p)
		}
	}
}

func TestNobodySpeaksForAnother(t *testing.T) {
	s := guarded(t, api.AuthEntra)
	as := http.Header{api.PrincipalHeader: {principal("preferred_username=Ann@example.com", "roles=Tandem.Operator")}}
	tests := []struct {
		name, path, body string
		status           int
	}{
		{"nobody is named", "pairs/edge/pause", `{"reason":"r"}`, 200},
		{"the caller is named", "pairs/edge/resume", `{"by":" ann@EXAMPLE.com"}`, 200},
		{"another is named", "pairs/edge/pause", `{"by":"eve","reason":"r"}`, 403},
		{"another is named for all pairs", "stop", `{"by":"eve","reason":"r"}`, 403},
		{"another is named for a job", "pairs/edge/jobs", `{"by":"eve","kind":"configure"}`, 403},
		{"another is named for a word about a job", "pairs/edge/jobs/cancel", `{"by":"eve","job":"x"}`, 403},
		{"nobody is named for a job", "pairs/edge/jobs", `{"kind":"configure"}`, 200},
		{"force without the role", "pairs/edge/jobs", `{"kind":"switchover","force":true}`, 403},
	}
	for _, tt := range tests {
		if resp := s.askWith("POST", "/api/"+tt.path, tt.body, as); resp.StatusCode != tt.status {
			t.Errorf("%s: %+v, want status %d", tt.name, s.problem(resp), tt.status)
		}
	}
	if j := s.record().Job; j == nil || j.By != "Ann@example.com" {
		t.Errorf("the job is %+v, want one of the caller", j)
	}
}

func TestForceNeedsItsRoleAndIsRecorded(t *testing.T) {
	const body = `{"kind":"switchover","by":"ann","force":true}`
	for _, tt := range []struct {
		name   string
		auth   api.Auth
		role   string
		status int
		says   string
	}{
		{"a function key is not enough", api.AuthKey, "Tandem.Force", 403, "the force role needs Entra ID"},
		{"nor is the operator's role", api.AuthEntra, "Tandem.Operator", 403, "ann has Tandem.Operator, and this needs Tandem.Force"},
		{"the role is", api.AuthEntra, "Tandem.Force", 200, ""},
		{"in the lab everybody may", api.AuthNone, "", 200, ""},
	} {
		s := guarded(t, tt.auth)
		resp := s.askWith("POST", "/api/pairs/edge/jobs", body, http.Header{api.PrincipalHeader: {principal("preferred_username=ann", "roles="+tt.role)}})
		if resp.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d", tt.name, resp.StatusCode, tt.status)
		}
		if tt.says != "" {
			if p := s.problem(resp); !strings.Contains(p.Detail, tt.says) || p.Kind != "refused" {
				t.Errorf("%s: problem %+v", tt.name, p)
			}
			continue
		}
		if j := s.record().Job; j == nil || !j.Force {
			t.Errorf("%s: the job is %+v", tt.name, j)
		}
		snap, err := s.store.Load(t.Context(), "edge")
		if err != nil || !strings.Contains(string(snap.Outbox[len(snap.Outbox)-1].Body), `"force":true`) {
			t.Errorf("%s: the journal does not have it: %v", tt.name, err)
		}
	}
}

func TestAKeyIsNoIdentity(t *testing.T) {
	s := guarded(t, api.AuthKey)
	forged := http.Header{api.PrincipalHeader: {principal("preferred_username=eve", "roles=Tandem.Force")}}
	if resp := s.askWith("POST", "/api/pairs/edge/jobs", `{"kind":"configure","by":"ann"}`, forged); resp.StatusCode != 200 || s.record().Job.By != "ann" {
		t.Errorf("status %d, the job is of %s", resp.StatusCode, s.record().Job.By)
	}
}

func TestWaysToKnowWhoCallsHaveWords(t *testing.T) {
	for word, want := range map[string]api.Auth{"key": api.AuthKey, "entra": api.AuthEntra} {
		var got api.Auth
		if err := got.UnmarshalText([]byte(word)); err != nil || got != want {
			t.Errorf("%s is %d, %v", word, got, err)
		}
	}
	var a api.Auth
	for _, word := range []string{"", "none", "Entra"} {
		if err := a.UnmarshalText([]byte(word)); !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("%q was taken as %d, %v", word, a, err)
		}
	}
	if _, err := api.NewServer(api.Options{Store: broken{os.ErrInvalid}, Log: guarded(t, api.AuthKey).logger(), Auth: 9}); err == nil {
		t.Error("a server that knows callers in no known way was made")
	}
	if got := fmt.Sprint(api.RoleNone, " ", api.RoleForce, " ", api.Role(9)); got != "no role Tandem.Force no role" {
		t.Errorf("got %q", got)
	}
}

func TestATokenTravelsOnlyWhereNobodyReadsIt(t *testing.T) {
	for server, fine := range map[string]bool{"https://tandem.test": true, "http://127.0.0.1:7071": true, "http://tandem.test": false} {
		c, err := api.NewClient(server, "", http.DefaultClient)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.SignedIn("token"); (err == nil) != fine || err != nil && !errors.Is(err, pair.ErrInvalid) {
			t.Errorf("%s: %v", server, err)
		}
		if _, err = c.SignedIn(""); err != nil {
			t.Errorf("%s without a token: %v", server, err)
		}
	}
}
