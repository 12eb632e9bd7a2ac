package host

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
)

// answer is what the handler returned (functions-host.md 3.1). A missing
// Outputs stays nil.
type answer struct {
	Outputs     map[string]json.RawMessage
	ReturnValue json.RawMessage
	Logs        []string
}

// errNoAnswer marks the answers on which the real host waits until
// functionTimeout and then kills the handler: null and an empty body.
var errNoAnswer = errors.New("the answer is null or empty, which leaves the invocation hanging")

// parseAnswer reads a handler's answer by functions-host.md 3.1.
func parseAnswer(status int, contentType string, body []byte) (answer, error) {
	if status < 200 || status > 299 {
		return answer{}, fmt.Errorf("response status code does not indicate success: %d (%s)", status, http.StatusText(status))
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return answer{}, errNoAnswer
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || (media != "application/json" && media != "text/json") {
		return answer{}, fmt.Errorf("invalid HttpResponseMessage: content type %q with body %s", contentType, excerpt(body))
	}
	if bytes.Equal(body, []byte("null")) {
		return answer{}, errNoAnswer
	}
	a, err := readAnswer(body)
	if err != nil {
		return answer{}, fmt.Errorf("invalid HttpResponseMessage: %w: body %s", err, excerpt(body))
	}
	return a, nil
}

func readAnswer(body []byte) (answer, error) {
	var a answer
	if !json.Valid(body) || body[0] != '{' {
		return a, errors.New("expected a JSON object")
	}
	for _, f := range fieldsOf(body) {
		var err error
		switch strings.ToLower(f.name) {
		case "outputs":
			err = json.Unmarshal(f.value, &a.Outputs)
		case "returnvalue":
			if string(f.value) != "null" {
				a.ReturnValue = f.value
			}
		case "logs":
			err = json.Unmarshal(f.value, &a.Logs)
		}
		if err != nil {
			return a, fmt.Errorf("read %s: %w", f.name, err)
		}
	}
	return a, nil
}

func excerpt(body []byte) string {
	const most = 200
	if len(body) > most {
		return strings.ToValidUTF8(string(body[:most]), "") + "…"
	}
	return strings.ToValidUTF8(string(body), "")
}

// output returns the value the answer holds for a binding: its entry in
// Outputs, the return value for $return, or a property of a return value that
// nobody else takes (functions-host.md 3.1). Letter case counts.
func (a answer) output(name string, hasReturn bool) (json.RawMessage, bool) {
	if name == "$return" {
		return a.ReturnValue, a.ReturnValue != nil
	}
	value, ok := a.Outputs[name]
	if !hasReturn && len(a.ReturnValue) > 0 && a.ReturnValue[0] == '{' {
		for _, f := range fieldsOf(a.ReturnValue) {
			if f.name == name {
				value, ok = f.value, true
			}
		}
	}
	return value, ok && string(value) != "null"
}

// messages turns an output value into the texts that are sent, by
// functions-host.md 3.2. A string that happens to be base64 is decoded first
// unless the binding is binary; that is the trap. Dates inside outputs are
// left as they are, which the real host doesn't promise.
func messages(value json.RawMessage, binary bool) ([]string, error) {
	text, isString, err := stringOf(value)
	if err != nil {
		return nil, err
	}
	if isString && !binary {
		if decoded, ok := decodeBase64(text); ok {
			return []string{string(decoded)}, nil
		}
	}
	if isString {
		trimmed := strings.TrimSpace(text)
		if trimmed == "" || (trimmed[0] != '[' && trimmed[0] != '{') || !json.Valid([]byte(trimmed)) {
			return []string{text}, nil
		}
		value = json.RawMessage(trimmed)
	}
	if value[0] != '[' {
		one, err := messageText(value)
		return []string{one}, err
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(value, &elements); err != nil {
		return nil, fmt.Errorf("read output: %w", err)
	}
	texts := make([]string, len(elements))
	for i, element := range elements {
		if texts[i], err = messageText(element); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// messageText is the text of one value: strings as they are, objects and
// arrays indented over several lines, scalars as .NET writes them.
func messageText(value json.RawMessage) (string, error) {
	if text, isString, err := stringOf(value); isString || err != nil {
		return text, err
	}
	switch value[0] {
	case '{', '[':
		var out bytes.Buffer
		if err := json.Indent(&out, value, "", "  "); err != nil {
			return "", fmt.Errorf("read output: %w", err)
		}
		return out.String(), nil
	case 'n':
		return "", nil
	case 't', 'f':
		return fmt.Sprint(bindingData(value)), nil
	}
	return numberText(string(value)), nil
}

func stringOf(value json.RawMessage) (text string, isString bool, err error) {
	if len(value) == 0 || value[0] != '"' {
		return "", false, nil
	}
	if err := json.Unmarshal(value, &text); err != nil {
		return "", false, fmt.Errorf("read output: %w", err)
	}
	return text, true, nil
}

// decodeBase64 accepts what .NET's decoder accepts: white space isn't counted,
// and empty text is empty bytes.
func decodeBase64(text string) ([]byte, bool) {
	packed := strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(text)
	decoded, err := base64.StdEncoding.DecodeString(packed)
	return decoded, err == nil
}
