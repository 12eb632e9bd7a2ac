package control

import (
	"encoding/json"
	"fmt"

	"tandem/internal/announce"
	"tandem/internal/pair"
)

// Posts of one epoch get fixed places in its numbering, so that a repeated
// pass makes the same ids: 1 is the decision, its intents follow from 2, those
// that take a tag away for them from 50, posts about the decision from 100, and
// those about closed intents from 300 and 600.
const (
	seqDecision = 1
	seqUntag    = 50
	seqEvent    = 100
	seqPlan     = 101
	seqAgain    = 102
	seqAlarm    = 103
	seqClosed   = 300
	seqTold     = 600
)

// decisionPosts are the journal entry of a decision, the events it raises, and
// the message that looks again.
func decisionPosts(p *pass) []pair.Post {
	d := &p.d
	reason := pair.Explain(&p.in, d)
	posts := []pair.Post{p.post(d.Epoch, seqDecision, pair.PostJournal, pair.EntryDecided, pair.Decided{
		Decision: *d, Input: p.in, Reason: reason, Person: pair.PersonCanDo(d),
	})}
	if d.Believed != d.From {
		posts = append(posts, p.event(d.Epoch, seqEvent, announce.SituationChanged{
			Pair: p.name, From: d.From, To: d.Believed, Since: d.Record.Since, Decision: d.ID, Reason: reason, Epoch: d.Epoch,
		}))
	}
	if plan := d.Record.Plan; plan != nil && plan.Decision == d.ID {
		posts = append(posts, p.event(d.Epoch, seqPlan, announce.PlanOf(p.name, *plan)))
	}
	if was, now := p.in.Record.Alarm, d.Record.Alarm; was != now {
		e := announce.AlarmChanged{Pair: p.name, Since: d.At, Decision: d.ID, Reason: reason, Epoch: d.Epoch}
		if now != nil {
			e.Alarm, e.Level, e.Person = now.Row, now.Level, pair.PersonCanDo(d)
		}
		posts = append(posts, p.event(d.Epoch, seqAlarm, e))
	}
	if d.Next > 0 {
		post := p.post(d.Epoch, seqAgain, pair.PostMessage, "wake", p.again(d.Epoch))
		post.Queue, post.Delay = p.queue(), d.Next
		posts = append(posts, post)
	}
	return posts
}

// seqOf is the place of an intent in its epoch's numbering.
func seqOf(i pair.Intent) int {
	n := 0
	if _, err := fmt.Sscanf(i.ID[len(i.ID)-3:], "%d", &n); err != nil {
		panic("control: an intent id without a number: " + i.ID) // made by pair.ID only
	}
	return n
}

// closingPosts are the journal entry and the event of an intent that ended.
func closingPosts(p *pass, i pair.Intent) []pair.Post {
	n := seqOf(i)
	i.Token = "" // a signed address, which is nobody else's business
	posts := []pair.Post{p.post(i.Epoch, seqClosed+n, pair.PostJournal, pair.EntryClosed, i)}
	if i.Kind == pair.IntentTag || i.Kind == pair.IntentCompare {
		return posts // it only says what other events say, or nothing that was done to the pair
	}
	what := announce.ActionOf(i)
	if i.State == pair.IntentDone {
		return append(posts, p.event(i.Epoch, seqTold+n, announce.ActionDone{Pair: p.name, Action: what, At: p.now()}))
	}
	return append(posts, p.event(i.Epoch, seqTold+n, announce.ActionAbandoned{Pair: p.name, Action: what, Why: i.LastErr, At: p.now()}))
}

func (p *pass) event(epoch uint64, seq int, data announce.Data) pair.Post {
	post, err := announce.Post(pair.ID(p.name, epoch, seq), p.now(), data)
	if err != nil {
		panic("control: an event that cannot be written: " + err.Error()) // its times are ours
	}
	return post
}

func (p *pass) post(epoch uint64, seq int, kind pair.PostKind, typ string, body any) pair.Post {
	b, err := json.Marshal(body)
	if err != nil {
		panic("control: a post that cannot be written: " + err.Error()) // only text, numbers and times
	}
	return pair.Post{
		V: pair.Version, MinReader: pair.MinReader, ID: pair.ID(p.name, epoch, seq), Kind: kind,
		At: p.now(), Type: typ, Body: b,
	}
}

func messageOf(post pair.Post) (pair.Message, error) {
	var m pair.Message
	if err := json.Unmarshal(post.Body, &m); err != nil {
		return m, fmt.Errorf("read message %s: %w: %w", post.ID, pair.ErrUnreadable, err)
	}
	return m, nil
}
