package store

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tandem/internal/pair"
)

// unescape turns an escaped text back, which proves that no two texts have
// one key.
func unescape(s string) (string, error) {
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "=")
		b.WriteString(plain)
		if !found {
			break
		}
		if len(rest) < 2 {
			return "", fmt.Errorf("key with half an escape: %w", pair.ErrUnreadable)
		}
		c, err := hex.DecodeString(rest[:2])
		if err != nil {
			return "", fmt.Errorf("key with the escape =%s: %w", rest[:2], pair.ErrUnreadable)
		}
		b.Write(c)
		s = rest[2:]
	}
	return b.String(), nil
}

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "edge-weu", "/subscriptions/0/resourcegroups/größe/lm1", "=2f", "a:b;c", "\x00\xff", "😀'%+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key := escape(s)
		if strings.Contains(key, keySeparator) || strings.Contains(key, keyAfter) {
			t.Errorf("%q becomes %q, which holds a separator", s, key)
		}
		if key != "" && units(key) <= maxKey {
			if err := checkKeys(key); err != nil {
				t.Errorf("%q becomes %q: %v", s, key, err)
			}
		}
		if back, err := unescape(key); err != nil || back != s {
			t.Errorf("%q becomes %q and then %q (%v)", s, key, back, err)
		}
	})
}

func TestKeysOfResourcesStayReadable(t *testing.T) {
	const id = "/subscriptions/1/resourcegroups/rg edge/providers/microsoft.network/loadbalancers/ilb_1.(x)~"
	const want = "=2fsubscriptions=2f1=2fresourcegroups=2frg=20edge=2fproviders=2fmicrosoft.network=2floadbalancers=2filb_1.(x)~"
	if got := escape(id); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, broken := range []string{"=", "=2", "a=zz", "=2f="} {
		if got, err := unescape(broken); err == nil {
			t.Errorf("%q becomes %q, want an error", broken, got)
		}
	}
}

func FuzzRow(f *testing.F) {
	f.Add("", 1)
	f.Add("😀é", maxText)
	f.Add("\x00\xff<", maxText)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 0 || n > 2*maxText || len(s)*n > 3*maxText {
			t.Skip()
		}
		text := strings.ToValidUTF8(strings.Repeat(s, n), "\ufffd")
		r, err := newRow("p", "k", text)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range r.props {
			part, ok := v.(string)
			if ok && (units(part) > maxText || !utf8.ValidString(part)) {
				t.Errorf("%s has %d characters, valid is %t", name, units(part), utf8.ValidString(part))
			}
		}
		var back string
		if err := readRow(r.entity).read(&back); err != nil || back != text {
			t.Errorf("%d characters came back as %d (%v)", units(text), units(back), err)
		}
	})
}

func TestATransactionWithinTheLimitsOnly(t *testing.T) {
	row := func(key, etag string) entity { return entity{partition: "p", key: key, etag: etag} }
	tests := []struct {
		name string
		ops  []op
		want error
	}{
		{"an insert, a replacement and a removal on their conditions", []op{{opInsert, row("a", "")}, {opReplace, row("b", "1")}, {opRemove, row("c", "1")}}, nil},
		{"nothing", nil, pair.ErrInvalid},
		{"a row twice", []op{{opInsert, row("a", "")}, {opRemove, row("a", "1")}}, pair.ErrInvalid},
		{"a replacement of any version", []op{{opReplace, row("a", "*")}}, pair.ErrInvalid},
		{"a replacement without a version", []op{{opReplace, row("a", "")}}, pair.ErrInvalid},
		{"a removal without a version", []op{{opRemove, row("a", "")}}, pair.ErrInvalid},
		{"an insert with a version", []op{{opInsert, row("a", "1")}}, pair.ErrInvalid},
		{"an unknown operation", []op{{opUnknown, row("a", "1")}}, pair.ErrInvalid},
		{"a row of another partition", []op{{opInsert, entity{partition: "q", key: "a"}}}, pair.ErrInvalid},
		{"an empty key", []op{{opInsert, row("", "")}}, pair.ErrInvalid},
		{"a slash in a key", []op{{opInsert, row("a/b", "")}}, pair.ErrInvalid},
		{"a control character in a key", []op{{opInsert, row("a\u0081b", "")}}, pair.ErrInvalid},
		{"a key of 512 characters", []op{{opInsert, row(strings.Repeat("é", 512), "")}}, nil},
		{"a key of 513 characters", []op{{opInsert, row(strings.Repeat("a", 513), "")}}, pair.ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := checkTransaction("p", tt.ops); tt.want == nil && err != nil {
				t.Error(err)
			} else {
				wantKind(t, err, tt.want)
			}
		})
	}
}

func TestTimesAreStoredInUTCAndMilliseconds(t *testing.T) {
	type inner struct{ At time.Time }
	type form struct {
		At     time.Time
		Zero   time.Time
		List   []inner
		Array  [2]inner
		Ptr    *inner
		Nil    *inner
		Text   []string
		hidden time.Time
	}
	local := noon.In(time.FixedZone("x", 7200)).Add(1999 * time.Microsecond)
	want := noon.Add(time.Millisecond)
	in := form{At: local, List: []inner{{local}}, Array: [2]inner{{local}}, Ptr: &inner{local}, Text: []string{"a"}, hidden: local}
	got := millis(in)
	for name, at := range map[string]time.Time{"field": got.At, "slice": got.List[0].At, "array": got.Array[0].At, "pointer": got.Ptr.At} {
		if at != want {
			t.Errorf("%s: got %v, want %v", name, at, want)
		}
	}
	if !got.Zero.IsZero() || got.Nil != nil || got.Text[0] != "a" || got.hidden != local {
		t.Errorf("got %+v", got)
	}
	if in.List[0].At != local || in.Ptr.At != local {
		t.Error("the original was changed")
	}
}

func BenchmarkLoad(b *testing.B) {
	s := NewEmbedded(EmbeddedOptions{}).Store(HandleOptions{})
	if _, err := s.Define(b.Context(), goldenDefinition(), nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Load(b.Context(), "edge-weu"); err != nil {
			b.Fatal(err)
		}
	}
}
