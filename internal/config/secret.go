package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// Secret is a text that prints as [redacted] wherever it ends up. An empty one
// prints as nothing, so that it can be seen that none is set.
type Secret string

// Reveal returns the text itself, for whoever must send it.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// Format hides the secret from every verb, %x and %d included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue hides the secret from log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoding/json and its like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Credential opens the API of a unit: an API key, or user and password, or
// both. Its fields are those of loadmaster.Credentials, so that one converts
// into the other.
type Credential struct {
	APIKey   string
	User     string
	Password string
}

// String hides the credential.
func (Credential) String() string { return redacted }

// GoString hides the credential from %#v.
func (Credential) GoString() string { return redacted }

// Format hides the credential from every verb.
func (Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue hides the credential from log/slog.
func (Credential) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON hides the credential from encoding/json.
func (Credential) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// ParseCredential reads a secret in one of its three forms: an API key,
// user:password, or a JSON object with apiKey, or user and password, or all
// three. The password may hold colons, and a key holds none. Its errors never
// repeat any of the text.
func ParseCredential(text string) (Credential, error) {
	text = strings.TrimRight(text, "\r\n") // as a file or a pipe leaves them
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return parseJSON(text)
	}
	user, password, ok := strings.Cut(text, ":")
	switch key := strings.TrimSpace(text); {
	case !ok && key != "":
		return Credential{APIKey: key}, nil
	case user == "" || password == "":
		return Credential{}, errors.New("neither an API key nor user:password")
	}
	return Credential{User: user, Password: password}, nil
}

func parseJSON(text string) (Credential, error) {
	var fields struct {
		APIKey   string `json:"apiKey"`
		User     string `json:"user"`
		Password string `json:"password"`
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if dec.Decode(&fields) != nil || dec.More() { // its error may quote the secret
		return Credential{}, errors.New("not a JSON object with only the texts apiKey, user and password")
	}
	if (fields.User == "") != (fields.Password == "") {
		return Credential{}, errors.New("only one of user and password")
	}
	if fields.APIKey == "" && fields.User == "" {
		return Credential{}, errors.New("neither apiKey nor user and password")
	}
	return Credential(fields), nil
}
