package loadmaster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
)

// Credentials open the API of one unit: an API key, or user and password, or
// both. The JSON API takes the key when there is one (loadmaster.md 1.4); the
// XML API takes user and password when there is a user, because they travel
// in a header there. However they are printed, they print as [redacted].
type Credentials struct {
	APIKey   string
	User     string
	Password string
}

// Secrets finds credentials by the name that a pair file gives them. It is
// asked once for every operation and may keep what it found for a while. Its
// errors say that we could not ask the unit, never that the unit is silent or
// refuses, so their kinds are not passed on.
type Secrets interface {
	Credentials(ctx context.Context, name string) (Credentials, error)
}

const redacted = "[redacted]"

// String hides the credentials.
func (Credentials) String() string { return redacted }

// GoString hides the credentials from %#v.
func (Credentials) GoString() string { return redacted }

// Format hides the credentials from every verb; %d would otherwise print the
// fields in a complaint about their type.
func (Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue hides the credentials from log/slog.
func (Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the credentials from encoding/json.
func (Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// usable reports whether there is anything to log in with.
func (c Credentials) usable() bool { return c.APIKey != "" || c.User != "" }

// hider replaces the secrets in whatever a unit says, in the spellings in
// which an answer could echo a request. The user name is no secret, and what
// is shorter than four bytes is neither: hiding it would only spoil the rest.
// Further secrets are those of one call.
func (c Credentials) hider(further ...string) *strings.Replacer {
	var pairs []string
	for _, secret := range append([]string{c.APIKey, c.Password}, further...) {
		if len(secret) < 4 {
			continue
		}
		inJSON, _ := json.Marshal(secret) // of a string: cannot fail
		spellings := []string{
			secret, url.QueryEscape(secret), html.EscapeString(secret),
			strings.Trim(string(inJSON), `"`), strings.Trim(strconv.Quote(secret), `"`),
		}
		for _, s := range spellings {
			pairs = append(pairs, s, redacted)
		}
	}
	if c.Password != "" {
		pairs = append(pairs, base64.StdEncoding.EncodeToString([]byte(c.User+":"+c.Password)), redacted)
	}
	return strings.NewReplacer(pairs...)
}
