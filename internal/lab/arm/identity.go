package arm

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// IdentityConfig is what an Identity is made of.
type IdentityConfig struct {
	Secret       string    // what callers must send as X-IDENTITY-HEADER
	System       Principal // the system-assigned identity
	UserAssigned []Principal
	TenantID     string
	Lifetime     time.Duration // of a token; zero means 24 h
}

// Identity is the managed identity endpoint of the Functions host, for
// azidentity with IDENTITY_ENDPOINT and IDENTITY_HEADER (toolbox.md). Its
// tokens are unsigned; a Manager takes them.
type Identity struct{ cfg IdentityConfig }

// NewIdentity returns an identity endpoint. It fails without a secret, or
// when an identity has no application id or no object id.
func NewIdentity(cfg IdentityConfig) (*Identity, error) {
	if cfg.Secret == "" {
		return nil, errors.New("make identity endpoint: it needs a secret")
	}
	for _, p := range append([]Principal{cfg.System}, cfg.UserAssigned...) {
		if p.AppID == "" || p.ObjectID == "" {
			return nil, errors.New("make identity endpoint: an identity needs an application id and an object id")
		}
	}
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = 24 * time.Hour
	}
	return &Identity{cfg}, nil
}

// ServeHTTP answers a request for a token, whatever the path.
func (i *Identity) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	resource := q.Get("resource")
	p, known := i.principal(q)
	switch {
	case r.Method != http.MethodGet:
		identityError(w, http.StatusMethodNotAllowed, "Only GET is supported.")
	case subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Identity-Header")), []byte(i.cfg.Secret)) != 1:
		identityError(w, http.StatusUnauthorized, "The X-IDENTITY-HEADER is missing or wrong.")
	case q.Get("api-version") == "" || resource == "":
		identityError(w, http.StatusBadRequest, "The api-version or the resource is missing.")
	case !known:
		identityError(w, http.StatusBadRequest, "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
	default:
		now := time.Now()
		expires := now.Add(i.cfg.Lifetime)
		writeJSON(w, http.StatusOK, map[string]string{
			"access_token": UnsignedToken(p, resource, i.cfg.TenantID, now, expires),
			"expires_on":   strconv.FormatInt(expires.Unix(), 10),
			"resource":     resource,
			"token_type":   "Bearer",
			"client_id":    p.AppID,
		})
	}
}

// principal finds the identity that is asked for: by client id, by object id,
// or the system's. Resource ids of identities are not known here.
func (i *Identity) principal(q url.Values) (Principal, bool) {
	appID, objectID := q.Get("client_id"), q.Get("object_id")
	if appID == "" && objectID == "" {
		return i.cfg.System, q.Get("mi_res_id") == ""
	}
	for _, p := range append([]Principal{i.cfg.System}, i.cfg.UserAssigned...) {
		if appID != "" && strings.EqualFold(p.AppID, appID) || objectID != "" && strings.EqualFold(p.ObjectID, objectID) {
			return p, true
		}
	}
	return Principal{}, false
}

func identityError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"statusCode": status, "message": message})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client left: nobody to tell
}
