package loadmaster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"tandem/internal/pair"
)

const (
	// defaultTimeout is what the vendor's Python client allows for a plain
	// call (loadmaster.md 1.1).
	defaultTimeout = 5 * time.Second
	// defaultPort is the API port of cloud images (loadmaster.md 1.2).
	defaultPort = 8443
	// forgetAfter is how long an unused unit is remembered.
	forgetAfter = time.Hour
)

// Options configure a Client.
type Options struct {
	// Secrets finds the credentials of units. Required.
	Secrets Secrets
	// DialContext opens connections to units and proxies; nil means a plain
	// net.Dialer. Every dial ends within Timeout.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Proxy chooses an HTTP proxy for a request, as http.ProxyFromEnvironment
	// does; nil means none. The connection is tunnelled (CONNECT), so the proxy
	// sees neither requests nor secrets and the unit's certificate is verified
	// as without it. A proxy that is itself reached by TLS must have the very
	// certificate that the unit must have, so it is as good as impossible.
	Proxy func(*http.Request) (*url.URL, error)
	// ReadFile reads CA files, at every handshake, so that a replaced file
	// needs no restart; nil means os.ReadFile.
	ReadFile func(name string) ([]byte, error)
	// Timeout limits one exchange with a unit, from the dial to the end of the
	// answer; 0 means 5s. Waiting for the unit's call limit comes on top, and a
	// second attempt has its own.
	Timeout time.Duration
	// OneLogin reports whether what is done with a context may make one failed login
	// at most, because there was one before; nil means never. Two are made of one
	// attempt where nobody knows yet which API a unit takes.
	OneLogin func(context.Context) bool
	// Log hears what an operator can improve; nil means nobody.
	Log *slog.Logger
	// Seed determines the jitter of second attempts.
	Seed uint64
}

// Client speaks with any number of units. It is safe for concurrent use, and
// one process needs one: the limits it keeps are kept per Client.
//
// Its errors say which unit was asked for what, and what was expected. They
// hold one of pair's kinds: ErrUnreachable, ErrRefused (also while a refusal
// is being sat out), ErrUntrusted, ErrUnreadable, ErrThrottled, ErrNotFound
// (the unit does not know the command or parameter), ErrInvalid (the values
// make no sense, or the unit says so), and for writes ErrUnknownOutcome.
// Where waiting is known to help, pair.RetryAfter tells how long. When the
// caller's own context ends a read, its error is the only kind, because our
// impatience says nothing about the unit.
type Client struct {
	opts     Options
	hashSeed maphash.Seed

	mu         sync.Mutex // guards appliances; never held across a wait or a call
	appliances map[netip.AddrPort]*appliance
}

// New returns a Client. It makes no call and starts no goroutine.
func New(opts Options) (*Client, error) {
	if opts.Secrets == nil {
		return nil, fmt.Errorf("make a LoadMaster client: no source of credentials given: %w", pair.ErrInvalid)
	}
	if opts.Timeout < 0 {
		return nil, fmt.Errorf("make a LoadMaster client: timeout %v: expected more than zero: %w", opts.Timeout, pair.ErrInvalid)
	}
	opts.Timeout = cmp.Or(opts.Timeout, defaultTimeout)
	if opts.DialContext == nil {
		opts.DialContext = (&net.Dialer{}).DialContext
	}
	if opts.ReadFile == nil {
		opts.ReadFile = os.ReadFile
	}
	if opts.OneLogin == nil {
		opts.OneLogin = func(context.Context) bool { return false }
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{opts: opts, hashSeed: maphash.MakeSeed(), appliances: map[netip.AddrPort]*appliance{}}, nil
}

// Close closes idle connections. The Client stays usable.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.appliances {
		a.closeIdle()
	}
}

// session is one caller's operation on one unit: what is remembered of the
// unit, how it is trusted, and the credentials, fetched once.
type session struct {
	client *Client
	unit   *appliance
	line   line
	creds  Credentials
	key    uint64 // stands for creds in memory that outlives the session
	hider  *strings.Replacer
}

func (c *Client) open(ctx context.Context, u pair.Unit) (*session, error) {
	at, err := apiAddress(u)
	if err != nil {
		return nil, err
	}
	unit := c.appliance(at)
	l, err := unit.lineFor(trust{address: at.Addr(), vm: u.VM, pin: u.API.TLS.SHA256, caFile: u.API.CAFile}, c.opts)
	if err != nil {
		return nil, fmt.Errorf("open the API of %s: %w", at, err)
	}
	creds, err := c.opts.Secrets.Credentials(ctx, u.API.Secret)
	if err != nil {
		return nil, withoutKind(fmt.Sprintf("get the credentials %q for the API of %s", u.API.Secret, at), err)
	}
	if !creds.usable() {
		return nil, fmt.Errorf("open the API of %s: secret %q: expected an API key, or user and password: %w", at, u.API.Secret, pair.ErrInvalid)
	}
	return &session{
		client: c, unit: unit, line: l,
		creds: creds, key: maphash.Comparable(c.hashSeed, creds), hider: creds.hider(),
	}, nil
}

func apiAddress(u pair.Unit) (netip.AddrPort, error) {
	port := cmp.Or(u.API.Port, defaultPort)
	if !u.Address.IsValid() || u.Address.Zone() != "" || port < 1 || port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("open the API of unit %q: address %q and port %d: expected an IP address and a port from 1 to 65535: %w",
			u.VM, u.Address, port, pair.ErrInvalid)
	}
	return netip.AddrPortFrom(u.Address.Unmap(), uint16(port)), nil
}

// withoutKind describes an error that is not about the unit. Only the end of
// the caller's context can be told from it.
func withoutKind(what string, err error) error {
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, end) {
			return &fault{text: what + ": " + err.Error(), is: []error{end}}
		}
	}
	return &fault{text: what + ": " + err.Error()}
}

// appliance returns what is remembered of the unit at an address, and forgets
// units that nobody has asked for long.
func (c *Client) appliance(at netip.AddrPort) *appliance {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.appliances[at]
	if a == nil {
		for other, old := range c.appliances {
			if now.Sub(old.used) > forgetAfter {
				old.closeIdle()
				delete(c.appliances, other)
			}
		}
		a = newAppliance(at, c.opts.Seed)
		c.appliances[at] = a
	}
	a.used = now
	return a
}
