package loadmaster

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	maxBody = 1 << 20
	maxURL  = 1024 // of v1 (loadmaster.md 1.1)
)

// The HTML pages that come instead of XML or JSON (loadmaster.md 1.5, 1.6).
const (
	errorPage        = "<!DOCTYPE html><HTML><BODY>error</BODY></HTML>\n"
	unauthorizedWord = "Unauthorized"
)

// apiHandler is the API port: faults first, then the limit of calls, then the
// boot, then the two versions of the API.
func (u *Unit) apiHandler(l *life) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		faults, booting := u.faults, u.state == Booting
		allowed := u.limiter.allow(time.Now())
		u.mu.Unlock()
		if faults.API == APIDrops || !allowed {
			panic(http.ErrAbortHandler) // ends the connection without an answer
		}
		if !wait(r, l, faults.APIDelay) {
			panic(http.ErrAbortHandler)
		}
		switch {
		case faults.API == APIServerError:
			page(w, http.StatusInternalServerError)
		case faults.API == APIUnauthorizedPage, booting && u.cfg.Options.BootAnswer == BootUnauthorized:
			page(w, http.StatusUnauthorized)
		case faults.API == APINotFoundPage, booting:
			page(w, http.StatusNotFound)
		case strings.HasPrefix(r.URL.Path, "/accessv2"):
			u.serveV2(w, r)
		case strings.HasPrefix(r.URL.Path, "/access/"):
			u.serveV1(w, r)
		default:
			page(w, http.StatusNotFound)
		}
	})
}

// wait delays an answer, and tells whether anybody still waits for it.
func wait(r *http.Request, l *life, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-l.done:
	}
	return false
}

func page(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, errorPage) // the client may be gone
}

func reply(w http.ResponseWriter, contentType string, status int, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// serveV1 serves /access/<command>, with the arguments in the query or, of a
// POST, in a form; a body that is no form is a file (loadmaster.md 1.1).
func (u *Unit) serveV1(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/access/")
	enables := strings.EqualFold(name, "set") && enablesAPI(r)
	if !u.isAPIEnabled() && !enables {
		page(w, http.StatusNotFound)
		return
	}
	if len(r.URL.RequestURI()) > maxURL {
		page(w, http.StatusRequestURITooLong)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		page(w, http.StatusBadRequest)
		return
	}
	args := formArguments(r.Form)
	if r.Method == http.MethodPost && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		file, err := io.ReadAll(r.Body)
		if err != nil {
			page(w, http.StatusRequestEntityTooLarge)
			return
		}
		args[fileArgument] = base64.StdEncoding.EncodeToString(file)
	}
	user, password, _ := r.BasicAuth()
	if !u.authorised(args["apikey"], user, password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="LoadMaster"`)
		u.refuseV1(w)
		return
	}
	var a answer
	if strings.EqualFold(name, "set") && strings.EqualFold(args["param"], "enableapi") && args["value"] == "yes" && !enables {
		a = unknownValue("enableapi") // the order of the parameters matters
	} else {
		u.note(name, args)
		a = u.execute(name, args)
	}
	if a.file != nil {
		reply(w, "application/octet-stream", a.status, a.file)
		return
	}
	reply(w, "text/xml", a.status, a.xml())
}

// enablesAPI recognises the one call that works while the API is off: its
// parameters come in this order and its value is yes (loadmaster.md 1.3).
func enablesAPI(r *http.Request) bool {
	const exactly = "param=enableapi&value=yes"
	rest, ok := strings.CutPrefix(r.URL.RawQuery, exactly)
	return ok && r.Method == http.MethodGet && (rest == "" || rest[0] == '&')
}

func formArguments(form url.Values) arguments {
	args := arguments{}
	for _, name := range slices.Sorted(maps.Keys(form)) { // capitals first: the usual spelling wins
		args[strings.ToLower(name)] = form[name][0]
	}
	return args
}

func (u *Unit) refuseV1(w http.ResponseWriter) {
	if u.cfg.Options.Unauthorized == UnauthorizedWord {
		reply(w, "text/plain", http.StatusUnauthorized, []byte(unauthorizedWord))
		return
	}
	page(w, http.StatusUnauthorized)
}

func (u *Unit) isAPIEnabled() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.apiEnabled
}

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// serveV2 serves /accessv2: one JSON object by POST, or by GET
// (loadmaster.md 1.1). What follows the path is ignored.
func (u *Unit) serveV2(w http.ResponseWriter, r *http.Request) {
	if !u.isAPIEnabled() || !u.isV2Available() {
		page(w, http.StatusNotFound)
		return
	}
	args, err := readArguments(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		u.replyV2(w, fail(http.StatusBadRequest, "Invalid JSON"))
		return
	}
	if !u.authorised(args["apikey"], args["apiuser"], args["apipass"]) {
		u.refuseV2(w)
		return
	}
	name, given := args["cmd"]
	if !given {
		u.replyV2(w, missing("cmd"))
		return
	}
	u.note(name, args)
	u.replyV2(w, u.execute(name, args))
}

func (u *Unit) replyV2(w http.ResponseWriter, a answer) {
	if a.file != nil {
		a = data(text(fileArgument, base64.StdEncoding.EncodeToString(a.file)))
	}
	reply(w, "application/json", a.status, a.json(u.cfg.Options.V2Values))
}

func (u *Unit) refuseV2(w http.ResponseWriter) {
	if u.cfg.Options.Unauthorized == UnauthorizedNative {
		u.replyV2(w, fail(http.StatusUnauthorized, "Authorization Required"))
		return
	}
	u.refuseV1(w)
}

// isV2Available tells whether session management, where v2 needs it, is on.
func (u *Unit) isV2Available() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	session := u.parameters["sessioncontrol"]
	return !u.cfg.Options.V2NeedsSessionManagement || session == "yes" || session == "1"
}

// readArguments reads the one object of a v2 call. Strings are accepted for
// everything, numbers and booleans too (loadmaster.md 1.6).
func readArguments(body io.Reader) (arguments, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	object := map[string]any{}
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	args := arguments{}
	for _, name := range slices.Sorted(maps.Keys(object)) { // capitals first: the usual spelling wins
		if text, ok := argumentText(name, object[name]); ok {
			args[strings.ToLower(name)] = text
		}
	}
	return args, nil
}

// argumentText is a JSON value as v1 would have sent it: booleans are yes and
// no as the value of a parameter, and 1 and 0 elsewhere. Lists and objects are
// no arguments of the commands here.
func argumentText(name string, value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		if strings.EqualFold(name, "value") {
			return yesNo(v), true
		}
		return oneZero(v), true
	}
	return "", false
}
