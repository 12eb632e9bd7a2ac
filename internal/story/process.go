package story

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"tandem/internal/lab/host"
)

// Port hands out ports one after the other, so that a restarted handler never
// meets the connections of the one before it.
func (w *worker) Port() (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	return 40000 + w.next, nil
}

// Start assembles the program and serves it inside this process, on the
// worker's machine of the simulated network, in place of a program on a disk.
func (w *worker) Start(ctx context.Context, env host.Environment) (host.Process, error) {
	p := &process{worker: w, port: env.Port, dead: make(chan struct{}), done: make(chan struct{})}
	a, err := w.program(p, fmt.Sprintf("%s-%d", w.machine.Name(), env.Port))
	if err != nil {
		return nil, fmt.Errorf("assemble the program: %w", err)
	}
	listener, err := w.machine.Listen(env.Port)
	if err != nil {
		return nil, err
	}
	p.server = &http.Server{Handler: p.counted(a.Handler()), ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(p.done)
		defer a.Close()
		if err := p.server.Serve(ownListener{listener, p}); !errors.Is(err, http.ErrServerClosed) {
			_, _ = fmt.Fprintln(env.Stderr, "handler stopped: "+err.Error())
		}
	}()
	context.AfterFunc(ctx, p.Kill)
	return p, nil
}

// process is the program in this process. When it is killed its connections
// break, and what of it still runs can neither send nor store nor log.
type process struct {
	worker *worker
	port   int
	server *http.Server
	dead   chan struct{} // closed by Kill
	done   chan struct{} // closed when it no longer serves

	mu     sync.Mutex // guards what follows
	ended  bool
	doomed bool    // it dies of an effect, in a moment
	conns  []*conn // oldest first
}

// Wait returns -1, because only a kill ends such a process.
func (p *process) Wait() int {
	<-p.done
	return -1
}

// Kill ends the process, also while it is frozen.
func (p *process) Kill() {
	p.mu.Lock()
	conns, ended := p.conns, p.ended
	p.ended, p.conns = true, nil
	p.mu.Unlock()
	if ended {
		return
	}
	close(p.dead)
	for _, c := range conns {
		_ = c.Conn.Close() // in memory
	}
	_ = p.server.Close()
}

// counted counts the requests that are at work, also beyond the end of the
// process, and takes none after it.
func (p *process) counted(handler http.Handler) http.Handler {
	busy := &p.worker.stage.busy
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		ended := p.ended
		if !ended {
			busy.Add(1)
		}
		p.mu.Unlock()
		if ended {
			return
		}
		defer busy.Done()
		handler.ServeHTTP(w, r)
	})
}

// Dial reaches the handler's loopback, which here is the machine's own address.
func (p *process) Dial(ctx context.Context, netw, _ string) (net.Conn, error) {
	machine := p.worker.machine
	return machine.DialContext(ctx, netw, fmt.Sprintf("%s:%d", machine.Addr(), p.port))
}

// own makes a connection one of the process.
func (p *process) own(inner net.Conn) *conn {
	c := &conn{Conn: inner, process: p}
	p.mu.Lock()
	ended := p.ended
	if !ended {
		p.conns = append(p.conns, c)
	}
	p.mu.Unlock()
	if ended {
		_ = inner.Close()
	}
	return c
}

func (p *process) disown(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.conns, c); i >= 0 {
		p.conns = slices.Delete(p.conns, i, i+1)
	}
}

// ownListener makes what it accepts connections of the process.
type ownListener struct {
	net.Listener
	process *process
}

func (l ownListener) Accept() (net.Conn, error) {
	inner, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.process.own(inner), nil
}

// conn is a connection of a process: what arrives while the process is frozen
// it reads afterwards, and what it writes leaves afterwards.
type conn struct {
	net.Conn
	process *process
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if gone := c.process.pass(); gone != nil {
		return 0, gone
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if gone := c.process.pass(); gone != nil {
		return 0, gone
	}
	return c.Conn.Write(b)
}

// Close never waits, because net/http closes connections while it holds its
// locks: the peer of a frozen process hears of it afterwards.
func (c *conn) Close() error {
	c.process.worker.gate.whenThawed(func() {
		_ = c.Conn.Close() // in memory
		c.process.disown(c)
	})
	return nil
}

// CloseWrite ends the writing direction alone.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	if gone := c.process.pass(); gone != nil {
		return gone
	}
	return half.CloseWrite()
}
