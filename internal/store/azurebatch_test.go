package store

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"tandem/internal/pair"
)

const (
	batchType = "multipart/mixed; boundary=batchresponse_1"
	batchHead = "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n\r\n"
	batchTail = "--changesetresponse_2--\r\n--batchresponse_1--\r\n"
)

func batchOf(responses ...string) string {
	body := batchHead
	for _, r := range responses {
		body += "--changesetresponse_2\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n" + r + "\r\n"
	}
	return body + batchTail
}

func TestTheAnswerToATransactionIsRead(t *testing.T) {
	var captured struct {
		InnerStatus int
		InnerBody   json.RawMessage
	}
	b, err := os.ReadFile("testdata/table-transaction-failure.json")
	if err == nil {
		err = json.Unmarshal(b, &captured)
	}
	if err != nil {
		t.Fatal(err)
	}
	lost := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-ID: 2\r\nContent-Type: application/json\r\n\r\n%s",
		captured.InnerStatus, http.StatusText(captured.InnerStatus), captured.InnerBody)
	tests := []struct {
		name string
		body string
		want []batchPart
	}{
		{
			"each written row has its new version", batchOf("HTTP/1.1 204 No Content\r\nETag: W/\"1\"\r\n\r\n", "HTTP/1.1 204 No Content\r\nDataServiceVersion: 3.0;\r\n\r\n"),
			[]batchPart{{status: 204, etag: `W/"1"`}, {status: 204}},
		},
		{"a lost condition is told by its code", batchOf(lost), []batchPart{{status: 412, code: "UpdateConditionNotSatisfied"}}},
		{"a failure without a code has its status", batchOf("HTTP/1.1 500 Oops\r\n\r\n<html>"), []batchPart{{status: 500}}},
		{"line feeds alone are fine", strings.ReplaceAll(batchOf("HTTP/1.1 204 No Content\r\nETag: a\r\n\r\n"), "\r\n", "\n"), []batchPart{{status: 204, etag: "a"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readBatch(batchType, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	c := call{write: true}
	wantKind(t, c.answered(captured.InnerStatus, "UpdateConditionNotSatisfied", nil), pair.ErrConflict)
	wantKind(t, c.answered(http.StatusConflict, "EntityAlreadyExists", nil), pair.ErrExists)
}

func TestAnOddAnswerToATransactionIsAnError(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":               "",
		"no inner message":      "--batchresponse_1\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n--batchresponse_1--\r\n",
		"no answers":            batchOf(),
		"cut off":               batchOf("HTTP/1.1 204 No Content\r\n\r\n")[:len(batchHead)+60],
		"not a response":        batchOf("hello"),
		"more than was asked":   batchOf(make100("HTTP/1.1 204 No Content\r\n\r\n")...),
		"another boundary":      strings.ReplaceAll(batchOf("HTTP/1.1 204 No Content\r\n\r\n"), "batchresponse_1", "other"),
		"a failure as one JSON": `{"odata.error":{"code":"InvalidInput"}}`,
	} {
		if got, err := readBatch(batchType, []byte(body)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func make100(s string) (all []string) {
	for range maxOps + 1 {
		all = append(all, s)
	}
	return all
}

func FuzzReadBatch(f *testing.F) {
	f.Add(batchType, []byte(batchOf("HTTP/1.1 204 No Content\r\nETag: W/\"1\"\r\n\r\n")))
	f.Add(batchType, []byte(batchOf("HTTP/1.1 412 Precondition Failed\r\n\r\n{\"odata.error\":{\"code\":\"X\"}}")))
	f.Add("text/html", []byte("<html>"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		answers, err := readBatch(contentType, body)
		if (err == nil) != (len(answers) > 0) {
			t.Errorf("got %d answers and the error %v", len(answers), err)
		}
	})
}
