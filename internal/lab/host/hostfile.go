package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// hostFile is what the stand-in uses of host.json, with the overrides of the
// app settings applied (functions-host.md 1.1, 4.2).
type hostFile struct {
	program               string
	arguments             []string // %NAME% still in them: the port is known only at start
	workingDirectory      string
	workerDirectory       string
	stderrIsErrors        bool
	port                  int // 0 means any free one
	initializationTimeout time.Duration
	functionTimeout       time.Duration // 0 means unbounded
	forwardHTTP           bool
	routes                bool     // customHandler.http.routes is used
	only                  []string // nil means every function
	routePrefix           string
	bundleID              string
	queues                queueOptions
	lockPeriod            time.Duration
	lockRecovery          time.Duration
}

// queueOptions is host.json's extensions.queues.
type queueOptions struct {
	batchSize          int
	newBatchThreshold  int
	maxPollingInterval time.Duration
	visibilityTimeout  time.Duration
	maxDequeueCount    int
	base64             bool
}

const overridePrefix = "AzureFunctionsJobHost__"

// readHostFile reads host.json from the script root. All mistakes are
// reported together.
func readHostFile(app fs.FS, settings map[string]string) (hostFile, error) {
	data, err := fs.ReadFile(app, "host.json")
	if err != nil {
		return hostFile{}, fmt.Errorf("read host.json: %w", err)
	}
	values, err := flattenHostFile(data, settings)
	if err != nil {
		return hostFile{}, fmt.Errorf("read host.json: %w", err)
	}
	r := &hostReader{values: values}
	file := r.file(settings)
	if len(r.errs) > 0 {
		return hostFile{}, fmt.Errorf("read host.json: %w", errors.Join(r.errs...))
	}
	return file, nil
}

// flattenHostFile turns host.json into paths and texts, as .NET's
// configuration does, so that an app setting can replace any one value.
func flattenHostFile(data []byte, settings map[string]string) (map[string]string, error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, errors.New("text after the object")
	}
	values := map[string]string{}
	if err := flatten(values, "", document); err != nil {
		return nil, err
	}
	for name, value := range settings {
		if len(name) > len(overridePrefix) && strings.EqualFold(name[:len(overridePrefix)], overridePrefix) {
			path := strings.ReplaceAll(name[len(overridePrefix):], "__", ":")
			values[strings.ToLower(path)] = value
		}
	}
	return values, nil
}

func flatten(into map[string]string, path string, value any) error {
	join := func(name string) string {
		if path == "" {
			return strings.ToLower(name)
		}
		return path + ":" + strings.ToLower(name)
	}
	switch value := value.(type) {
	case map[string]any:
		for name, child := range value {
			if err := flatten(into, join(name), child); err != nil {
				return err
			}
		}
		return nil
	case []any:
		for i, child := range value {
			if err := flatten(into, join(strconv.Itoa(i)), child); err != nil {
				return err
			}
		}
		return nil
	}
	if _, twice := into[path]; twice {
		return fmt.Errorf("%s is given twice", path)
	}
	into[path] = ""
	if value != nil {
		into[path] = fmt.Sprint(value)
	}
	return nil
}

// hostReader reads typed values and gathers every mistake.
type hostReader struct {
	values map[string]string
	errs   []error
}

func (r *hostReader) file(settings map[string]string) hostFile {
	if v := r.text("version", ""); v != "2.0" {
		r.fail("version", v, `"2.0"`)
	}
	r.refuseWhatIsNotModelled()
	const handler, about = "customHandler:", "customHandler:description:"
	file := hostFile{
		program:               expand(r.text(about+"defaultExecutablePath", ""), settings),
		workingDirectory:      r.text(about+"workingDirectory", ""),
		workerDirectory:       r.text(about+"workerDirectory", ""),
		stderrIsErrors:        r.flag(about+"useStdErrorStreamForErrorsOnly", true),
		port:                  r.number(handler+"port", 0, 0, 65535),
		initializationTimeout: r.span(handler+"initializationTimeout", 30*time.Second, time.Millisecond),
		forwardHTTP:           r.flag(handler+"enableForwardingHttpRequest", false),
		functionTimeout:       r.functionTimeout(),
		only:                  r.list("functions"),
		arguments:             r.arguments(),
		routes:                r.has("customHandler:http:routes:"),
		routePrefix:           strings.Trim(r.text("extensions:http:routePrefix", "api"), "/"),
		bundleID:              r.text("extensionBundle:id", ""),
		queues:                r.queues(),
		lockPeriod:            r.span("singleton:listenerLockPeriod", time.Minute, 15*time.Second),
		lockRecovery:          r.span("singleton:listenerLockRecoveryPollingInterval", time.Minute, 15*time.Second),
	}
	if file.program == "" {
		r.fail(about+"defaultExecutablePath", "", "the handler's program")
	}
	return file
}

