package control_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tandem/internal/control"
	"tandem/internal/pair"
)

func TestWhatACrashLeftIsDeliveredByTheNextPass(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(&effects{at: 3, kills: true}) // lease, commit, and no journal any more
		_ = w.invoke(func(ctx context.Context) error {
			return w.waker.Controller.Pass(ctx, edge, pair.Cause{Kind: pair.CauseSweep})
		})
		left := w.load()
		if len(left.Outbox) != 2 || left.Record.Lease.Owner == "" {
			t.Fatalf("outbox %v, lease %v: the worker did not die where it should", left.Outbox, left.Record.Lease)
		}
		if err := w.pass(pair.CauseSweep); err != nil {
			t.Fatal(err)
		}
		if n := len(w.load().Outbox); n != 2 {
			t.Errorf("%d posts are left while the dead worker's lease stands, want both: it might live", n)
		}
		time.Sleep(31 * time.Second)
		if err := w.pass(pair.CauseSweep); err != nil {
			t.Fatal(err)
		}
		if got := w.received(); len(w.load().Outbox) != 0 || !slices.Equal(got, []string{"tandem.pair.situation-changed"}) || !slices.Equal(w.rows(), []string{"healthy"}) {
			t.Errorf("outbox %v, events %v, journal %v; want all delivered", w.load().Outbox, got, w.rows())
		}
		if want := []string{"journal", "publish", "delivered"}; !slices.Equal(w.fx.done, want) {
			t.Errorf("effects %v, want %v alone: the pass itself was quiet", w.fx.done, want)
		}
	})
}

// TestAPostThatCanNeverBeDeliveredIsDropped has the topic refuse one event for
// ever. It must neither block the outbox nor show what stands in it.
func TestAPostThatCanNeverBeDeliveredIsDropped(t *testing.T) {
	for _, kind := range []error{pair.ErrInvalid, pair.ErrTooLarge} {
		t.Run(kind.Error(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld(t)
				w.pass1()
				bad := w.put("the bad one's content")
				good := w.put("a good one's content")
				w.topic.refuse = func(posts []pair.Post) error {
					for _, p := range posts {
						if p.ID == bad {
							return fmt.Errorf("publish %d events: %w", len(posts), kind)
						}
					}
					return nil
				}
				if err := w.pass(pair.CauseSweep); err != nil {
					t.Errorf("pass: %v, want success", err)
				}
				if left := w.load().Outbox; len(left) != 0 {
					t.Errorf("outbox %v, want it empty", left)
				}
				if !slices.ContainsFunc(w.topic.posts, func(p pair.Post) bool { return p.ID == good }) {
					t.Error("the event beside the bad one was not published")
				}
				log := w.log.text()
				if !strings.Contains(log, "level=ERROR") || !strings.Contains(log, bad) || strings.Contains(log, "content") {
					t.Errorf("the log must name the event %s and not show what stands in it:\n%s", bad, log)
				}
			})
		})
	}
}

// pass1 lets the pair become known, and forgets what was told of it.
func (w *world) pass1() {
	w.passes(1)
	w.messages()
	w.topic.posts = nil
}

// put puts an event into the pair's outbox and returns its id.
func (w *world) put(content string) string {
	w.t.Helper()
	snap := w.load()
	post := pair.Post{
		ID: pair.ID(edge, snap.Record.Epoch, 900+len(snap.Outbox)), Kind: pair.PostEvent, At: time.Now(), Type: "tandem.test", Body: fmt.Appendf(nil, "%q", content),
	}
	if _, err := w.store.Commit(w.t.Context(), snap, pair.Change{Record: snap.Record, Outbox: []pair.Post{post}}); err != nil {
		w.t.Fatal(err)
	}
	return post.ID
}

// TestATopicThatIsDownKeepsNothingElseBack has the topic fail while a pair is
// fenced and released.
func TestATopicThatIsDownKeepsNothingElseBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.topic.refuse = func([]pair.Post) error { return fmt.Errorf("publish: %w", pair.ErrUnreachable) }
		w.splitUntilFence()
		w.passes(1)
		if len(w.platform.states()) != 1 {
			t.Error("no fence while the topic is down")
		}
		if again := w.messages(); len(again) != 3 {
			t.Errorf("%d messages %v, want one for each of the three decisions that ask for another look", len(again), again)
		}
		w.heal()
		w.passes(6)
		if len(w.platform.states()) != 0 {
			t.Error("no release while the topic is down")
		}
		if want := []string{"healthy", "glimpsed", "suspected", "fence"}; !slices.Equal(w.rows()[:4], want) {
			t.Errorf("journal %v, want it to begin with %v", w.rows(), want)
		}
		waiting := len(w.load().Outbox)
		if waiting == 0 {
			t.Fatal("no events wait")
		}
		w.topic.refuse = nil
		w.passes(1)
		if got := len(w.topic.posts); got != waiting || len(w.load().Outbox) != 0 {
			t.Errorf("%d events were published and %d still wait, want all %d published", got, len(w.load().Outbox), waiting)
		}
	})
}

// TestATopicThatHangsTakesItsTimeFromNobody has the topic answer nothing at
// all: the pair is looked at and released all the same.
func TestATopicThatHangsTakesItsTimeFromNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.splitUntilFence()
		w.passes(1)
		w.put("waits")
		c := w.controller(&effects{}, func(o *control.Options) { o.Publisher = hanging{} })
		w.units.set(pair.First, pair.StateUnknown)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := c.Pass(ctx, edge, pair.Cause{Kind: pair.CauseVM}); err != nil {
			t.Errorf("pass: %v, want success", err)
		}
		if got := w.platform.states(); len(got) != 0 {
			t.Errorf("admin states %v, want the survivor's silence to release", got)
		}
	})
}

type hanging struct{}

func (hanging) Publish(ctx context.Context, _ []pair.Post) error {
	<-ctx.Done()
	return fmt.Errorf("publish: %w: %w", pair.ErrUnreachable, ctx.Err())
}

func TestWithoutATopicNothingWaits(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.controller(&effects{}, func(o *control.Options) { o.Publisher = nil })
		if err := c.Pass(t.Context(), edge, pair.Cause{Kind: pair.CauseSweep}); err != nil {
			t.Fatal(err)
		}
		if left := w.load().Outbox; len(left) != 0 || !slices.Equal(w.rows(), []string{"healthy"}) {
			t.Errorf("outbox %v, journal %v; want the one empty and the other told", left, w.rows())
		}
	})
}
