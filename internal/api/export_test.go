package api

import "time"

// ParseAsk reads the body of a word.
func ParseAsk(w Word, body []byte, now time.Time) (Ask, error) {
	a, err := parseBody[Ask](body, askKeys)
	if err == nil {
		err = a.check(w, now)
	}
	return a, err
}

// ParsePrincipal reads the header of App Service authentication.
func ParsePrincipal(header string) (name string, role Role, err error) {
	who, err := parsePrincipal(header)
	return who.name, who.role, err
}

// Route is one request that the server answers, and what it needs.
type Route struct {
	Method, Path string
	Needs        Role
	Body         bool
}

// Routes are all of them.
func Routes() []Route {
	var all []Route
	for _, e := range (&server{}).routes() {
		all = append(all, Route{e.method, e.path, e.needs, e.body != nil})
	}
	return all
}

// Row is one row of the table of kinds.
type Row struct {
	Err          error
	Name         string
	Status, Exit int
}

// Kinds returns the table of kinds.
func Kinds() []Row {
	var rows []Row
	for _, k := range kinds {
		rows = append(rows, Row{k.err, k.name, k.status, k.exit})
	}
	return rows
}

// The limits that the tests reach.
const (
	BodyMax   = bodyMax
	PageMax   = pageMax
	AnswerMax = answerMax

	PrincipalHeader = principalHeader
	KeyHeader       = keyHeader
)