// refuseWhatIsNotModelled keeps an app from running here in another way than
// it would run in Azure.
func (r *hostReader) refuseWhatIsNotModelled() {
	if profile := r.text("configurationProfile", ""); profile != "" && !strings.EqualFold(profile, "default") {
		r.fail("configurationProfile", profile, "none (HTTP-only profiles aren't modelled)")
	}
	if r.flag("customHandler:enableProxyingHttpRequest", false) {
		r.fail("customHandler:enableProxyingHttpRequest", "true", "false (proxy mode isn't modelled)")
	}
	if r.flag("concurrency:dynamicConcurrencyEnabled", false) {
		r.fail("concurrency:dynamicConcurrencyEnabled", "true", "false (it isn't modelled)")
	}
	if strategy := r.text("retry:strategy", ""); strategy != "" {
		r.fail("retry:strategy", strategy, "none (retry policies aren't modelled)")
	}
}

func (r *hostReader) queues() queueOptions {
	const path = "extensions:queues:"
	q := queueOptions{
		batchSize:          r.number(path+"batchSize", 16, 1, 32),
		maxPollingInterval: r.span(path+"maxPollingInterval", time.Minute, 100*time.Millisecond),
		visibilityTimeout:  r.span(path+"visibilityTimeout", 0, 0),
		maxDequeueCount:    r.number(path+"maxDequeueCount", 5, 1, 1<<30),
		base64:             true,
	}
	q.newBatchThreshold = r.number(path+"newBatchThreshold", q.batchSize/2, 0, 1<<30)
	switch encoding := strings.ToLower(r.text(path+"messageEncoding", "base64")); encoding {
	case "base64":
	case "none":
		q.base64 = false
	default:
		r.fail(path+"messageEncoding", encoding, "base64 or none")
	}
	return q
}

// functionTimeout defaults to the 30 minutes of every plan but Consumption;
// -1 means unbounded (functions-host.md 1.6).
func (r *hostReader) functionTimeout() time.Duration {
	text := r.text("functionTimeout", "00:30:00")
	if text == "-1" {
		return 0
	}
	return r.span("functionTimeout", 30*time.Minute, time.Second)
}

// arguments accepts a list, or one text that holds a JSON list, which is how
// an app setting gives them.
func (r *hostReader) arguments() []string {
	const path = "customHandler:description:arguments"
	list := r.list(path)
	if text := r.text(path, ""); text != "" {
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			r.fail(path, text, "a JSON list of texts")
		}
	}
	return list
}

func (r *hostReader) fail(path, got, want string) {
	r.errs = append(r.errs, fmt.Errorf("%s is %q: expected %s", strings.ReplaceAll(path, ":", "."), got, want))
}

func (r *hostReader) text(path, fallback string) string {
	if value, ok := r.values[strings.ToLower(path)]; ok {
		return value
	}
	return fallback
}

func (r *hostReader) flag(path string, fallback bool) bool {
	text := r.text(path, "")
	if text == "" {
		return fallback
	}
	value, err := strconv.ParseBool(strings.ToLower(text))
	if err != nil {
		r.fail(path, text, "true or false")
	}
	return value
}

func (r *hostReader) number(path string, fallback, low, high int) int {
	text := r.text(path, "")
	if text == "" {
		return fallback
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < low || value > high {
		r.fail(path, text, fmt.Sprintf("a number from %d to %d", low, high))
	}
	return value
}

func (r *hostReader) span(path string, fallback, low time.Duration) time.Duration {
	text := r.text(path, "")
	if text == "" {
		return fallback
	}
	value, err := parseSpan(text)
	if err != nil || value < low {
		r.fail(path, text, fmt.Sprintf("a time span hh:mm:ss of at least %v", low))
	}
	return value
}

// list reads path:0, path:1 and so on; nil when there is none.
func (r *hostReader) list(path string) []string {
	var list []string
	for i := 0; ; i++ {
		value, ok := r.values[strings.ToLower(path)+":"+strconv.Itoa(i)]
		if !ok {
			return list
		}
		list = append(list, value)
	}
}

// has says whether any value lies below the path.
func (r *hostReader) has(path string) bool {
	for name := range r.values {
		if strings.HasPrefix(name, strings.ToLower(path)) {
			return true
		}
	}
	return false
}

var namePattern = regexp.MustCompile(`%[^%]+%`)

// expand replaces %NAME% by the app setting NAME; an unset name becomes empty
// text, as in a program's arguments.
func expand(text string, settings map[string]string) string {
	return namePattern.ReplaceAllStringFunc(text, func(name string) string {
		return settings[strings.Trim(name, "%")]
	})
}

// resolve replaces %NAME% by the app setting NAME; an unset name is an error,
// as in a binding.
func resolve(text string, settings map[string]string) (string, error) {
	var missing error
	resolved := namePattern.ReplaceAllStringFunc(text, func(name string) string {
		value, ok := settings[strings.Trim(name, "%")]
		if !ok && missing == nil {
			missing = fmt.Errorf("%s does not resolve to an app setting", name)
		}
		return value
	})
	return resolved, missing
}
