package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FunctionInfo describes one folder of the script root that holds a
// function.json.
type FunctionInfo struct {
	Name     string // the folder's name, letter case kept
	Trigger  string // the trigger's binding type, e.g. "queueTrigger"
	Disabled bool   // switched off in function.json or by an app setting
	Err      error  // why the function wasn't loaded; nil when it was
}

// binding is one entry of function.json's list; which fields count depends on
// the type (functions-host.md 4.1).
type binding struct {
	Type             string   `json:"type"`
	Direction        string   `json:"direction"`
	Name             string   `json:"name"`
	DataType         string   `json:"dataType"`
	Cardinality      string   `json:"cardinality"`
	Schedule         string   `json:"schedule"`
	RunOnStartup     bool     `json:"runOnStartup"`
	UseMonitor       *bool    `json:"useMonitor"`
	QueueName        string   `json:"queueName"`
	Connection       string   `json:"connection"`
	TopicEndpointURI string   `json:"topicEndpointUri"`
	TopicKeySetting  string   `json:"topicKeySetting"`
	Methods          []string `json:"methods"`
	Route            *string  `json:"route"`
}

func (b binding) isTrigger() bool {
	return strings.HasSuffix(strings.ToLower(b.Type), "trigger")
}

func (b binding) isType(name string) bool { return strings.EqualFold(b.Type, name) }

// function is a loaded function: its bindings with every %NAME% resolved, and
// the state its trigger needs.
type function struct {
	info    FunctionInfo
	trigger binding
	outputs []binding

	schedule  schedule // timerTrigger
	monitored bool     // timerTrigger: the schedule status is kept
	route     route    // httpTrigger

	random *stream
	phase  time.Duration
}

// forwardable says whether the pass-through mode applies: one input, the HTTP
// trigger, and one http output (functions-host.md 2.7).
func (f *function) forwardable() bool {
	return f.trigger.isType("httpTrigger") && len(f.outputs) == 1 && f.outputs[0].isType("http")
}

func (f *function) many() bool { return strings.EqualFold(f.trigger.Cardinality, "many") }

func (f *function) binary() bool { return strings.EqualFold(f.trigger.DataType, "binary") }

func (f *function) runs() bool { return f.info.Err == nil && !f.info.Disabled }

var (
	functionNamePattern = regexp.MustCompile(`(?i)^[a-z][a-z0-9_\-]{0,127}$`)
	bindingNamePattern  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]{0,127}$`)
)

// readFunctions lists the direct child folders of the script root that hold a
// function.json, in the order of their names. A nested functions/ folder is
// skipped without a word, as in the host (functions-host.md 6.5). A function
// that can't be loaded carries its error and the others still load.
func readFunctions(app fs.FS, file hostFile, settings map[string]string) ([]*function, error) {
	entries, err := fs.ReadDir(app, ".")
	if err != nil {
		return nil, fmt.Errorf("list script root: %w", err)
	}
	var functions []*function
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		data, err := fs.ReadFile(app, entry.Name()+"/function.json")
		if errors.Is(err, fs.ErrNotExist) || !file.allows(entry.Name()) {
			continue
		}
		f := &function{info: FunctionInfo{Name: entry.Name()}}
		if err == nil {
			err = f.load(data, file, settings)
		}
		if err != nil {
			f.info.Err = fmt.Errorf("load function %s: %w", entry.Name(), err)
		}
		functions = append(functions, f)
	}
	if file.routes && len(functions) > 0 {
		return nil, errors.New("read script root: customHandler.http.routes and function.json: only one configuration source is allowed")
	}
	return functions, nil
}

func (f hostFile) allows(name string) bool {
	return f.only == nil || slices.ContainsFunc(f.only, func(n string) bool { return strings.EqualFold(n, name) })
}

// load reads function.json and checks names and bindings by
// functions-host.md 4.1.
func (f *function) load(data []byte, file hostFile, settings map[string]string) error {
	var doc struct {
		Bindings []binding       `json:"bindings"`
		Disabled json.RawMessage `json:"disabled"`
		Retry    json.RawMessage `json:"retry"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("read function.json: %w", err)
	}
	if !functionNamePattern.MatchString(f.info.Name) || strings.EqualFold(f.info.Name, "host") {
		return fmt.Errorf("'%s' is not a valid function name", f.info.Name)
	}
	if len(doc.Retry) > 0 && string(doc.Retry) != "null" {
		return errors.New("retry policies aren't modelled")
	}
	if err := f.assign(doc.Bindings); err != nil {
		return err
	}
	disabled, err := isDisabled(f.info.Name, doc.Disabled, settings)
	if err != nil {
		return err
	}
	f.info.Disabled = disabled
	return f.configure(file, settings)
}

// assign splits the bindings into the one trigger and the outputs.
func (f *function) assign(bindings []binding) error {
	seen := map[string]bool{}
	triggers := 0
	for _, b := range bindings {
		if seen[strings.ToLower(b.Name)] {
			return fmt.Errorf("multiple bindings are named '%s'", b.Name)
		}
		seen[strings.ToLower(b.Name)] = true
		out := strings.EqualFold(b.Direction, "out")
		if !bindingNamePattern.MatchString(b.Name) && !(out && b.Name == "$return") {
			return fmt.Errorf("the binding name '%s' is invalid", b.Name)
		}
		switch {
		case b.isTrigger() && !out:
			triggers++
			f.trigger, f.info.Trigger = b, b.Type
		case !b.isTrigger() && out:
			f.outputs = append(f.outputs, b)
		default:
			return fmt.Errorf("binding %s: type %q can't have direction %q", b.Name, b.Type, b.Direction)
		}
	}
	if triggers != 1 {
		return fmt.Errorf("expected exactly one trigger binding, found %d", triggers)
	}
	return nil
}

