package story

import (
	"context"
	"log/slog"
	"slices"
	"strings"
)

// teller is the program's log as the transcript shows it: the line of each pass
// that stored or did something, each step of a topology, and whatever is a warning or
// worse.
type teller struct {
	tell  func(event string)
	attrs []slog.Attr
}

func (t teller) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (t teller) WithGroup(string) slog.Handler { return t }

func (t teller) WithAttrs(attrs []slog.Attr) slog.Handler {
	t.attrs = append(slices.Clone(t.attrs), attrs...)
	return t
}

func (t teller) Handle(_ context.Context, r slog.Record) error {
	facts := map[string]string{}
	var rest []string
	each := func(a slog.Attr) bool {
		facts[a.Key] = a.Value.String()
		if list, ok := a.Value.Any().([]string); ok {
			facts[a.Key] = strings.Join(list, ", ")
		}
		rest = append(rest, a.Key+"="+a.Value.String())
		return true
	}
	for _, a := range t.attrs {
		each(a)
	}
	r.Attrs(each)
	switch {
	case r.Message == "pass":
		t.tell(passWords(facts))
		return nil
	case r.Message == "a step of a topology was done":
		t.tell("topology " + facts["topology"] + ", " + facts["member"] + ": " + facts["what"])
		return nil
	case r.Level < slog.LevelWarn:
		return nil
	}
	t.tell(strings.ToLower(r.Level.String()) + ": " + r.Message + " " + strings.Join(rest, " "))
	return nil
}

// passWords tells one pass in up to four lines: what was seen, what was decided
// and why, what was done, and what went wrong.
func passWords(f map[string]string) string {
	var lines []string
	if f["row"] != "" {
		lines = append(lines, "sees "+f["saw"], "decides "+f["row"]+", because "+f["why"])
	}
	if f["done"] != "" {
		lines = append(lines, "has seen it done: "+f["done"])
	}
	if f["error"] != "" {
		lines = append(lines, "met an error: "+f["error"])
	}
	return strings.Join(lines, "\n")
}
