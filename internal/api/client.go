package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"tandem/internal/pair"
)

// answerMax bounds what is read of an answer: a page of 200 journal entries.
const answerMax = 64 << 20

// Client calls the operator API. The commands use it, whether the server is a
// function app, a local one, or the lab.
type Client struct {
	base  string
	key   string
	token string
	http  *http.Client
}

// NewClient takes the server's address, for example
// https://tandem-weu.azurewebsites.net, and the function key, which travels in
// a header and never in the address.
func NewClient(server, key string, c *http.Client) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		// The value is not repeated: somebody may have put the key into it.
		return nil, fmt.Errorf("server: expected an address such as https://tandem-weu.azurewebsites.net and nothing after it: %w", pair.ErrInvalid)
	}
	if key != "" && u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("server %s: expected https, because the function key would travel in clear text: %w", u.Host, pair.ErrInvalid)
	}
	// A redirect would take the key to wherever it leads.
	still := *c
	still.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: strings.TrimRight(server, "/"), key: key, http: &still}, nil
}

// SignedIn returns a client that also sends a token of Entra ID, by which the server
// knows who calls where TANDEM_AUTH is entra. An empty token sends none.
func (c *Client) SignedIn(token string) (*Client, error) {
	if u, err := url.Parse(c.base); token != "" && (err != nil || u.Scheme == "http" && !loopback(u.Hostname())) {
		return nil, fmt.Errorf("server %s: expected https, because the token would travel in clear text: %w", c.base, pair.ErrInvalid)
	}
	in := *c
	in.token = token
	return &in, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Apply defines a pair by its file.
func (c *Client) Apply(ctx context.Context, name string, file []byte, dryRun bool) (Applied, error) {
	path := "/api/pairs/" + url.PathEscape(name)
	if dryRun {
		path += "?dryRun=true"
	}
	var out Applied
	err := c.call(ctx, http.MethodPut, path, file, &out)
	return out, err
}

// Pairs lists every pair, page by page.
func (c *Client) Pairs(ctx context.Context) ([]Status, error) {
	var all []Status
	after := ""
	for {
		var page Pairs
		if err := c.call(ctx, http.MethodGet, "/api/pairs?after="+url.QueryEscape(after), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Pairs...)
		if page.Next <= after { // empty, or a server that goes round in circles
			return all, nil
		}
		after = page.Next
	}
}

// Pair shows one pair.
func (c *Client) Pair(ctx context.Context, name string) (Status, error) {
	var out Status
	err := c.call(ctx, http.MethodGet, "/api/pairs/"+url.PathEscape(name), nil, &out)
	return out, err
}

// Ask says a person's word about a pair, or with an empty name about all of
// them, which only stop and go can be.
func (c *Client) Ask(ctx context.Context, w Word, name string, a Ask, dryRun bool) (Asked, error) {
	var out Asked
	body, err := json.Marshal(a)
	if err != nil {
		return out, fmt.Errorf("%s: %w: %w", w, pair.ErrInvalid, err)
	}
	path := "/api/" + url.PathEscape(string(w))
	if name != "" {
		path = "/api/pairs/" + url.PathEscape(name) + "/" + url.PathEscape(string(w))
	}
	if dryRun {
		path += "?dryRun=true"
	}
	err = c.call(ctx, http.MethodPost, path, body, &out)
	return out, err
}

// History yields a pair's whole journal, newest first, page by page. After an
// error it yields nothing more.
func (c *Client) History(ctx context.Context, name string) iter.Seq2[pair.Entry, error] {
	return func(yield func(pair.Entry, error) bool) {
		for before, more := "", true; more; more = before != "" {
			page, err := c.Journal(ctx, name, pageMax, before)
			if err != nil {
				yield(pair.Entry{}, err)
				return
			}
			for _, e := range page.Entries {
				if !yield(e, nil) {
					return
				}
			}
			if page.Next == before { // a server that goes round in circles
				return
			}
			before = page.Next
		}
	}
}

// Journal reads the newest entries of a pair's journal that are older than
// before; an empty before starts with the newest.
func (c *Client) Journal(ctx context.Context, name string, limit int, before string) (Journal, error) {
	var out Journal
	q := url.Values{"limit": {strconv.Itoa(limit)}, "before": {before}}
	err := c.call(ctx, http.MethodGet, "/api/pairs/"+url.PathEscape(name)+"/journal?"+q.Encode(), nil, &out)
	return out, err
}

// Entry reads one entry of a pair's journal.
func (c *Client) Entry(ctx context.Context, name, id string) (pair.Entry, error) {
	var out pair.Entry
	err := c.call(ctx, http.MethodGet, "/api/pairs/"+url.PathEscape(name)+"/journal/"+url.PathEscape(id), nil, &out)
	return out, err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, out any) error {
	return c.send(ctx, method, path, body, nil, out)
}

// send makes a request with headers of its own.
func (c *Client) send(ctx context.Context, method, path string, body []byte, header http.Header, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w: %w", method, path, pair.ErrInvalid, err)
	}
	maps.Copy(req.Header, header)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("X-Functions-Key", c.key)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("call the operator API: %w: %w", pair.ErrUnreachable, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return fmt.Errorf("%s %s: read the answer: %w: %w", method, path, pair.ErrUnreachable, err)
	}
	if resp.StatusCode != http.StatusOK {
		return failure(resp, path, b)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s: answer of %s: %w: %w", method, path, c.base, pair.ErrUnreadable, err)
	}
	return nil
}

// failure turns an answer that is not 200 into an error. The host itself
// answers without a body when the key is wrong.
func failure(resp *http.Response, path string, b []byte) error {
	var p Problem
	if json.Unmarshal(b, &p) == nil && p.Kind != "" {
		return &Error{Problem: p}
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%s: status %d: the function key is missing or wrong, give it with --key or TANDEM_KEY, and where the app asks for a sign-in a token with --token or TANDEM_TOKEN: %w", path, resp.StatusCode, pair.ErrRefused)
	}
	return fmt.Errorf("%s: status %d without an explanation: %w", path, resp.StatusCode, pair.ErrUnreachable)
}