// configure checks and resolves what each binding type needs.
func (f *function) configure(file hostFile, settings map[string]string) error {
	if err := f.configureTrigger(file, settings); err != nil {
		return fmt.Errorf("binding %s: %w", f.trigger.Name, err)
	}
	for i := range f.outputs {
		if err := configureOutput(&f.outputs[i], file, settings); err != nil {
			return fmt.Errorf("binding %s: %w", f.outputs[i].Name, err)
		}
	}
	return nil
}

func (f *function) configureTrigger(file hostFile, settings map[string]string) (err error) {
	b := &f.trigger
	switch {
	case b.isType("timerTrigger"):
		return f.configureTimer(settings)
	case b.isType("queueTrigger"):
		return configureQueue(b, file, settings)
	case b.isType("eventGridTrigger"):
		if c := strings.ToLower(b.Cardinality); c != "" && c != "one" && c != "many" {
			return fmt.Errorf("cardinality %q: expected one or many", b.Cardinality)
		}
		return needsBundle(b, file)
	case b.isType("httpTrigger"):
		template := f.info.Name
		if b.Route != nil && *b.Route != "" {
			template = *b.Route
		}
		f.route, err = parseRoute(file.routePrefix, template)
		return err
	}
	return notRegistered(b)
}

func (f *function) configureTimer(settings map[string]string) error {
	text, err := resolve(f.trigger.Schedule, settings)
	if err != nil {
		return err
	}
	if f.schedule, err = parseSchedule(text); err != nil {
		return err
	}
	f.monitored = (f.trigger.UseMonitor == nil || *f.trigger.UseMonitor) &&
		!tooFrequentToMonitor(f.schedule, time.Now())
	return needsConnection("", settings) // for the lock and the status
}

func configureOutput(b *binding, file hostFile, settings map[string]string) error {
	switch {
	case b.isType("http"):
		return nil
	case b.isType("queue"):
		return configureQueue(b, file, settings)
	case b.isType("eventGrid"):
		return configureTopic(b, file, settings)
	}
	return notRegistered(b)
}

func configureQueue(b *binding, file hostFile, settings map[string]string) error {
	if err := needsBundle(b, file); err != nil {
		return err
	}
	name, err := resolve(b.QueueName, settings)
	if err != nil {
		return err
	}
	if name == "" {
		return errors.New("queueName is empty")
	}
	b.QueueName = strings.ToLower(name)
	return needsConnection(b.Connection, settings)
}

// configureTopic replaces the names of settings by their values.
func configureTopic(b *binding, file hostFile, settings map[string]string) error {
	if err := needsBundle(b, file); err != nil {
		return err
	}
	if b.Connection != "" && b.TopicKeySetting != "" {
		return errors.New("connection and topicKeySetting can't both be set")
	}
	endpoint, key := b.TopicEndpointURI, ""
	if b.Connection != "" {
		endpoint = b.Connection + "__topicEndpointUri"
	} else if key = settings[b.TopicKeySetting]; key == "" {
		return fmt.Errorf("topicKeySetting names the app setting %q, which is missing", b.TopicKeySetting)
	}
	if b.TopicEndpointURI, b.TopicKeySetting = settings[endpoint], key; b.TopicEndpointURI == "" {
		return fmt.Errorf("the app setting %q with the topic's endpoint is missing", endpoint)
	}
	return nil
}

func notRegistered(b *binding) error {
	return fmt.Errorf("the binding type '%s' is not registered", b.Type)
}

// needsBundle refuses what only the extension bundle brings (functions-host.md
// 4.2); an app with its own bin/extensions.json isn't modelled.
func needsBundle(b *binding, file hostFile) error {
	if file.bundleID == "" {
		return fmt.Errorf("%w: host.json names no extensionBundle", notRegistered(b))
	}
	return nil
}

// needsConnection wants the setting itself or settings with its name as
// prefix, which is how an identity is configured (functions-host.md 4.3).
func needsConnection(name string, settings map[string]string) error {
	if name == "" {
		name = "AzureWebJobsStorage"
	}
	for setting, value := range settings {
		if value != "" && (setting == name || strings.HasPrefix(setting, name+"__")) {
			return nil
		}
	}
	return fmt.Errorf("storage connection %q does not exist in the app settings", name)
}

// isDisabled reads function.json's own switch and the two spellings of the
// app setting, which wins.
func isDisabled(name string, own json.RawMessage, settings map[string]string) (bool, error) {
	for _, setting := range []string{"AzureWebJobs." + name + ".Disabled", "AzureWebJobs__" + name + "__Disabled"} {
		if text, ok := settings[setting]; ok {
			disabled, err := strconv.ParseBool(strings.ToLower(text))
			if err != nil {
				return false, fmt.Errorf("app setting %s is %q: expected true or false", setting, text)
			}
			return disabled, nil
		}
	}
	if len(own) == 0 {
		return false, nil
	}
	var disabled bool
	if err := json.Unmarshal(own, &disabled); err != nil {
		return false, fmt.Errorf("read disabled: %w", err)
	}
	return disabled, nil
}
