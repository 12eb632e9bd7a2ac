package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue"

	"tandem/internal/lab/azurite"
	"tandem/internal/pair"
)

// running is the emulator that all tests of the package share; each has its
// own tables in it.
var (
	running  azurite.Shared
	prefixes atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := running.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// emulator returns the connection string of an Azurite: the one that
// TANDEM_TEST_AZURITE names, or one that is started here.
func emulator(t *testing.T) string {
	t.Helper()
	conn, err := running.ConnectionString(os.Getenv("TANDEM_TEST_AZURITE"))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// openAzure returns a store of the test's own in the emulator, over the
// transport if it is not nil.
func openAzure(t *testing.T, transport policy.Transporter) *Store {
	t.Helper()
	s, err := NewAzure(AzureOptions{ConnectionString: emulator(t), Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	s.prefix = fmt.Sprintf("t%dx%d", time.Now().UnixNano(), prefixes.Add(1))
	tables := s.backend.(*azure).tables
	t.Cleanup(func() {
		for _, table := range []string{tablePairs, tableJournal, tableIndex, tableOnce, tableSettings, tableGeo} {
			_, _ = tables.DeleteTable(context.Background(), s.prefix+table, nil) // most were never made
		}
	})
	return s
}

func TestAzureKeepsTheContract(t *testing.T) {
	testContract(t, func(t *testing.T) account {
		s := openAzure(t, nil)
		queues := s.backend.(*azure).queues
		return account{
			Store: s,
			take: func(t *testing.T, queue string) []string {
				t.Helper()
				t.Cleanup(func() { _, _ = queues.DeleteQueue(context.Background(), queue, nil) })
				n, hidden := int32(32), int32(60)
				got, err := queues.NewQueueClient(queue).DequeueMessages(t.Context(), &azqueue.DequeueMessagesOptions{NumberOfMessages: &n, VisibilityTimeout: &hidden})
				if err != nil {
					t.Fatal(err)
				}
				var texts []string
				for _, m := range got.Messages {
					text, err := base64.StdEncoding.DecodeString(*m.MessageText)
					if err != nil {
						t.Fatalf("message %q is not in Base64, as the host expects: %v", *m.MessageText, err)
					}
					texts = append(texts, string(text))
				}
				return texts
			},
			wait: time.Sleep, // the emulator has its own clock
		}
	})
}

// faulty is a transport that does odd things to requests once it is armed.
type faulty struct {
	armed atomic.Bool
	fault func(req *http.Request, send func() (*http.Response, error)) (*http.Response, error)
	calls atomic.Int64 // since it was armed
}

func (f *faulty) Do(req *http.Request) (*http.Response, error) {
	send := func() (*http.Response, error) { return http.DefaultClient.Do(req) }
	if !f.armed.Load() {
		return send()
	}
	f.calls.Add(1)
	return f.fault(req, send)
}

// answer is an answer as a service or a proxy before it might give.
func answer(status int, contentType, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {contentType}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func failure(status int, code string, header ...string) func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
	return func(req *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		body := fmt.Sprintf(`{"odata.error":{"code":%q,"message":{"lang":"en-US","value":"text"}}}`, code)
		resp := answer(status, "application/json", body, append(header, "X-Ms-Error-Code", code)...)
		resp.Request = req
		return resp, nil
	}
}

func fails(err error) func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
	return func(*http.Request, func() (*http.Response, error)) (*http.Response, error) { return nil, err }
}

func succeeds(contentType, body string) func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
	return func(req *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		resp := answer(http.StatusAccepted, contentType, body)
		resp.Request = req
		return resp, nil
	}
}

func TestAFailureBecomesAKindAndAWriteIsNeverRepeated(t *testing.T) {
	tests := []struct {
		name        string
		fault       func(*http.Request, func() (*http.Response, error)) (*http.Response, error)
		read, write error
		reads       int64 // attempts
		landed      bool
	}{
		{
			name: "a connection cut after sending leaves a write unknown, and here it landed",
			fault: func(_ *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
				if resp, err := send(); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				return nil, io.ErrUnexpectedEOF
			},
			read: pair.ErrUnreachable, write: pair.ErrUnknownOutcome, reads: 1 + readRetries, landed: true,
		},
		{
			name: "a connection cut within the answer leaves a write unknown",
			fault: func(_ *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
				resp, err := send()
				if err == nil {
					resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, 20), errReader{}))
				}
				return resp, err
			},
			read: pair.ErrUnreachable, write: pair.ErrUnknownOutcome, reads: 1 + readRetries, landed: true,
		},
		{
			name: "an answer later than the timeout leaves a write unknown",
			fault: func(req *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
				<-req.Context().Done()
				return nil, req.Context().Err()
			},
			read: pair.ErrUnreachable, write: pair.ErrUnknownOutcome, reads: 1,
		},
		{"a failure of the service leaves a write unknown", failure(500, "InternalError"), pair.ErrUnreachable, pair.ErrUnknownOutcome, 3, false},
		{"a timeout of the service leaves a write unknown", failure(500, "OperationTimedOut"), pair.ErrUnreachable, pair.ErrUnknownOutcome, 3, false},
		{"a gateway's failure leaves a write unknown", failure(502, ""), pair.ErrUnreachable, pair.ErrUnknownOutcome, 3, false},
		{"a busy service did nothing", failure(503, "ServerBusy", "Retry-After", "7"), pair.ErrThrottled, pair.ErrThrottled, 1, false},
		{"too many requests did nothing", failure(429, "", "Retry-After", "7"), pair.ErrThrottled, pair.ErrThrottled, 1, false},
		{"a forbidden request is refused", failure(403, "AuthorizationPermissionMismatch"), pair.ErrRefused, pair.ErrRefused, 1, false},
		{"an unknown caller is refused", failure(401, "InvalidAuthenticationInfo"), pair.ErrRefused, pair.ErrRefused, 1, false},
		{"a bad request is invalid", failure(400, "InvalidInput"), pair.ErrInvalid, pair.ErrInvalid, 1, false},
		{"a table that is being deleted is busy", failure(409, "TableBeingDeleted"), pair.ErrBusy, pair.ErrBusy, 1, false},
		{"a large entity is too large", failure(400, "EntityTooLarge"), pair.ErrTooLarge, pair.ErrTooLarge, 1, false},
		{"a large request is too large", failure(413, "RequestBodyTooLarge"), pair.ErrTooLarge, pair.ErrTooLarge, 1, false},
		{"a refused connection carried nothing", fails(&net.OpError{Op: "dial", Err: errors.New("connection refused")}), pair.ErrUnreachable, pair.ErrUnreachable, 3, false},
		{"a proxy's page instead of an answer leaves a write unknown", succeeds("text/html", "<html>sign in"), pair.ErrUnreadable, pair.ErrUnknownOutcome, 1, false},
		{"an empty answer leaves a write unknown", succeeds("multipart/mixed; boundary=b", ""), pair.ErrUnreadable, pair.ErrUnknownOutcome, 1, false},
		{"an answer without a line break leaves a write unknown", succeeds("multipart/mixed; boundary=b", "--b"), pair.ErrUnreadable, pair.ErrUnknownOutcome, 1, false},
		{
			"an answer to another number of operations leaves a write unknown", succeeds("multipart/mixed; boundary=b",
				"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\nETag: x\r\n\r\n\r\n--c--\r\n--b--\r\n"),
			pair.ErrUnreadable, pair.ErrUnknownOutcome, 1, false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			transport := &faulty{fault: tt.fault}
			s := openAzure(t, transport)
			snap := define(t, s, definition("edge-weu", 1))
			s.backend.(*azure).timeout = 2 * time.Second
			ctx := t.Context()
			if strings.Contains(tt.name, "later than the timeout") {
				s.backend.(*azure).timeout = 100 * time.Millisecond
			}

			transport.armed.Store(true)
			_, err := s.Load(ctx, "edge-weu")
			wantKind(t, err, tt.read)
			if n := transport.calls.Swap(0); n != tt.reads {
				t.Errorf("got %d attempts to read, want %d", n, tt.reads)
			}
			transport.armed.Store(false)
			ch := decided(snap)
			tr := transaction{p: mustPartition(t, s, "edge-weu")}
			stored, _, err := tr.p.record()
			if err == nil {
				_, err = tr.change(stored, ch)
			}
			if err != nil {
				t.Fatal(err)
			}
			transport.armed.Store(true)
			_, err = s.apply(ctx, tablePairs, "edge-weu", tr.ops...)
			wantKind(t, err, tt.write)
			if n := transport.calls.Load(); n != 1 {
				t.Errorf("got %d attempts to write, want 1", n)
			}
			if errors.Is(err, pair.ErrThrottled) && pair.RetryAfter(err, 0) != 7*time.Second {
				t.Errorf("got %v, want to be asked to wait for 7s", pair.RetryAfter(err, 0))
			}
			if text := fmt.Sprint(err); strings.Contains(text, "127.0.0.1") || strings.Contains(text, "\n") {
				t.Errorf("got %q, want neither address nor several lines", text)
			}
			if err := s.Send(ctx, "tandem-faults", pair.Message{}, 0); err != nil && tt.write == pair.ErrUnknownOutcome && !strings.Contains(tt.name, "answer") {
				wantKind(t, err, tt.write)
			}
			transport.armed.Store(false)
			if got := load(t, s, "edge-weu").Record.Epoch == 2; got != tt.landed {
				t.Errorf("landed is %t, want %t", got, tt.landed)
			}
		})
	}
}

