package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// Auth is what the server believes about who calls.
type Auth uint8

// How callers are told from one another.
const (
	// AuthKey knows nobody: the host has checked a function key, and whoever has
	// one is an operator. The header of the platform is not looked at, because
	// anybody can send it where nothing stands before the app that takes it away.
	AuthKey Auth = iota
	// AuthEntra takes name and roles from the header that App Service
	// authentication sets, and from nowhere else.
	AuthEntra
	// AuthNone lets everybody do everything: the lab, in whose world there is
	// only its operator.
	AuthNone
)

// UnmarshalText reads the word of the setting TANDEM_AUTH, which has none for
// AuthNone.
func (a *Auth) UnmarshalText(b []byte) error {
	switch string(b) {
	case "key":
		*a = AuthKey
	case "entra":
		*a = AuthEntra
	default:
		return fmt.Errorf("authentication %q: expected key or entra: %w", b, pair.ErrInvalid)
	}
	return nil
}

// Role is what a caller may do. Each role may also do what those before it may.
type Role uint8

// The roles.
const (
	RoleNone     Role = iota
	RoleReader        // look
	RoleOperator      // say words, define pairs, start jobs
	RoleForce         // override the proof that a job's target is fit
)

// roleNames are the roles as the app registration in Entra ID has them.
var roleNames = [...]string{RoleReader: "Tandem.Reader", RoleOperator: "Tandem.Operator", RoleForce: "Tandem.Force"}

// String is the role's name in Entra ID.
func (r Role) String() string {
	if int(r) < len(roleNames) && r != RoleNone {
		return roleNames[r]
	}
	return "no role"
}

// ErrNobody says that it is not known who calls, where that must be known.
var ErrNobody = errors.New("it is not known who calls")

// principalHeader is set by App Service authentication, which takes away what a
// caller sent under this name.
const principalHeader = "X-Ms-Client-Principal"

// principalMax bounds that header. A token has at most 200 groups.
const principalMax = 64 << 10

// caller is who calls and what that caller may do. The name is empty where the
// platform does not tell it.
type caller struct {
	name string
	role Role
}

type callerKey struct{}

// callerOf is who makes a request that was admitted.
func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// admit lets only those through who have the role, and remembers who it was.
func (s *server) admit(need Role, f func(*http.Request) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		who, err := s.caller(r)
		if err != nil {
			return nil, err
		}
		if who.role < need {
			return nil, fmt.Errorf("%s %s: %s has %s, and this needs %s: %w", r.Method, r.URL.Path, who.name, who.role, need, pair.ErrRefused)
		}
		return f(r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	}
}

func (s *server) caller(r *http.Request) (caller, error) {
	switch s.Auth {
	case AuthNone:
		return caller{role: RoleForce}, nil
	case AuthKey:
		return caller{role: RoleOperator}, nil
	case AuthEntra:
		values := r.Header.Values(principalHeader)
		if len(values) != 1 {
			return caller{}, fmt.Errorf("expected the header %s of App Service authentication once, got it %d times; sign in, and give the token with --token or TANDEM_TOKEN: %w",
				principalHeader, len(values), ErrNobody)
		}
		return parsePrincipal(values[0])
	default:
		return caller{}, fmt.Errorf("authentication %d is unknown: %w", s.Auth, ErrNobody)
	}
}

// mayForce refuses force to whoever has not got that role.
func (s *server) mayForce(who caller) error {
	switch {
	case who.role >= RoleForce:
		return nil
	case s.Auth == AuthKey:
		return fmt.Errorf("force: the force role needs Entra ID (TANDEM_AUTH=entra), because a function key does not tell who calls: %w", pair.ErrRefused)
	default:
		return fmt.Errorf("force: %s has %s, and this needs %s: %w", who.name, who.role, RoleForce, pair.ErrRefused)
	}
}

// byOf is who says something: the caller where the platform tells that, so that
// nobody speaks for another, and else whom the body names.
func byOf(r *http.Request, by string) (string, error) {
	by = strings.TrimSpace(by)
	name := callerOf(r).name
	switch {
	case name == "":
		return by, nil
	case by == "" || strings.EqualFold(by, name):
		return name, nil
	default:
		return "", fmt.Errorf("by %q: you are %s; leave it out: %w", clip(by), name, pair.ErrRefused)
	}
}

// claim is one thing that the identity provider says about a caller.
type claim struct {
	Type  string `json:"typ"`
	Value string `json:"val"`
}

// nameClaims are the types of claims that name a caller, the most telling first:
// of a person what is unique in the directory, of a program its application id.
// App Service writes some of them as the token has them and some as addresses.
var nameClaims = []string{
	"preferred_username",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn",
	"upn",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
	"email",
	"name",
	"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
	"azp",
	"appid",
	"http://schemas.microsoft.com/identity/claims/objectidentifier",
	"oid",
}

// roleClaims are the types of claims that hold app roles.
var roleClaims = []string{"roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"}

// parsePrincipal reads the header of App Service authentication: JSON in base64,
// with the claims of a token that the platform has checked. Only those of Entra
// ID count: another provider may let its users choose their claims.
func parsePrincipal(header string) (caller, error) {
	if len(header) > principalMax {
		return caller{}, fmt.Errorf("principal: more than %d bytes: %w", principalMax, ErrNobody)
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(header))
	if err != nil {
		return caller{}, fmt.Errorf("principal: expected base64: %w", ErrNobody)
	}
	var p struct {
		Provider string  `json:"auth_typ"`
		RoleType string  `json:"role_typ"`
		Claims   []claim `json:"claims"`
	}
	if json.Unmarshal(b, &p) != nil {
		return caller{}, fmt.Errorf("principal: expected a JSON object with claims: %w", ErrNobody)
	}
	if p.Provider != "aad" {
		return caller{}, fmt.Errorf("principal of provider %q: expected Entra ID (aad): %w", clip(p.Provider), ErrNobody)
	}
	who := caller{name: nameIn(p.Claims)}
	if who.name == "" {
		return caller{}, fmt.Errorf("principal: no claim names the caller: %w", ErrNobody)
	}
	for _, c := range p.Claims {
		if slices.Contains(roleClaims, c.Type) || p.RoleType != "" && c.Type == p.RoleType {
			who.role = max(who.role, Role(max(0, slices.Index(roleNames[:], c.Value)))) //nolint:gosec // an index of four
		}
	}
	return who, nil
}

// nameIn finds who the caller is. A name that cannot be shown, or is the
// program's own, is none.
func nameIn(claims []claim) string {
	for _, t := range nameClaims {
		for _, c := range claims {
			name := strings.TrimSpace(c.Value)
			if c.Type == t && name != "" && oneLine(name, byMax) && !strings.EqualFold(name, pair.OwnerTandem) {
				return name
			}
		}
	}
	return ""
}
