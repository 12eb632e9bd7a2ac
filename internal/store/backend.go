package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"tandem/internal/pair"
)

// backend is a storage account as the store needs it. Its errors are of pair's
// kinds: a lost condition is ErrConflict, an insert of what is there ErrExists,
// a missing row ErrNotFound, a write without a known end ErrUnknownOutcome.
// Tables and queues are made when they are first written to; a table that was
// never written to reads as empty.
type backend interface {
	// get reads one row.
	get(ctx context.Context, table, partition, key string) (entity, error)
	// list reads one page of rows in the order of their keys. The cursor
	// leads to the next page and is empty after the last; a page may be empty
	// although more follow (azure.md 6.2).
	list(ctx context.Context, table string, q query) ([]entity, cursor, error)
	// apply does all operations on one partition or none, and returns the new
	// etag of each written row. Its caller has checked the transaction.
	apply(ctx context.Context, table, partition string, ops []op) ([]string, error)
	// enqueue sends a text that becomes visible after the delay.
	enqueue(ctx context.Context, queue, text string, delay time.Duration) error
}

// entity is one row as the backends know it: keys, version, and properties,
// which are texts and small whole numbers, and whatever a newer release stored.
type entity struct {
	partition, key string
	etag           string
	props          map[string]any
}

// MarshalJSON writes the form in which Table Storage takes an entity.
func (e entity) MarshalJSON() ([]byte, error) {
	all := maps.Clone(e.props)
	if all == nil {
		all = map[string]any{}
	}
	all["PartitionKey"], all["RowKey"] = e.partition, e.key
	return json.Marshal(all)
}

// query selects rows of one partition, from ≤ key < to; empty bounds are open.
// Where partition is empty, it selects the row with the key from of every
// partition.
type query struct {
	partition string
	from, to  string
	// dueBy selects only rows whose property due is not later; empty selects
	// all.
	dueBy string
	limit int // rows in a page, 1 to pageSize
	after cursor
}

// cursor is where the next page of a query starts.
type cursor struct{ partition, key string }

// opKind is what an operation does with its row.
type opKind uint8

// Every operation is conditional: an insert on the row's absence, the others
// on the entity's etag.
const (
	opUnknown opKind = iota
	opInsert
	opReplace
	opRemove
)

var opNames = [...]string{"unknown operation on", "insert", "replace", "remove"}

func (k opKind) String() string { return opNames[k] }

// op is one operation of a transaction; the partition is the transaction's, so
// no transaction can span two.
type op struct {
	kind opKind
	row  entity
}

// The limits of Table Storage and queues (azure.md 6.1, 6.4). Keys are counted
// as 512 UTF-16 units of two bytes, which is what Azurite refuses to exceed.
const (
	pageSize       = 1000
	maxOps         = 100
	maxKey         = 512                          // UTF-16 units
	maxText        = 32 << 10                     // UTF-16 units of one property
	maxEntity      = 1 << 20                      // bytes
	maxTransaction = 4 << 20                      // bytes of the request
	opOverhead     = 1 << 10                      // bytes around one operation in the request, generously
	maxMessage     = 64 << 10                     // bytes of a message as it is sent
	maxDelay       = 7*24*time.Hour - time.Minute // a message must not outlive its seven days
)

// checkTransaction refuses what the service would refuse, or worse, what the
// emulator would take although the service refuses it (toolbox.md, Azurite).
func checkTransaction(part string, ops []op) error {
	if len(ops) == 0 {
		return fmt.Errorf("write nothing: %w", pair.ErrInvalid)
	}
	if len(ops) > maxOps {
		return fmt.Errorf("write %d rows at once, possible are %d: %w", len(ops), maxOps, pair.ErrTooLarge)
	}
	seen := make(map[string]bool, len(ops))
	total := 0
	for _, o := range ops {
		if err := checkOp(part, o); err != nil {
			return err
		}
		if seen[o.row.key] {
			return fmt.Errorf("write %s twice at once: %w", o.row.key, pair.ErrInvalid)
		}
		seen[o.row.key] = true
		total += o.row.size()
	}
	// JSON writes a UTF-16 unit of two bytes as six bytes at most, so only a
	// transaction that might be too large is measured exactly.
	if 3*total+len(ops)*opOverhead <= maxTransaction {
		return nil
	}
	return checkRequest(ops)
}

func checkOp(part string, o op) error {
	if o.row.partition != part {
		return fmt.Errorf("%s %s of partition %s in a transaction on %s: %w", o.kind, o.row.key, o.row.partition, part, pair.ErrInvalid)
	}
	if err := checkKeys(part, o.row.key); err != nil {
		return err
	}
	if o.kind == opUnknown || (o.kind == opInsert) != (o.row.etag == "") || o.row.etag == "*" {
		return fmt.Errorf("%s %s without its condition: %w", o.kind, o.row.key, pair.ErrInvalid)
	}
	if n := o.row.size(); n > maxEntity && o.kind != opRemove {
		return fmt.Errorf("%s %s of %d bytes, possible are %d: %w", o.kind, o.row.key, n, maxEntity, pair.ErrTooLarge)
	}
	return nil
}

func checkRequest(ops []op) error {
	total := len(ops) * opOverhead
	for _, o := range ops {
		b, err := json.Marshal(o.row)
		if err != nil {
			return fmt.Errorf("%s %s: %w", o.kind, o.row.key, err)
		}
		total += len(b)
	}
	if total > maxTransaction {
		return fmt.Errorf("write %d rows of %d bytes at once, possible are %d: %w", len(ops), total, maxTransaction, pair.ErrTooLarge)
	}
	return nil
}

// size counts an entity as the service does: two bytes for each UTF-16 unit,
// and a few for each property.
func (e entity) size() int {
	n := 4 + 2*(units(e.partition)+units(e.key))
	for name, v := range e.props {
		n += 8 + 2*units(name)
		if text, ok := v.(string); ok {
			n += 4 + 2*units(text)
		} else {
			n += 8
		}
	}
	return n
}

// units counts the UTF-16 units of a text.
func units(s string) int {
	n := len(s)
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return unicodeUnits(s)
		}
	}
	return n
}

func unicodeUnits(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

func checkKeys(keys ...string) error {
	for _, k := range keys {
		if k == "" {
			return fmt.Errorf("empty key: %w", pair.ErrInvalid)
		}
		if n := units(k); n > maxKey {
			return fmt.Errorf("key %.60q of %d characters, possible are %d: %w", k, n, maxKey, pair.ErrTooLarge)
		}
		for _, r := range k {
			if !keyRune(r) {
				return fmt.Errorf("key %.60q with the character %q: %w", k, r, pair.ErrInvalid)
			}
		}
	}
	return nil
}