func mustPartition(t *testing.T, s *Store, name string) partition {
	t.Helper()
	p, err := s.partition(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// errReader breaks as a connection does.
type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAReadIsRepeatedUntilItSucceeds(t *testing.T) {
	transport := &faulty{}
	transport.fault = func(req *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
		if transport.calls.Load() <= readRetries {
			return nil, io.ErrUnexpectedEOF
		}
		return send()
	}
	s := openAzure(t, transport)
	snap := define(t, s, definition("edge-weu", 1))
	transport.armed.Store(true)
	diff(t, load(t, s, "edge-weu"), snap)
}

func TestALostAnswerIsFoundOutByLoadingAgain(t *testing.T) {
	transport := &faulty{fault: func(_ *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
		resp, err := send()
		if err == nil && resp.StatusCode == http.StatusAccepted {
			_ = resp.Body.Close()
			return nil, io.ErrUnexpectedEOF
		}
		return resp, err
	}}
	s := openAzure(t, transport)
	snap := define(t, s, definition("edge-weu", 1))
	transport.armed.Store(true)
	_, err := s.AcquireLease(t.Context(), snap, "w1", noon, ttl)
	wantKind(t, err, pair.ErrUnknownOutcome)
	transport.armed.Store(false)
	again := load(t, s, "edge-weu")
	if again.Record.Lease.Owner != "w1" {
		t.Fatalf("got the lease %+v, want w1's", again.Record.Lease)
	}
	commit(t, s, again, decided(again))
	// The outcome of a repeated insert is success, as the caller cannot know.
	transport.armed.Store(true)
	post := entry("edge-weu", 2, 2, "{}")
	wantKind(t, s.AppendJournal(t.Context(), "edge-weu", post), pair.ErrUnknownOutcome)
	transport.armed.Store(false)
	if err := s.AppendJournal(t.Context(), "edge-weu", post); err != nil {
		t.Error(err)
	}
}

// badCredential cannot get a token.
type badCredential struct{ err error }

func (c badCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, c.err
}

// refusal is an error that the SDK's credentials mark as final.
type refusal struct{}

func (refusal) Error() string { return "no identity" }
func (refusal) NonRetriable() {}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"an identity that is not accepted is refused", refusal{}, pair.ErrRefused},
		{"an identity service without an answer is unreachable", &net.OpError{Op: "dial", Err: errors.New("no route")}, pair.ErrUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			transport := &faulty{fault: fails(errors.New("must not be used"))}
			transport.armed.Store(true)
			s, err := NewAzure(AzureOptions{
				TableEndpoint: "https://account.table.invalid", QueueEndpoint: "https://account.queue.invalid",
				Credential: badCredential{tt.err}, Transport: transport,
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Load(t.Context(), "edge-weu")
			wantKind(t, err, tt.want)
			_, err = s.Once(t.Context(), "scope", "key")
			wantKind(t, err, tt.want)
			wantKind(t, s.Send(t.Context(), pair.QueuePairs, pair.Message{}, 0), tt.want)
			if n := transport.calls.Load(); n != 0 {
				t.Errorf("%d requests were sent, want none", n)
			}
		})
	}
}

func TestNewAzureRefusesWhatNamesNoAccount(t *testing.T) {
	const key = "c2VjcmV0" // must not be shown
	for _, opts := range []AzureOptions{
		{},
		{TableEndpoint: "https://a", QueueEndpoint: "https://b"},
		{TableEndpoint: "https://a", Credential: badCredential{}},
		{ConnectionString: "AccountKey=" + key},
		{ConnectionString: "AccountName=a;AccountKey=" + key + "!"},
		{ConnectionString: key},
	} {
		_, err := NewAzure(opts)
		wantKind(t, err, pair.ErrInvalid)
		if strings.Contains(fmt.Sprint(err), key) {
			t.Errorf("got %q, which shows the key", err)
		}
	}
}
