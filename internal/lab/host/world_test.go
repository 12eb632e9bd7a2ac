package host

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// memory is a launcher whose handlers run in the test process behind pipes.
type memory struct {
	handler http.Handler
	// script says what each start does beyond serving; nil serves.
	script func(start int, p *memoryProcess)
	delay  time.Duration // before it listens

	mu     sync.Mutex
	starts []Environment
}

func (m *memory) Port() (int, error) { return 34567, nil }

func (m *memory) Start(ctx context.Context, env Environment) (Process, error) {
	m.mu.Lock()
	m.starts = append(m.starts, env)
	start := len(m.starts)
	m.mu.Unlock()
	p := &memoryProcess{env: env, conns: make(chan net.Conn), listening: make(chan struct{}), ended: make(chan struct{})}
	p.server = &http.Server{Handler: m.handler}
	go func() {
		select {
		case <-time.After(m.delay):
			close(p.listening)
			_ = p.server.Serve(p)
		case <-p.ended:
		}
	}()
	if m.script != nil {
		go m.script(start, p)
	}
	return p, nil
}

// environment is what start number i, from 0, was given.
func (m *memory) environment(i int) Environment {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.starts[i]
}

func (m *memory) started() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.starts)
}

type memoryProcess struct {
	env       Environment
	server    *http.Server
	conns     chan net.Conn
	listening chan struct{}
	ended     chan struct{}
	mu        sync.Mutex
	gone      bool
	code      int
}

func (p *memoryProcess) exit(code int) {
	p.mu.Lock()
	first := !p.gone
	if first {
		p.gone, p.code = true, code
		close(p.ended)
	}
	p.mu.Unlock()
	if first {
		_ = p.server.Close()
	}
}

func (p *memoryProcess) Wait() int {
	<-p.ended
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.code
}

func (p *memoryProcess) Kill() { p.exit(-1) }

func (p *memoryProcess) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	select {
	case <-p.listening:
	default:
		return nil, refused
	}
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.ended:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *memoryProcess) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}
func (p *memoryProcess) Close() error   { return nil }
func (p *memoryProcess) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 34567} }

// queues is a queue service in memory.
type queues struct {
	mu     sync.Mutex
	serial int
	lists  map[string][]*Message
	calls  []string
}

func (q *queues) add(queue, text string) {
	_ = q.Enqueue(context.Background(), queue, base64.StdEncoding.EncodeToString([]byte(text)))
}

func (q *queues) Enqueue(_ context.Context, queue, text string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lists == nil {
		q.lists = map[string][]*Message{}
	}
	q.serial++
	now := time.Now()
	q.lists[queue] = append(q.lists[queue], &Message{
		ID: fmt.Sprintf("m%d", q.serial), Text: text,
		InsertionTime: now, ExpirationTime: now.Add(7 * 24 * time.Hour), NextVisibleTime: now,
	})
	return nil
}

func (q *queues) Dequeue(_ context.Context, queue string, limit int, visibility time.Duration) ([]Message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var taken []Message
	now := time.Now()
	for _, m := range q.lists[queue] {
		if len(taken) < limit && !m.NextVisibleTime.After(now) {
			q.serial++
			m.DequeueCount++
			m.NextVisibleTime = now.Add(visibility)
			m.PopReceipt = fmt.Sprintf("r%d", q.serial)
			taken = append(taken, *m)
		}
	}
	return taken, nil
}

func (q *queues) Update(_ context.Context, queue string, message Message, visibility time.Duration) (Message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls = append(q.calls, fmt.Sprintf("update %s %v", message.ID, visibility))
	for _, m := range q.lists[queue] {
		if m.ID == message.ID && m.PopReceipt == message.PopReceipt {
			q.serial++
			m.PopReceipt = fmt.Sprintf("r%d", q.serial)
			m.NextVisibleTime = time.Now().Add(visibility)
			return *m, nil
		}
	}
	return Message{}, errors.New("pop receipt mismatch")
}

