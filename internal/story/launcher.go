package story

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"tandem/internal/app"
	"tandem/internal/lab/host"
	"tandem/internal/lab/network"
	"tandem/internal/store"
)

// launcher starts the program's handler inside this process, on the worker's
// host of the simulated network, in place of a program on a disk.
type launcher struct {
	worker *network.Host
	build  func(env host.Environment, id string) (*app.App, error)

	mu   sync.Mutex
	next int
}

// Port hands out ports one after the other, so that a restarted handler never
// meets the connections of the one before it.
func (l *launcher) Port() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return 40000 + l.next, nil
}

// Start assembles the program and serves it.
func (l *launcher) Start(ctx context.Context, env host.Environment) (host.Process, error) {
	a, err := l.build(env, fmt.Sprintf("worker-%d", env.Port))
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	listener, err := l.worker.Listen(env.Port)
	if err != nil {
		return nil, err
	}
	p := &process{worker: l.worker, port: env.Port, server: &http.Server{Handler: a.Handler(), ReadHeaderTimeout: time.Minute}, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer a.Close()
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			_, _ = fmt.Fprintln(env.Stderr, "handler stopped: "+err.Error())
		}
	}()
	context.AfterFunc(ctx, p.Kill)
	return p, nil
}

// process is the program in this process.
type process struct {
	worker *network.Host
	port   int
	server *http.Server
	done   chan struct{}
}

// Wait returns -1, because only a kill ends such a process.
func (p *process) Wait() int {
	<-p.done
	return -1
}

func (p *process) Kill() { _ = p.server.Close() } // its listener is in memory

// Dial reaches the handler's loopback, which here is the worker's own address.
func (p *process) Dial(ctx context.Context, netw, _ string) (net.Conn, error) {
	return p.worker.DialContext(ctx, netw, fmt.Sprintf("%s:%d", p.worker.Addr(), p.port))
}

// queues lets the simulated host drain the embedded store's queues. The host
// wants texts as the service holds them, which is Base64; the embedded queues
// leave that out on both ends.
type queues struct{ account *store.Embedded }

func (q queues) Dequeue(ctx context.Context, queue string, limit int, visibility time.Duration) ([]host.Message, error) {
	taken, err := q.account.Dequeue(ctx, queue, limit, visibility)
	out := make([]host.Message, len(taken))
	for i, m := range taken {
		out[i] = host.Message{
			ID: m.ID, PopReceipt: m.PopReceipt, Text: base64.StdEncoding.EncodeToString([]byte(m.Text)), DequeueCount: m.DequeueCount,
			InsertionTime: m.InsertedAt, ExpirationTime: m.ExpiresAt, NextVisibleTime: m.NextVisible,
		}
	}
	return out, err
}

func (q queues) Update(ctx context.Context, queue string, m host.Message, visibility time.Duration) (host.Message, error) {
	receipt, err := q.account.Update(ctx, queue, m.ID, m.PopReceipt, visibility)
	m.PopReceipt, m.NextVisibleTime = receipt, time.Now().Add(visibility)
	return m, err
}

func (q queues) Delete(ctx context.Context, queue string, m host.Message) error {
	return q.account.Delete(ctx, queue, m.ID, m.PopReceipt)
}

func (q queues) Enqueue(ctx context.Context, queue, text string) error {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("enqueue to %s: %w", queue, err)
	}
	return q.account.Enqueue(ctx, queue, string(b), 0)
}
