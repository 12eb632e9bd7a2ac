package arm

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Principal is who makes a request: an application by its AppID and ObjectID,
// or a person by ObjectID and Name.
type Principal struct {
	AppID    string `json:"appid,omitempty"`
	ObjectID string `json:"oid,omitempty"`
	Name     string `json:"name,omitempty"`
}

// String returns the best name there is.
func (p Principal) String() string {
	for _, name := range []string{p.Name, p.AppID, p.ObjectID} {
		if name != "" {
			return name
		}
	}
	return "somebody"
}

// Requests is what a principal has asked for so far.
type Requests struct {
	Reads   int // every GET, polls of long operations and refused ones too
	Actions int // on machines, that were accepted
}

// Requests tells how much a principal has asked for.
func (m *Manager) Requests(p Principal) Requests {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests[p.key()]
}

// count adds to what the principal of a call has asked for. m.mu is held.
func (m *Manager) count(c *call, more Requests) {
	r := m.requests[c.principal.key()]
	m.requests[c.principal.key()] = Requests{Reads: r.Reads + more.Reads, Actions: r.Actions + more.Actions}
}

// key tells principals apart for throttling.
func (p Principal) key() string { return p.AppID + "|" + p.ObjectID + "|" + p.Name }

// claims are the parts of a token that matter here.
type claims struct {
	Principal
	Audience string `json:"aud"`
	Issuer   string `json:"iss,omitempty"`
	TenantID string `json:"tid,omitempty"`
	Issued   int64  `json:"iat,omitempty"`
	Before   int64  `json:"nbf,omitempty"`
	Expires  int64  `json:"exp,omitempty"`
}

// UnsignedToken makes a bearer token that a Manager takes for the principal's
// until it expires.
func UnsignedToken(p Principal, audience, tenantID string, issued, expires time.Time) string {
	body, err := json.Marshal(claims{
		Principal: p,
		Audience:  audience,
		Issuer:    "https://sts.windows.net/" + tenantID + "/",
		TenantID:  tenantID,
		Issued:    issued.Unix(),
		Before:    issued.Unix(),
		Expires:   expires.Unix(),
	})
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(body) + "."
}

// maxToken bounds a bearer token, in bytes.
const maxToken = 16 << 10

// parseToken reads the claims of a JWT without looking at its signature.
func parseToken(token string) (claims, bool) {
	parts := strings.Split(token, ".")
	if len(token) > maxToken || len(parts) != 3 {
		return claims{}, false
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return claims{}, false
	}
	var c claims
	if err := json.Unmarshal(body, &c); err != nil || c.Principal == (Principal{}) {
		return claims{}, false
	}
	return c, true
}

// authenticate finds out who makes the request.
func (m *Manager) authenticate(c *call) error {
	header := c.request.Header.Get("Authorization")
	if header == "" {
		return m.unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return m.unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is provided in an invalid format.")
	}
	if p, listed := m.cfg.Tokens[token]; listed {
		c.principal = p
		return nil
	}
	t, valid := parseToken(token)
	switch now := time.Now().Unix(); {
	case !valid:
		return m.unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
	case t.Expires != 0 && t.Expires <= now:
		return m.unauthorized("ExpiredAuthenticationToken", "The access token has expired.")
	case len(m.cfg.Audiences) > 0 && !slices.ContainsFunc(m.cfg.Audiences, func(a string) bool {
		return strings.TrimRight(a, "/") == strings.TrimRight(t.Audience, "/")
	}):
		return m.unauthorized("InvalidAuthenticationTokenAudience", "The access token has been obtained for the wrong audience.")
	}
	c.principal = t.Principal
	return nil
}

func (m *Manager) unauthorized(code, message string) *failure {
	return &failure{status: http.StatusUnauthorized, code: code, message: message, header: http.Header{
		"Www-Authenticate": {`Bearer authorization_uri="https://login.windows.net/` + m.cfg.TenantID + `", error="invalid_token"`},
	}}
}