func (q *queues) Delete(_ context.Context, queue string, message Message) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, m := range q.lists[queue] {
		if m.ID == message.ID && m.PopReceipt == message.PopReceipt {
			q.lists[queue] = append(q.lists[queue][:i:i], q.lists[queue][i+1:]...)
			return nil
		}
	}
	return errors.New("pop receipt mismatch")
}

// texts lists what a queue holds, decoded.
func (q *queues) texts(queue string) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var texts []string
	for _, m := range q.lists[queue] {
		text, err := base64.StdEncoding.DecodeString(m.Text)
		if err != nil {
			text = []byte("not base64: " + m.Text)
		}
		texts = append(texts, string(text))
	}
	return texts
}

const minimalHostFile = `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}},"extensionBundle":{"id":"B"}%s}`

// app builds a script root from host.json's further members and pairs of
// function name and bindings.
func app(members string, functions ...string) fs.FS {
	root := fstest.MapFS{}
	if members != "" {
		members = "," + members
	}
	root["host.json"] = &fstest.MapFile{Data: fmt.Appendf(nil, minimalHostFile, members)}
	for i := 0; i < len(functions); i += 2 {
		root[functions[i]+"/function.json"] = &fstest.MapFile{Data: []byte(`{"bindings":[` + functions[i+1] + `]}`)}
	}
	return root
}

const (
	queueIn   = `{"type":"queueTrigger","direction":"in","name":"message","queueName":"work"}`
	queueOut  = `{"type":"queue","direction":"out","name":"work","queueName":"out"}`
	eventIn   = `{"type":"eventGridTrigger","direction":"in","name":"event"}`
	eventsIn  = `{"type":"eventGridTrigger","direction":"in","name":"events","cardinality":"many"}`
	timerIn   = `{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 */5 * * * *"}`
	quickIn   = `{"type":"timerTrigger","direction":"in","name":"timer","schedule":"*/15 * * * * *"}`
	startupIn = `{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 */5 * * * *","runOnStartup":true}`
	httpIn    = `{"type":"httpTrigger","direction":"in","name":"req","route":"{*path}"}`
	httpOut   = `{"type":"http","direction":"out","name":"res"}`
)

// trial is a host in a bubble with everything around it.
type trial struct {
	*Host
	t      *testing.T
	memory *memory
	queues *queues
	cancel context.CancelFunc
	done   chan struct{}
	err    error
	mu     sync.Mutex
	lines  []string
}

// try starts a host in the current bubble. change may be nil.
func try(t *testing.T, root fs.FS, handler http.HandlerFunc, change func(*Config, *memory)) *trial {
	t.Helper()
	tr := &trial{t: t, memory: &memory{}, queues: &queues{}, done: make(chan struct{})}
	tr.memory.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/" {
			return
		}
		// The server notices a lost connection only once the body is read.
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler(w, r)
	})
	config := Config{
		App: root, Launcher: tr.memory, Queues: tr.queues, Seed: 1, Phase: 11 * time.Microsecond, StrictAnswers: true,
		Settings: map[string]string{"AzureWebJobsStorage": "lab"},
		Log: func(level, line string) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.lines = append(tr.lines, level+" "+line)
		},
	}
	if change != nil {
		change(&config, tr.memory)
	}
	host, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	tr.Host = host
	ctx, cancel := context.WithCancel(t.Context())
	tr.cancel = cancel
	go func() {
		tr.err = host.Run(ctx)
		close(tr.done)
	}()
	wait(time.Second)
	return tr
}

// wait lets time pass and everything that is due then happen.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// pause is a handler's long work, which ends with its process.
func pause(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// finish stops the host and returns what Run returned.
func (tr *trial) finish() error {
	tr.cancel()
	<-tr.done
	return tr.err
}

func (tr *trial) logged(part string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := 0
	for _, line := range tr.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func (tr *trial) request(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	var request *http.Request
	if body == "" {
		request = httptest.NewRequest(method, target, nil)
	} else {
		request = httptest.NewRequest(method, target, strings.NewReader(body))
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	tr.Handler().ServeHTTP(recorder, request)
	return recorder
}

// answerWith is a handler that always gives the same JSON answer.
func answerWith(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
}

const fine = `{"Outputs":{},"Logs":[],"ReturnValue":null}`
