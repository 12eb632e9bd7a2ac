package loadmaster

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tandem/internal/pair"
)

// command is one command of the API, the same in both dialects.
type command struct {
	name   string
	args   []arg
	write  bool   // it changes something, so it is never sent twice
	upload []byte // a file that goes with it, nil for none
	file   bool   // the answer is a file
	list   bool   // the answer grows with what the unit has
	lines  bool   // its values may have several lines
	secret bool   // a value must not stand in the URL, if there is another way
}

// maxURL is the longest URL that the XML API takes, in bytes; what is longer goes as a
// form (loadmaster.md 1.1).
const maxURL = 1024

// leastMask is how many asterisks are a masked value. One alone is any port of a
// service.
const leastMask = 3

type arg struct{ name, value string }

func get(parameter string) command {
	return command{name: "get", args: []arg{{"param", parameter}}}
}

func (c command) String() string {
	if c.name == "get" {
		return "get " + c.args[0].value
	}
	return c.name
}

// check refuses what must never be sent. Secrets read back as asterisks; a
// unit takes them literally when they are written back (loadmaster.md 0.1
// item 5, 3.1).
func (c command) check() error {
	for _, a := range c.args {
		switch {
		case c.write && len(a.value) >= leastMask && strings.Trim(a.value, "*") == "":
			return fmt.Errorf("%s: %s is a masked value, which must not be written back: %w", c, a.name, pair.ErrInvalid)
		case strings.ContainsFunc(a.value, func(r rune) bool { return (r < ' ' || r == 0x7f) && (!c.lines || !strings.ContainsRune("\t\r\n", r)) }):
			return fmt.Errorf("%s: %s has control characters: %w", c, a.name, pair.ErrInvalid)
		}
	}
	return nil
}

// timeout is how long one exchange of the command may take, where others may
// take the given time.
func (c command) timeout(usual time.Duration) time.Duration {
	if c.file || c.upload != nil {
		return max(usual, transferTimeout)
	}
	if c.list {
		return max(usual, listTimeout)
	}
	return usual
}

// limit bounds what is read of an answer to the command.
func (c command) limit() int64 {
	switch {
	case c.file:
		return maxAnswer + int64(base64.StdEncoding.EncodedLen(maxBackup))
	case c.list:
		return maxList
	default:
		return maxAnswer
	}
}

// decode reads an answer to the command.
func (c command) decode(resp *http.Response, body []byte) (answer, error) {
	if c.file {
		return decodeFile(resp.StatusCode, resp.Header.Get("Content-Type"), body)
	}
	return decode(resp.StatusCode, body)
}

// dialect is one of the two APIs.
type dialect uint8

const (
	v2 dialect = iota // JSON, from firmware 7.2.52
	v1                // XML, all firmware
)

func (d dialect) String() string {
	if d == v1 {
		return "API v1"
	}
	return "API v2"
}

// request builds the request of a command. Secrets go into headers and bodies
// only: a URL would end up in logs and error texts.
func (d dialect) request(ctx context.Context, host string, creds Credentials, c command) (*http.Request, error) {
	if d == v1 {
		return requestV1(ctx, host, creds, c)
	}
	return requestV2(ctx, host, creds, c)
}

// requestV2 makes a JSON object of all; the unit takes strings for numbers and
// booleans (loadmaster.md 1.6).
func requestV2(ctx context.Context, host string, creds Credentials, c command) (*http.Request, error) {
	fields := map[string]string{"cmd": strings.ReplaceAll(c.name, "/", ".")} // of what v1 has as a path
	for _, a := range c.args {
		fields[a.name] = a.value
	}
	if c.upload != nil {
		fields[fileField] = base64.StdEncoding.EncodeToString(c.upload)
	}
	if creds.APIKey != "" {
		fields["apikey"] = creds.APIKey
	} else {
		fields["apiuser"], fields["apipass"] = creds.User, creds.Password
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	return newRequest(ctx, http.MethodPost, "https://"+host+"/accessv2", "application/json", bytes.NewReader(body))
}

// formType is the content type of pairs in a body.
const formType = "application/x-www-form-urlencoded"

// requestV1 is a GET with HTTP Basic authentication, the oldest form; with an API key,
// with a secret and with values that are too long for a URL it is the same pairs as a
// form in the body (loadmaster.md 1.1, 1.4). A file is the whole body, so with one the
// key could only stand in the URL.
func requestV1(ctx context.Context, host string, creds Credentials, c command) (*http.Request, error) {
	values := url.Values{}
	for _, a := range c.args {
		values.Set(a.name, a.value)
	}
	target := url.URL{Scheme: "https", Host: host, Path: "/access/" + c.name}
	if creds.User == "" && c.upload != nil {
		return nil, errors.New("API v1 takes a file with user and password only, because an API key would stand in the URL")
	}
	if creds.User == "" {
		values.Set("apikey", creds.APIKey)
		return newRequest(ctx, http.MethodPost, target.String(), formType, strings.NewReader(values.Encode()))
	}
	method, contentType, body := http.MethodGet, "", io.Reader(nil)
	target.RawQuery = values.Encode()
	switch long := len(target.String()) > maxURL; {
	case c.upload != nil && long:
		return nil, errors.New("API v1 takes no values of this length with a file")
	case c.upload != nil:
		method, contentType, body = http.MethodPost, "application/octet-stream", bytes.NewReader(c.upload)
	case c.secret || long:
		method, contentType, body = http.MethodPost, formType, strings.NewReader(target.RawQuery)
		target.RawQuery = ""
	}
	req, err := newRequest(ctx, method, target.String(), contentType, body)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(creds.User, creds.Password)
	return req, nil
}

func newRequest(ctx context.Context, method, target, contentType string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "tandem")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req, nil
}
