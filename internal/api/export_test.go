package api

import "time"

// ParseAsk reads the body of a word.
func ParseAsk(w Word, body []byte, now time.Time) (Ask, error) {
	a, err := parseAsk(body)
	if err == nil {
		err = a.check(w, now)
	}
	return a, err
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
)
