package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"tandem/internal/pair"
)

// answers is the only table from kinds of errors to what the host is told. The
// first row that fits counts; an error of no row is a fault of ours.
//
// 200 ends the matter. 500 is a failed invocation, and what follows depends on
// the trigger (functions-host.md 3.5):
//
//   - ReconcilePair: the message comes again after 15 s, and after five times
//     goes to the poison queue. The program puts passing faults back itself, so
//     only what it could not put back arrives here.
//   - VMHealth, ResourceChanged: Event Grid sends the whole request again, with
//     growing pauses, for up to a day.
//   - Sweep: nothing is repeated, the next tick is the repeat. The status only
//     makes the fault visible in the platform's own count of failures, which
//     somebody can put an alarm on without Tandem's help.
var answers = []struct {
	kind   error
	status int
	level  slog.Level
}{
	// Nobody can use it, so nobody shall bring it again: Event Grid would for a
	// day, and slow down what comes after (ha-design-notes.md 12).
	{errPayload, http.StatusOK, slog.LevelWarn},
	// A newer release may take it while both run; if none does, the poison
	// queue keeps it, and the sweep wakes the pairs meanwhile.
	{pair.ErrTooNew, http.StatusInternalServerError, slog.LevelWarn},
	// Passing faults.
	{pair.ErrThrottled, http.StatusInternalServerError, slog.LevelWarn},
	{pair.ErrBusy, http.StatusInternalServerError, slog.LevelWarn},
	{pair.ErrConflict, http.StatusInternalServerError, slog.LevelWarn},
	{pair.ErrLeaseLost, http.StatusInternalServerError, slog.LevelWarn},
	{pair.ErrStaleEpoch, http.StatusInternalServerError, slog.LevelWarn},
	{pair.ErrSuperseded, http.StatusInternalServerError, slog.LevelWarn},
	{pair.ErrUnreachable, http.StatusInternalServerError, slog.LevelWarn},
	{pair.ErrUnknownOutcome, http.StatusInternalServerError, slog.LevelWarn},
	{context.DeadlineExceeded, http.StatusInternalServerError, slog.LevelWarn},
	{context.Canceled, http.StatusInternalServerError, slog.LevelWarn},
}

// respond tells the host how an invocation ended and logs what did not go well,
// once and always in the same form.
func respond(w http.ResponseWriter, log *slog.Logger, err error) {
	if err == nil {
		log.Debug("invocation done")
		succeed(w)
		return
	}
	kind, status, level := "internal", http.StatusInternalServerError, slog.LevelError
	for _, row := range answers {
		if errors.Is(err, row.kind) {
			kind, status, level = row.kind.Error(), row.status, row.level
			break
		}
	}
	log.Log(context.Background(), level, "invocation failed", "kind", kind, "status", status, "error", err.Error())
	if status == http.StatusOK {
		succeed(w)
		return
	}
	fail(w, status, kind)
}

// succeed answers that the invocation is done. There are no outputs: what must
// happen was done through the store, because the host writes outputs without a
// transaction (functions-host.md 3.2).
func succeed(w http.ResponseWriter) {
	write(w, http.StatusOK, struct {
		Outputs     struct{}
		Logs        []string
		ReturnValue any
	}{Logs: []string{}})
}

// fail answers with a status that the host takes as a failure; it ignores the
// text, which is for people with curl.
func fail(w http.ResponseWriter, status int, text string) {
	write(w, status, struct {
		Error string `json:"error"`
	}{text})
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	fail(w, http.StatusNotFound, "no such function")
}

// write is the only way out: a JSON object with its type and its length, since
// the host hangs on an empty answer and refuses any other type
// (functions-host.md 3.1).
func write(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("handlers: an answer that cannot be written: " + err.Error()) // only text
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // a host that is gone cannot be told anything
}
