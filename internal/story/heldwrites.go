package story

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"tandem/internal/lab"
)

// timersHeard is how much later than the thread that was about to send the
// timers of a thawed process are heard.
const timersHeard = time.Millisecond

// heldWrites sends a process's requests to Azure. One that would write to
// Resource Manager may find its worker frozen just before it leaves.
type heldWrites struct {
	process *process
	next    *http.Transport
}

// RoundTrip sends the request, or holds it first.
func (h *heldWrites) RoundTrip(r *http.Request) (*http.Response, error) {
	w := h.process.worker
	if !lab.Changes(r) {
		return h.next.RoundTrip(r)
	}
	if r.URL.Host != lab.ManagerName {
		return h.answered(r, h.next.RoundTrip)
	}
	d, held := w.stage.holds.take(w.machine.Name(), r.Method)
	if !held {
		return h.answered(r, h.next.RoundTrip)
	}
	w.stage.world.Log("story", fmt.Sprintf("%s is frozen for %v, about to send %s %s", w.machine.Name(), d, r.Method, r.URL.Path))
	w.freeze(d)
	return h.answered(r, h.afterwards)
}

// answered sends a request as an effect of the process, which may die of it.
func (h *heldWrites) answered(r *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	if h.process.worker.stage.effect == nil {
		return send(r)
	}
	fate := h.process.fate(r.Method + " " + r.URL.Host + r.URL.Path)
	if fate == Fails {
		h.process.doom()
		return nil, net.ErrClosed
	}
	resp, err := send(r)
	if fate == Unanswered {
		if err == nil {
			_ = resp.Body.Close() // nobody reads it
		}
		h.process.doom()
		return nil, net.ErrClosed
	}
	return resp, err
}

// afterwards sends a request when the worker goes on. The thread that was about
// to send goes on as well, so the request leaves whether or not its time has run
// out meanwhile; only then are the process's timers heard.
func (h *heldWrites) afterwards(r *http.Request) (*http.Response, error) {
	out := r.Clone(context.WithoutCancel(r.Context()))
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close() // read to its end
		if err != nil {
			return nil, err
		}
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	if err := h.process.pass(); err != nil {
		return nil, err
	}
	type answer struct {
		*http.Response
		err error
	}
	came := make(chan answer, 1)
	go func() {
		resp, err := h.next.RoundTrip(out) //nolint:bodyclose // its reader closes it
		came <- answer{resp, err}
	}()
	late := time.NewTimer(timersHeard)
	defer late.Stop()
	select {
	case <-late.C:
	case <-h.process.dead:
		return nil, net.ErrClosed
	}
	if err := r.Context().Err(); err != nil {
		go func() {
			if a := <-came; a.err == nil {
				_ = a.Body.Close() // nobody waits for it
			}
		}()
		return nil, err
	}
	select {
	case a := <-came:
		return a.Response, a.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// CloseIdleConnections lets the program end.
func (h *heldWrites) CloseIdleConnections() { h.next.CloseIdleConnections() }
